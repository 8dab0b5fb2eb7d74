# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database of the app droplet: whom it belongs to, and whether it could be restored."""

from __future__ import annotations

import re

import pytest

from tests.support import lab

pytestmark = pytest.mark.group("postgres")

COUNTS = r"""
SELECT format('SELECT %L, count(*) FROM %I.%I', n.nspname || '.' || c.relname, n.nspname, c.relname)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' ORDER BY 1 \gexec
"""
LOCALE = "SELECT datlocprovider, datlocale, datcollate, pg_encoding_to_char(encoding), pg_get_userbyid(datdba) FROM pg_database WHERE datname = '%s'"


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


OTHER_MAJOR = r"""FROM %s
USER root
RUN printf '#!/bin/sh\necho "postgres (PostgreSQL) 18.1"\n' > /usr/local/bin/postgres && chmod 0755 /usr/local/bin/postgres
"""


@pytest.mark.nightly
def test_an_image_of_another_major_version_is_refused_and_the_server_goes_on(droplet):
    started = "docker inspect --format '{{.Id}} {{.State.StartedAt}}' postgres"
    before, image = droplet.check_output(started), droplet.check_output("docker inspect --format '{{.Config.Image}}' postgres")
    # An image that says so, because the lab has no other version.
    lab.over_ssh(droplet.name, ["docker", "build", "--quiet", "--tag", "postgres:18-test", "-"], OTHER_MAJOR % image)
    try:
        run = lab.playbook("site.yml", "-e", "postgres_image=postgres:18-test", environment=lab.environment_of(droplet.name))
    finally:
        droplet.check_output("docker rmi postgres:18-test")
    assert run.status != 0
    assert "is PostgreSQL 18, and the database in /srv/litefarm/postgres is of PostgreSQL 17" in " ".join(run.output.split()), run.reasons
    assert droplet.check_output(started) == before


@pytest.fixture
def small_disk(droplet):
    """small_disk(size, days) mounts a full disk in place of the folder of the dumps: it has a dump of C(size) bytes for each age in days."""
    folder = "/srv/litefarm/backups/postgres"

    def fill(size, days):
        droplet.run(f"umount {folder}")
        droplet.check_output(f"mount -t tmpfs -o size={size * len(days)},mode=0700 none {folder}")
        for age in days:
            path = f"{folder}/litefarm-20200101T0000{59 - age:02d}Z.dump"
            droplet.check_output(f"head -c {size} /dev/zero > {path} && touch --date='{age} days ago' {path}")

    yield fill
    droplet.check_output(f"umount {folder}")
    assert droplet.run("systemctl start litefarm-backup-postgres.service").rc == 0


def test_a_folder_full_of_old_dumps_does_not_stay_full(droplet, small_disk):
    assert droplet.run("systemctl start litefarm-backup-postgres.service").rc == 0
    newest = droplet.check_output("ls -t /srv/litefarm/backups/postgres/*.dump | head -n 1")
    size = max(1 << 20, droplet.file(newest).size)
    # Two more than postgres_backup_keep_minimum, all older than postgres_backup_keep_days.
    small_disk(size, range(20, 29))
    done = droplet.run("systemctl start litefarm-backup-postgres.service")
    assert done.rc == 0, droplet.run("journalctl -u litefarm-backup-postgres -n 20").stdout
    ages = [int(age) for age in droplet.check_output("cd /srv/litefarm/backups/postgres && stat -c '%Y' *.dump").split()]
    assert len(ages) == 7 and droplet.file("/srv/litefarm/backups/postgres/last-success").exists


@pytest.mark.nightly
def test_a_dump_that_has_no_room_is_told(droplet, small_disk):
    small_disk(1 << 20, [1, 2])
    assert droplet.run("systemctl start litefarm-backup-postgres.service").rc != 0
    assert "The last dump of the database failed" in " ".join(lab.playbook("playbooks/status.yml").output.split())
    assert "; the last one failed" in " ".join(lab.playbook("playbooks/verify.yml").output.split())


def commands_of(heading):
    """What a page of the documentation says to run on a droplet, in its order."""
    page = (lab.PROJECT / "docs" / "operations.md").read_text()
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^ +(docker .+)$", section, re.MULTILINE)


def test_the_newest_backup_is_restored_beside_the_database_as_the_page_says(droplet):
    """The commands that users notice nothing of; the others rename databases."""
    create, restore, *_others = commands_of("By hand, from a dump")
    assert droplet.run("systemctl start litefarm-backup-postgres.service").rc == 0
    newest = droplet.check_output("ls -t /srv/litefarm/backups/postgres/*.dump | head -n 1").rpartition("/")[2]

    def query(database, sql):
        return lab.over_ssh(droplet.name, ["docker", "exec", "-i", "-u", "999", "postgres", "psql", "-qAtX", "-U", "postgres", "-d", database], sql).splitlines()

    try:
        for command in (create, restore.replace("NAME.dump", newest)):
            done = droplet.run(command)
            assert done.rc == 0, done.stderr
        counted = query("restored", COUNTS)
        assert len(counted) > 5 and counted == query("litefarm", COUNTS)
        assert query("postgres", LOCALE % "restored") == query("postgres", LOCALE % "litefarm")
    finally:
        droplet.run("docker exec -u 999 postgres dropdb -U postgres --if-exists restored")
