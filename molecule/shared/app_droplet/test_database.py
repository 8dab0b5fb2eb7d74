# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database of the app droplet: whom it belongs to, and whether it could be restored."""

from __future__ import annotations


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
