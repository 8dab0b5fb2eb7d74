# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy beside the live database: the live server is not touched, and whatever fails or is killed leaves nothing behind after the next run."""

from __future__ import annotations

import json

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _postgres_copy as postgres_copy
from ansible_collections.litefarm.platform.plugins.module_utils._postgres_restore import RestoreError

from . import fakes

TIME = "2026-11-27 11:30:00 UTC"
TARGETS = ["latest", TIME, "before-v2"]


@pytest.fixture(name="droplet")
def fixture_droplet(tmp_path):
    return fakes.Droplet(tmp_path)


@pytest.fixture(name="before")
def fixture_before(droplet):
    return set(droplet.databases)


def unchanged(droplet):
    """The live server, its data and its journal are as they were, and nothing else is there."""
    assert droplet.content("pgdata") == "old" and droplet.before == "-"
    assert droplet.seen["postgres"]["state"] == "running" and droplet.policies["postgres"] == "unless-stopped"
    assert set(droplet.seen) == {"postgres"}
    assert [path.name for path in droplet.root.iterdir()] == ["pgdata"]
    assert not (droplet.state / "postgres" / "restore.json").exists() and not (droplet.state / "postgres" / "spool.copied").exists()


def refused(droplet, to=TIME, **params):
    """The sentence, of the plan and of the copy alike, where nothing was touched."""
    before = set(droplet.databases)
    with pytest.raises(RestoreError) as planned:
        droplet.copy(to, **params).plan()
    copy = droplet.copy(to, **params)
    with pytest.raises(RestoreError) as copied:
        copy.copy()
    assert str(planned.value) == str(copied.value) and not copy.changed
    assert droplet.databases == before
    return str(copied.value)


def failed(droplet, before, to=TIME):
    with pytest.raises(RestoreError) as caught:
        droplet.copy(to).copy()
    unchanged(droplet)
    assert droplet.databases == before
    return str(caught.value)


@pytest.mark.parametrize("to", TARGETS)
def test_the_database_of_a_time_is_beside_the_live_one(droplet, before, to):
    copy = droplet.copy(to)
    plan = copy.copy()
    assert droplet.databases == before | {"litefarm_before"}
    assert tuple(droplet.log) == postgres_copy.COPY_STEPS
    assert (plan["target"], plan["lost"], copy.journal.data["tables"], copy.changed) == (to, [], 161, True)
    unchanged(droplet)


def test_a_plan_changes_nothing(droplet, before):
    plan = droplet.copy(TIME).plan()
    # Restored files and a tenth, the loaded database, its WAL, and what is spare.
    assert plan["needed_mb"] == 16 * 3 + 1 + 512 and plan["resumes"] == ""
    assert droplet.databases == before
    unchanged(droplet)


@pytest.mark.parametrize("step", postgres_copy.COPY_STEPS)
@pytest.mark.parametrize("to", TARGETS)
def test_a_killed_copy_starts_over(droplet, before, step, to):
    with pytest.raises(fakes.Killed):
        droplet.copy(to, fault=step).copy()
    droplet.log.clear()
    droplet.copy(to, copy_to="another").copy()
    assert tuple(droplet.log) == postgres_copy.COPY_STEPS
    assert droplet.databases - {"litefarm_before"} == before | {"another"}
    unchanged(droplet)


def left_by_a_killed_copy(droplet):
    """SIGKILL runs no clean-up, other than an exception in a test."""
    droplet.write("pgdata.copied", "replayed")
    droplet.add("postgres_copy", "restore", "running")
    droplet.add("postgres_copy_tool", "restore", "running")
    droplet.databases.add(postgres_copy.LOADING)
    (droplet.state / "postgres" / "spool.copied").mkdir(parents=True)


def test_what_a_killed_copy_has_left_is_removed(droplet, before):
    left_by_a_killed_copy(droplet)
    droplet.copy(TIME).copy()
    assert droplet.databases == before | {"litefarm_before"}
    unchanged(droplet)


def test_space_that_a_killed_copy_takes_counts_as_free(droplet, monkeypatch):
    left_by_a_killed_copy(droplet)
    (droplet.root / "pgdata.copied" / "base").write_bytes(b"x" * (1 << 20))
    monkeypatch.setattr(postgres_copy.Restore, "_free", lambda self: 600 << 20)
    assert droplet.copy(TIME).plan()["free_mb"] == 601


def test_a_restore_after_a_killed_copy_does_not_meet_it(droplet):
    left_by_a_killed_copy(droplet)
    droplet.restore(TIME).restore()
    assert droplet.content("pgdata") == "new"


@pytest.mark.parametrize("name", ["", "Before", "1before", "a-b", "a.b", 'a"b', "a b", "a'b", "x" * 64, "restore.loading"])
def test_a_name_that_is_not_plain(droplet, name):
    assert "litefarm_database is '%s', which is no plain name: write at most 63" % name in refused(droplet, copy_to=name)
    unchanged(droplet)


def test_names_that_are_taken(droplet):
    assert "which is the application's own database: give another name, such as litefarm_before." in refused(droplet, copy_to="litefarm")
    for name in postgres_copy.SYSTEM:
        assert "which is a database of PostgreSQL itself" in refused(droplet, copy_to=name)
    droplet.databases.add("litefarm_before")
    sentence = refused(droplet)
    assert "The database litefarm_before exists already" in sentence and "docker exec postgres dropdb -U postgres litefarm_before." in sentence
    unchanged(droplet)


def test_a_server_that_does_not_run(droplet):
    droplet.seen["postgres"]["state"] = "exited"
    assert "The database server postgres does not run, so there is nothing to copy into" in refused(droplet)
    droplet.lose()
    assert "does not run" in refused(droplet)


def test_too_little_space(droplet, monkeypatch):
    monkeypatch.setattr(postgres_copy.Restore, "_free", lambda self: 100 << 20)
    assert "has 100 MB free, and a copy needs 562 MB, for the restored files, the database that is loaded" in refused(droplet)
    unchanged(droplet)


def test_a_time_that_the_archive_does_not_have(droplet):
    assert "is before the first backup" in refused(droplet, "2026-11-27 09:59:59 UTC")
    unchanged(droplet)


def test_wal_of_the_live_server_that_does_not_reach_the_archive(droplet, before):
    droplet.archives = False
    assert "1 WAL segments of the running server did not reach the archive" in failed(droplet, before, "latest")
    droplet.ready.unlink()
    # A time that the archive has needs none.
    droplet.copy(TIME).copy()


def test_a_time_after_the_last_transaction(droplet):
    """A quiet database: the live server writes one, so that recovery can stop before it."""
    droplet.buckets[fakes.CLUSTER].last_commit = fakes.NOON - 3600
    droplet.copy(TIME).copy()
    assert "litefarm_before" in droplet.databases
    unchanged(droplet)


def test_a_gap_in_the_archive(droplet, before):
    droplet.gap = True
    assert "WAL segment 000000010000000000000009 is missing or damaged" in failed(droplet, before, "latest")


def test_data_without_the_application(droplet, before):
    droplet.database = False
    assert "The restored data have no database litefarm with tables in it" in failed(droplet, before)


def test_a_load_that_fails_leaves_no_half_database(droplet, before):
    droplet.load_fails = 'pg_dump: last words\npg_restore: error: could not execute query: ERROR:  role "gone" does not exist\n'
    assert 'could not be loaded: pg_restore: error: could not execute query: ERROR:  role "gone" does not exist' in failed(droplet, before)


def test_a_live_server_that_was_restarted_keeps_no_half_database(droplet, before, monkeypatch):
    clock = fakes.Clock()

    def ends(command):
        droplet.seen["postgres"]["back"] = clock.now() + 10
        return 1, "", "pg_restore: error: server closed the connection unexpectedly"

    def live_psql(sql, serves=droplet._live_psql):
        return serves(sql) if clock.now() >= droplet.seen["postgres"].get("back", 0) else (2, "", "the database system is starting up")

    monkeypatch.setattr(droplet, "_load", ends)
    monkeypatch.setattr(droplet, "_live_psql", live_psql)
    with pytest.raises(RestoreError, match="server closed the connection"):
        droplet.copy(TIME, clock=clock).copy()
    assert droplet.databases == before
    unchanged(droplet)


def test_why_it_failed_is_told_although_the_live_server_is_gone(droplet, monkeypatch):
    def ends(command):
        droplet.lose()
        return 1, "", "pg_restore: error: server closed the connection unexpectedly"

    monkeypatch.setattr(droplet, "_load", ends)
    with pytest.raises(RestoreError, match="server closed the connection"):
        droplet.copy(TIME).copy()


def test_the_archive_of_another_cluster_needs_nothing_of_the_live_server(droplet):
    other = droplet.buckets["123"] = fakes.Bucket("123")
    droplet.archives = False
    plan = droplet.copy("latest", cluster=other.cluster).copy()
    assert (plan["cluster"], plan["restores_to"]) == ("123", "2026-11-27 11:59:50 UTC")


def test_the_server_of_the_copy_shares_nothing_but_the_live_socket(droplet, monkeypatch):
    bodies = {}
    create = droplet.create
    monkeypatch.setattr(droplet, "create", lambda name, body: bodies.update({name: json.loads(json.dumps(body))}) or create(name, body))
    droplet.copy(TIME).copy()
    mounts = {mount["Target"]: mount for mount in bodies["postgres_copy"]["HostConfig"]["Mounts"]}
    assert mounts["/run/live"] == {"Type": "bind", "Source": "%s/postgres/socket" % droplet.state, "Target": "/run/live", "ReadOnly": True}
    # The queue of the live server's WAL is not its.
    assert mounts["/var/spool/pgbackrest"]["Source"].endswith("/spool.copied")
    assert "-c archive_command= " in bodies["postgres_copy"]["Cmd"][0]
    assert bodies["postgres_copy"]["HostConfig"]["RestartPolicy"] == {"Name": "no"}
