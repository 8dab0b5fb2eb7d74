# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What really runs on a droplet: as whom, with which rights, and what it left on the disk."""

from __future__ import annotations

import json

import pytest

from tests.support import lab

USERS = {"postgres": 999, "postgres_backup": 999, "redis": 999, "imaginary": 65534, "api": 1000, "export_scheduler": 1000, "webapp": 101}


def services(droplet):
    """The services that the droplet's groups say it has. Backups go with the database."""
    groups = {group for group, members in lab.hosts(lab.environment_of(droplet.name)).items() if droplet.name in members}
    return (groups & set(USERS)) | ({"postgres_backup"} if "postgres" in groups else set())


@pytest.fixture
def containers(droplet):
    """Service to what the engine says of its running container."""
    names = droplet.check_output("docker ps --format '{{.Names}}'").split()
    found = json.loads(droplet.check_output("docker inspect %s" % " ".join(names)))
    return {entry["Config"]["Labels"]["litefarm.platform.service"]: entry for entry in found}


def status_of(droplet, entry):
    """/proc/<pid>/status of every process of a container. One may have ended after it was listed, such as a probe or a backup."""
    pids = droplet.check_output("docker top %s -eo pid" % entry["Id"]).split()[1:]
    read = [droplet.run(f"cat /proc/{pid}/status") for pid in pids]
    found = [dict(line.split(":\t", 1) for line in status.stdout.splitlines()) for status in read if status.rc == 0]
    assert found, entry["Name"]
    return found


def test_exactly_the_services_of_this_droplet_run(droplet, containers):
    assert set(containers) == services(droplet)


def test_no_process_of_a_service_has_rights_it_does_not_need(droplet, containers):
    for service, entry in containers.items():
        for process in status_of(droplet, entry):
            assert process["Uid"].split() == [str(USERS[service])] * 4, (service, process["Name"])
            for capabilities in ("CapPrm", "CapEff", "CapBnd"):
                assert int(process[capabilities], 16) == 0, (service, process["Name"], capabilities)
            assert process["NoNewPrivs"] == "1"


def test_services_are_bounded_and_their_roots_are_read_only(containers):
    for service, entry in containers.items():
        limits = entry["HostConfig"]
        assert limits["ReadonlyRootfs"], service
        assert limits["Memory"] > 0, service
        assert limits["PidsLimit"] > 0, service
        assert limits["Init"], service
        assert not limits["Privileged"], service
        assert limits["RestartPolicy"]["Name"] == "unless-stopped", service
        assert limits["LogConfig"]["Config"]["max-size"], service


def test_containers_publish_on_loopback_and_the_private_address_only(droplet, containers):
    private = json.loads(droplet.check_output("ip -json addr"))
    addresses = {info["local"] for link in private for info in link["addr_info"]}
    published = {
        binding["HostIp"]
        for entry in containers.values()
        for bindings in entry["NetworkSettings"]["Ports"].values()
        for binding in bindings or []
    }
    assert published <= addresses
    assert "0.0.0.0" not in published


def test_the_user_deploy_may_become_root_but_not_through_docker(droplet):
    user = droplet.user("deploy")
    assert user.exists
    assert "docker" not in user.groups
    assert droplet.run("sudo -u deploy sudo -n true").succeeded


def test_ssh_takes_no_password(droplet):
    effective = droplet.check_output("sshd -T").lower().splitlines()
    assert "passwordauthentication no" in effective
    assert "permitrootlogin without-password" in effective or "permitrootlogin prohibit-password" in effective


@pytest.mark.parametrize("unit", ["docker", "nginx", "ssh", "unattended-upgrades"])
def test_a_unit_is_there_after_a_reboot(droplet, unit):
    assert droplet.service(unit).is_enabled
    assert droplet.service(unit).is_running


def test_nothing_has_failed(droplet):
    assert droplet.check_output("systemctl --failed --no-legend --plain") == ""
