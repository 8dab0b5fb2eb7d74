# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive of the database: what is committed leaves the droplet within seconds, and an outage of the object storage costs nothing."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.archive import Archive
from tests.support.storage_faults import storage_fault

STATE = "/var/lib/litefarm/postgres"
RESERVE = "/srv/litefarm/postgres/emergency-reserve"
PGBACKREST = "docker exec -u 999 postgres_backup sh /etc/litefarm/credentials/pgbackrest"
ARCHIVED = "SELECT last_archived_wal >= '%s' FROM pg_stat_archiver"
# archive_timeout, the guard's pause, and a machine that is busy with something else.
SOON = 60


@pytest.fixture
def sql(droplet):
    return lambda text: droplet.check_output("docker exec -u 999 postgres psql -qAtX -U postgres -c %s", text)


def guard(droplet):
    return json.loads(droplet.check_output(f"cat {STATE}/guard.json"))


def until(condition, seconds=SOON):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(1)


def info(droplet):
    (stanza,) = json.loads(droplet.check_output(f"{PGBACKREST} info --output=json"))
    return stanza


def test_the_disk_has_its_reserve_from_the_first_run_on(droplet):
    """The guard starts before the container of PostgreSQL, which makes the folder of its data."""
    until(lambda: droplet.file(RESERVE).exists)
    reserve = droplet.file(RESERVE)
    assert (reserve.size, reserve.uid, reserve.mode) == (256 * 1024 * 1024, 0, 0o600)
    assert guard(droplet)["reserve_problem"] == ""
    folder = droplet.file("/srv/litefarm/postgres")
    assert (folder.uid, folder.gid, folder.mode) == (999, 999, 0o700)


def test_what_is_written_is_archived_within_seconds(droplet, sql):
    segment = sql("SELECT pg_walfile_name(pg_current_wal_lsn()) FROM (SELECT pg_logical_emit_message(true, 'test', 'x')) AS written")
    until(lambda: sql(ARCHIVED % segment) == "t")
    assert info(droplet)["archive"][0]["max"] >= segment


def test_the_server_obeys_archive_timeout_after_a_restart_too(droplet, sql):
    """After a clean start the server would first count it after five minutes."""
    droplet.check_output("docker restart postgres")
    until(lambda: droplet.run("docker exec -u 999 postgres pg_isready").rc == 0)
    segment = sql("SELECT pg_walfile_name(pg_current_wal_lsn()) FROM (SELECT pg_logical_emit_message(true, 'test', 'x')) AS written")
    until(lambda: sql(ARCHIVED % segment) == "t")


def test_segments_are_small_and_their_timeout_is_short(droplet, sql):
    until(lambda: guard(droplet)["archive_timeout"] == 8)
    assert sql("SHOW wal_segment_size") == "1MB" and sql("SHOW archive_timeout") == "8s"


def test_backups_are_taken_by_unit_and_recorded(droplet):
    for kind in ("incr", "incr", "verify"):
        droplet.check_output(f"systemctl start litefarm-postgres-backup@{kind}.service")
        assert json.loads(droplet.check_output(f"cat {STATE}/backup-{kind}.json"))["result"] == "ok"
    # The first one of a cluster is full, whatever was asked for.
    assert [backup["type"] for backup in info(droplet)["backup"]][-1] == "incr"
    assert info(droplet)["cipher"] == "aes-256-cbc"


def test_an_outage_of_the_object_storage_fails_no_write_and_loses_nothing(droplet, environment, sql):
    before = info(droplet)["archive"][0]["max"]
    sql("CREATE TABLE public.outage (number int)")
    try:
        with storage_fault("refuse", f"litefarm-{environment}-backups"):
            for number in range(20):
                sql(f"INSERT INTO public.outage VALUES ({number}); SELECT pg_switch_wal()")
            until(lambda: guard(droplet)["unarchived_files"] >= 20)
            failed = droplet.run("systemctl start litefarm-postgres-backup@incr.service")
            assert failed.rc != 0
            assert json.loads(droplet.check_output(f"cat {STATE}/backup-incr.json"))["result"] == "failed"
        until(lambda: guard(droplet)["unarchived_files"] == 0, 120)
    finally:
        sql("DROP TABLE public.outage")
    assert droplet.run("systemctl start litefarm-postgres-backup@incr.service").rc == 0
    after = info(droplet)["archive"][0]["max"]
    assert int(after[8:16] + after[16:], 16) - int(before[8:16] + before[16:], 16) >= 20
    droplet.check_output("systemctl start litefarm-postgres-backup@verify.service")


def test_nothing_in_the_bucket_is_readable_without_the_key(droplet, environment):
    assert droplet.file("/etc/litefarm/postgres/pgbackrest.conf").mode == 0o400
    archive = Archive(environment)
    names = archive.names()
    assert any("/backup/litefarm/" in name for name in names) and any("/archive/litefarm/" in name for name in names)
    # How OpenSSL's format begins: a salt, then the cipher.
    assert [name for name in names if not archive.read(name).startswith(b"Salted__")] == []
