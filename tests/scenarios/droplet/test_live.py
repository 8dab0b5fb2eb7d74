# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person or a program changes on a running droplet, with every file as declared, is shown by status.yml and repaired by site.yml."""

from __future__ import annotations

import re

import pytest

from tests.support import lab
from tests.support.deployment import variables
from tests.support.ports import WORLD

BASE, DOCKER, FIREWALL, NGINX = (
    "litefarm.platform.base : Configure clock, memory, logs, updates, SSH and authorities",
    "litefarm.platform.docker : Configure Docker",
    "litefarm.platform.firewall : Apply firewall rules",
    "litefarm.platform.nginx : Configure sites",
)
# Not all tables: the rules by which the lab resolves names are in Docker's table, too.
FLUSH = "nft delete table inet litefarm && iptables --table nat --flush PREROUTING && iptables --table nat --flush DOCKER && iptables --flush"
NGINX_CONF, SSHD_CONF, SWAP_UNIT = "/etc/nginx/nginx.conf", "/etc/ssh/sshd_config.d/00-litefarm.conf", "/etc/systemd/system/litefarm-swap.service"
# Those that no release replaces.
LASTING = (
    "docker ps --quiet --filter 'name=^(postgres|postgres_backup|redis|imaginary)$' | "
    "xargs docker inspect --format '{{.Name}} {{.Id}} {{.State.StartedAt}}' | sort"
)
BY_HAND = "import http.client; c = http.client.HTTPConnection('127.0.0.1', 8081); c.request('GET', '/by-hand'); print(c.getresponse().status)"


def published(droplet):
    """Address and port of what running containers publish."""
    return sorted(set(re.findall(r"([0-9.]+):(\d+)->", droplet.check_output("docker ps --format '{{.Ports}}'"))))


def answering(droplet, ports):
    return [(address, port) for address, port in ports if droplet.run(f"timeout 2 bash -c '</dev/tcp/{address}/{port}'").rc == 0]


def reachable(droplet):
    return {network: lab.scan_as_stranger(droplet.name, network) for network in ("public", "private")}


ONLY_WHAT_IS_DECLARED = {network: {"open": WORLD, "refused": []} for network in ("public", "private")}


def rules(droplet):
    """Docker's rules, and ours, without counters."""
    docker = [line for line in droplet.check_output("iptables-save -t nat").splitlines() if line.startswith("-A")]
    return sorted(docker), droplet.check_output("nft --stateless list table inet litefarm")


def invocation(droplet, unit):
    return droplet.check_output("systemctl show --property=InvocationID --value %s", unit)


def loaded_and_put_back(droplet, path, expression, command):
    """A file is edited, loaded, and put back: on disk all is well."""
    droplet.check_output(f"cp -a {path} /root/put-back && sed -i '{expression}' {path} && {command} && cat /root/put-back > {path} && rm /root/put-back")


# By day one droplet stands for all: the roles are the same.
@pytest.mark.nightly("litefarmapp", "litefarm-imaginary", "liteformbeta")
def test_debians_nftables_service_flushes_nothing(droplet):
    ports, before = published(droplet), rules(droplet)
    assert ports and answering(droplet, ports) == ports
    for command in ("systemctl restart nftables", "systemctl reload nftables", "systemctl stop nftables", "nft --file /etc/nftables.conf"):
        droplet.check_output(command)
        assert rules(droplet) == before, command
    assert answering(droplet, ports) == ports
    assert reachable(droplet) == ONLY_WHAT_IS_DECLARED


@pytest.mark.nightly("litefarmapp", "litefarm-imaginary", "liteformbeta")
def test_what_is_not_live_is_shown_and_repaired(droplet):
    nginx = droplet.file(NGINX_CONF).exists
    ports, lasting = published(droplet), droplet.check_output(LASTING)
    assert ports and answering(droplet, ports) == ports
    droplet.check_output("sysctl --write net.ipv4.conf.all.send_redirects=1")
    droplet.check_output(f"touch {SWAP_UNIT}")
    loaded_and_put_back(droplet, SSHD_CONF, "s/X11Forwarding no/X11Forwarding yes/", "systemctl restart ssh")
    if nginx:
        by_hand = "s|location = /nginx-health|location = /by-hand { return 204; } location = /nginx-health|"
        loaded_and_put_back(droplet, NGINX_CONF, by_hand, "systemctl reload nginx")
        assert droplet.check_output("python3 -c %s", BY_HAND) == "204"
    sshd, engine = invocation(droplet, "ssh"), invocation(droplet, "docker")
    # The engine's proxies go on answering for the ports. What is missing shows in what strangers reach.
    droplet.check_output(FLUSH)
    assert reachable(droplet) != ONLY_WHAT_IS_DECLARED

    status = lab.playbook("playbooks/status.yml")
    # Ansible may wrap what it shows.
    shown = " ".join(status.output.split())
    assert f"{droplet.name} does not run what is declared: " in shown, status.output[-3000:]
    for text in ("send_redirects is 1, declared is 0", "the kernel lacks rules of Docker's", "the kernel has no table inet litefarm"):
        assert text in shown, status.output[-3000:]

    run = lab.playbook("site.yml", "--diff", *variables(force=True))
    assert run.status == 0, run.reasons
    assert {BASE, DOCKER, FIREWALL} | ({NGINX} if nginx else set()) <= run.changes, run.reasons
    older = ("systemd runs it by an older unit file", f"{SSHD_CONF}: changed after ssh.service read it")
    for text in ("the kernel has no table inet litefarm", "the kernel lacks rules of Docker's", *older):
        assert text in run.output, run.reasons
    assert reachable(droplet) == ONLY_WHAT_IS_DECLARED
    now = published(droplet)
    assert now and answering(droplet, now) == now
    assert droplet.check_output(LASTING) == lasting, "a container was stopped"
    assert invocation(droplet, "ssh") != sshd and invocation(droplet, "docker") != engine
    assert droplet.check_output("sysctl --values net.ipv4.conf.all.send_redirects") == "0"
    assert droplet.check_output("systemctl show --property=NeedDaemonReload --value litefarm-swap.service") == "no"
    if nginx:
        assert droplet.check_output("python3 -c %s", BY_HAND) == "404"
    assert "does not run what is declared" not in lab.playbook("playbooks/status.yml").output


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("harm", "task", "text"),
    [
        ("nft flush table inet litefarm", FIREWALL, "declared lines of table inet litefarm"),
        ("nft insert rule inet litefarm outside accept", FIREWALL, "has 1 others"),
        ("iptables --table nat --flush DOCKER", DOCKER, "nat: no DNAT for port"),
        ("iptables --flush", DOCKER, "filter: FORWARD does not jump"),
        ("sysctl --write net.ipv4.conf.default.accept_redirects=1", BASE, "accept_redirects is 1, declared is 0"),
    ],
)
def test_each_harm_is_told_by_a_check_run_and_repaired_alone(droplet, harm, task, text):
    assert lab.playbook("site.yml", *variables(force=True)).status == 0
    lasting = droplet.check_output(LASTING)
    droplet.check_output(harm)
    verified = lab.playbook("playbooks/verify.yml")
    row = [line for line in verified.output.splitlines() if "live configuration" in line and droplet.name in line]
    assert row and "FAIL" in row[0], verified.reasons
    check = lab.playbook("site.yml", "--check", "--diff", *variables(force=True))
    repair = lab.playbook("site.yml", *variables(force=True))
    for run in (check, repair):
        assert run.status == 0, run.reasons
        assert run.changes == {task}, run.reasons
    assert text in check.output, check.reasons
    assert droplet.check_output(LASTING) == lasting
    assert lab.playbook("site.yml").total("changed") == 0
    assert reachable(droplet) == ONLY_WHAT_IS_DECLARED
