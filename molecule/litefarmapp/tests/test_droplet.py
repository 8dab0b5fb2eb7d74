# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What really runs on the app droplet: as whom, with which rights, and what it left on the disk."""

from __future__ import annotations

import json

import pytest

USERS = {"postgres": 999, "api": 1000, "webapp": 101}


def containers(droplet):
    """Service to what the engine says of its running container."""
    names = droplet.check_output("docker ps --format '{{.Names}}'").split()
    found = json.loads(droplet.check_output("docker inspect %s" % " ".join(names)))
    return {entry["Config"]["Labels"]["litefarm.platform.service"]: entry for entry in found}


def status_of(droplet, entry):
    """/proc/<pid>/status of every process of a container."""
    pids = droplet.check_output("docker top %s -eo pid" % entry["Id"]).split()[1:]
    return [dict(line.split(":\t", 1) for line in droplet.check_output(f"cat /proc/{pid}/status").splitlines()) for pid in pids]


def test_exactly_the_services_of_this_droplet_run(droplet):
    assert set(containers(droplet)) == set(USERS)


@pytest.mark.parametrize("service", USERS)
def test_no_process_of_a_service_has_rights_it_does_not_need(droplet, service):
    for process in status_of(droplet, containers(droplet)[service]):
        assert process["Uid"].split() == [str(USERS[service])] * 4, process["Name"]
        for capabilities in ("CapPrm", "CapEff", "CapBnd"):
            assert int(process[capabilities], 16) == 0, (process["Name"], capabilities)
        assert process["NoNewPrivs"] == "1"


@pytest.mark.parametrize("service", USERS)
def test_a_service_is_bounded_and_its_root_is_read_only(droplet, service):
    limits = containers(droplet)[service]["HostConfig"]
    assert limits["ReadonlyRootfs"]
    assert limits["Memory"] > 0
    assert limits["PidsLimit"] > 0
    assert limits["Init"]
    assert not limits["Privileged"]
    assert limits["RestartPolicy"]["Name"] == "unless-stopped"
    assert limits["LogConfig"]["Config"]["max-size"]


def test_containers_publish_on_loopback_and_the_private_address_only(droplet):
    private = json.loads(droplet.check_output("ip -json addr"))
    addresses = {info["local"] for link in private for info in link["addr_info"]}
    published = {
        binding["HostIp"]
        for entry in containers(droplet).values()
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


def test_the_database_lives_under_srv_and_is_closed_to_others(droplet):
    data = droplet.file("/srv/litefarm/postgres")
    assert data.is_directory
    assert (data.uid, data.mode & 0o077) == (999, 0)
    backups = droplet.file("/srv/litefarm/backups")
    assert backups.mode & 0o077 == 0


def test_the_application_role_owns_its_database_and_nothing_else(droplet):
    def query(sql):
        return droplet.check_output("docker exec -u 999 postgres psql -AtX -U postgres -c %s", sql).splitlines()

    assert query("SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname='litefarm'") == [
        "f|f|f|f|f"
    ]
    owned = "SELECT datname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE rolname = 'litefarm'"
    assert query(owned) == ["litefarm"]
    assert query("SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname='litefarm'") == ["t"]
    assert query("SELECT has_database_privilege('litefarm', 'postgres', 'CONNECT')") == ["f"]


def test_a_backup_can_be_taken_and_is_readable(droplet):
    assert droplet.run("systemctl start litefarm-backup-postgres.service").rc == 0
    newest = droplet.check_output("ls -t /srv/litefarm/backups/postgres/*.dump | head -n 1")
    listing = droplet.check_output(f"docker exec -i postgres pg_restore --list < {newest}")
    assert "knex_migrations" in listing
    assert droplet.file(newest).mode & 0o077 == 0
    assert droplet.run("systemctl is-enabled litefarm-backup-postgres.timer").rc == 0


@pytest.mark.parametrize("unit", ["docker", "nginx", "ssh", "unattended-upgrades"])
def test_a_unit_is_there_after_a_reboot(droplet, unit):
    assert droplet.service(unit).is_enabled
    assert droplet.service(unit).is_running


def test_nothing_has_failed(droplet):
    assert droplet.check_output("systemctl --failed --no-legend --plain") == ""
