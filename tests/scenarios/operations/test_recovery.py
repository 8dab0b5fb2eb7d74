# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is killed comes back by itself, and no export is lost. The limits are generous; how long it took is in the summary."""

from __future__ import annotations

import json
import time

import pytest

from tests.support import lab
from tests.support.farm import ExportRequests, Farm
from tests.support.load import Load, Request
from tests.support.night import sample
from tests.support.pictures import form, png

APP, FILES = "litefarmapp", "litefarm-imaginary"
# The first two by day: a container with data, and the one that loses its work.
CONTAINERS = {"postgres": APP, "export_scheduler": FILES, "api": APP, "webapp": APP, "redis": FILES, "imaginary": FILES}


@pytest.fixture(scope="module")
def requests():
    """What users do all the time: the page, the API with and without its database, a picture to be made smaller."""
    headers, body = form(png(64, 64), "picture.png")
    return [
        "https://app.litefarm.org/",
        "https://api.app.litefarm.org/",
        "https://api.app.litefarm.org/login/user/nobody@example.org",
        Request(
            "https://image.litefarm.org/thumbnail?width=16&type=webp", "POST",
            {**headers, "API-Key": lab.vault("production")["vault_imaginary_token"]}, body,
        ),
    ]  # fmt: skip


@pytest.fixture
def outage(names, ca_file, requests, record_property):
    """Measures how long anything was amiss after a deed: until everything has gone well for two seconds in a row, and every export has arrived."""
    farm = Farm("production")

    def measure(deed, limit):
        earlier = farm.exports()
        with ExportRequests(farm) as exports, Load(requests, names, ca_file, rate=5, timeout=2) as load:
            time.sleep(2)
            began = time.monotonic()
            deed()
            # What went well before says nothing of what it did.
            time.sleep(2)
            while not load.well_for(2.0):
                assert time.monotonic() - began < limit, f"not back after {limit} s: {load.stop()}"
                time.sleep(0.2)
            report = load.stop()
        seconds = report.last_failure - report.first_failure if report.failures else 0.0
        ended = time.monotonic()
        # A scheduler takes up the work of one that was killed when no other one can be at it any more: after a minute.
        farm.wait_for_exports(earlier, exports.accepted, seconds=420)
        late = time.monotonic() - ended
        record_property("outage", f"{seconds:.1f} s; {report}; exports: {exports.accepted} accepted, {exports.refused} refused, the last {late:.0f} s later")

    return measure


@pytest.mark.parametrize("service", sample([*CONTAINERS], by_day=2))
def test_a_killed_container_comes_back(outage, service):
    host = lab.connect(CONTAINERS[service])
    pid = host.check_output("docker inspect -f '{{.State.Pid}}' %s", service)
    outage(lambda: host.check_output(f"kill -9 {pid}"), limit=90)


@pytest.mark.parametrize("name", sample([APP, FILES]))
@pytest.mark.parametrize("command", sample(["pkill -9 -x dockerd", "pkill -9 -x nginx"]))
def test_a_killed_daemon_comes_back(outage, name, command):
    outage(lambda: lab.connect(name).check_output(command), limit=90)


# By day the files droplet is rebooted with an address that is late, below.
@pytest.mark.parametrize("name", sample([APP, FILES]))
def test_a_reboot_brings_everything_back(outage, name):
    outage(lambda: lab.reboot(name), limit=180)
    assert lab.connect(name).check_output("systemctl --failed --no-legend --plain") == ""


@pytest.mark.nightly
@pytest.mark.parametrize("name", [APP, FILES])
def test_a_power_cut_brings_everything_back(outage, name):
    def cut():
        lab.cut_power(name)
        lab.reboot(name)

    outage(cut, limit=180)
    assert lab.connect(name).check_output("systemctl --failed --no-legend --plain") == ""


# By day test_redis.py cuts the power of beta's.
@pytest.mark.nightly
def test_a_power_cut_that_damages_the_log_of_redis_loses_no_export_and_is_told(outage):
    host, folder = lab.connect(FILES), "/srv/litefarm/redis"
    # The engine starts again while the container is down, as at a boot.
    cut = (
        "pid=$(docker inspect -f '{{.State.Pid}}' redis) && sleep 1.5 && systemctl stop docker.socket docker.service && kill -9 $pid && "
        f"log=$(ls -t {folder}/appendonlydir/*.incr.aof | head -n 1) && head -c 4096 /dev/zero >> $log; code=$?; systemctl start docker.service; exit $code"
    )
    outage(lambda: host.check_output(cut), limit=120)
    (copy,) = host.check_output(f"ls {folder}/damaged").split()
    for playbook in ("playbooks/status.yml", "playbooks/verify.yml"):
        run = lab.playbook(playbook, env={"COLUMNS": "400"})
        assert "damaged bytes were cut from the end of its log" in run.output and f"{folder}/damaged/{copy}" in run.output, run.output
    host.check_output(f"rm {folder}/damaged/{copy}")
    for playbook in ("playbooks/status.yml", "playbooks/verify.yml"):
        assert copy not in lab.playbook(playbook, env={"COLUMNS": "400"}).output


CLIENTS = "docker exec --interactive redis sh /etc/litefarm/redis-cli"
BLOCKED = f"{CLIENTS} CLIENT LIST | grep -c cmd=brpoplpush"


@pytest.mark.nightly
def test_a_scheduler_that_forgets_to_ask_for_jobs_is_restarted():
    """Its Redis client does if a connection ends while it is made, after one that has ended."""
    host, farm = lab.connect(FILES), Farm("production")
    earlier = farm.exports()
    assert int(host.run(BLOCKED).stdout) > 0
    # For about a second.
    host.check_output(f"yes CLIENT KILL TYPE normal SKIPME yes | head -n 20000 | {CLIENTS} > /dev/null")
    time.sleep(8)
    assert int(host.run(BLOCKED).stdout) == 0, "it asks for jobs all the same, so this test shows nothing"
    assert farm.request_export() == 200
    farm.wait_for_exports(earlier, 1, seconds=420)


LATE = "/etc/systemd/system/test-late-address.service"
LATE_UNIT = """[Unit]
Description=The private address appears 10 s after the container that publishes a port on it runs
After=dbus.socket
Before=docker.service containerd.service nginx.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ip address del {address} dev {interface}
ExecStart=systemd-run --quiet --no-block /bin/sh -c \
  'until docker inspect --format {{{{.State.Running}}}} {service} | grep true; do sleep 0.2; done; sleep 10; \
  touch /run/test-late-address && ip address add {address} dev {interface}'
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture
def late_address(name):
    """At each boot of the droplet its private address appears late: however slow the boot is, after a container that needs it."""
    host = lab.connect(name)
    private = {lab.status()["droplets"][droplet]["private_address"] for droplet in (APP, FILES)}
    (found,) = (
        {"address": f"{each['local']}/{each['prefixlen']}", "interface": interface["ifname"]}
        for interface in json.loads(host.check_output("ip -json -4 address show"))
        for each in interface["addr_info"]
        if each["local"] in private
    )
    unit = LATE_UNIT.format(**found, service={APP: "postgres", FILES: "redis"}[name])
    host.check_output("printf '%%s' %s > %s && systemctl daemon-reload && systemctl enable test-late-address.service", unit, LATE)
    yield found
    host = lab.connect(name)
    host.check_output("systemctl disable test-late-address.service && rm %s && systemctl daemon-reload && rm -f /run/test-late-address", LATE)
    # What a failed test has left without its address.
    host.run("ip address add %s dev %s", found["address"], found["interface"])


@pytest.mark.parametrize("name", sample([FILES, APP]))
def test_what_listens_on_a_private_address_that_appears_late_comes_up_by_itself(outage, name, late_address):
    outage(lambda: lab.reboot(name), limit=180)
    host = lab.connect(name)
    appeared = host.check_output("date -u -r /run/test-late-address +%Y-%m-%dT%H:%M:%S")
    for service in [service for service, droplet in CONTAINERS.items() if droplet == name and service in ("postgres", "redis")]:
        started = host.check_output("docker inspect -f '{{.State.StartedAt}} {{.State.Running}}' %s", service)
        # Else this test has shown nothing: the containers were later than the address.
        assert started < appeared and started.endswith(" true"), (service, started, appeared)
    assert host.check_output("systemctl --failed --no-legend --plain") == ""


def test_after_all_that_nothing_is_to_be_done():
    run = lab.playbook("site.yml")
    assert run.status == 0, run.reasons
    assert run.total("changed") == 0, run.reasons
