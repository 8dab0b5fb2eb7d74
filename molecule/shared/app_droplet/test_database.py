# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database of the app droplet: whom it belongs to, and whether it could be restored."""

from __future__ import annotations

import re

from tests.support import lab

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
