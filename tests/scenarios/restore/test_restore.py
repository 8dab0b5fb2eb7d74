# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database comes back by one command: to the second before a mistake, and after its data are gone. `make nightly` kills a restore after each step."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time

import pytest

from tests.support import lab
from tests.support.database import PSQL, Writer, sql
from tests.support.deployment import containers
from tests.support.night import sample

APP = "litefarmapp"
RESTORE = "playbooks/restore.yml"
# Of docs/restore-protocol.md. By day the one after which there is no database.
STEPS = ("aside", "plan", "stop", "fetch", "replay", "check", "promote", "swap")
# What may be lost with the droplet: archive_timeout, and what a busy machine adds.
LOST_AT_MOST = 30


@pytest.fixture
def app():
    return lab.connect(APP)


def restore(target, env=None):
    return lab.playbook(RESTORE, "-e", json.dumps({"to": target, "confirm": "production"}), env=env)


def restored(target):
    run = restore(target)
    assert run.status == 0, run.reasons
    return run


@contextlib.contextmanager
def killed_after(app, step):
    """The module dies after this step, in runs with the environment that is yielded."""
    try:
        # sshd hands it to the module's process, over a connection that is opened after it was written.
        app.check_output(f"echo LITEFARM_FAULT_POINT={step} > /etc/environment")
        with tempfile.TemporaryDirectory() as sockets:
            yield {"ANSIBLE_SSH_CONTROL_PATH_DIR": sockets}
    finally:
        app.check_output("truncate --size=0 /etc/environment")


@pytest.fixture
def backup(app):
    app.check_output("systemctl start litefarm-postgres-backup@incr.service")


@pytest.fixture
def serves(ask):
    """The application answers with its data, and nobody reads about maintenance."""

    def check():
        assert ask("app.litefarm.org").status == 200
        assert "exists" in ask("api.app.litefarm.org", "/login/user/nobody@example.org").text

    return check


def now():
    return sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')") + " UTC"


def test_what_is_lost_is_told_before_anything_is_changed(app, backup):
    before = containers()
    run = lab.playbook(RESTORE, "-e", json.dumps({"to": "latest"}))
    assert run.status != 0 and "confirm=production" in run.output and "Lost: " in run.output, run.output[-3000:]
    assert containers() == before and run.changes == set()


@pytest.mark.parametrize(
    ("target", "told"),
    sample(
        [
            ("2020-01-01 00:00:00 UTC", "before the first backup"),
            ("", "litefarm_to is missing"),
            ("2026-11-27 10:00:00", "no time zone"),
            ("2099-01-01 00:00:00 UTC", "in the future"),
            ("nothing", "no sound backup"),
        ]
    ),
)
def test_a_target_that_cannot_be_reached_is_refused(app, backup, target, told):
    before = containers()
    run = restore(target)
    assert run.status != 0 and told in " ".join(run.output.split()), run.output[-3000:]
    assert containers() == before


def test_a_dropped_table_is_there_at_the_second_before(app, backup, serves):
    sql("CREATE TABLE public.mistake (number int); INSERT INTO public.mistake VALUES (42)")
    time.sleep(2)
    moment = now()
    time.sleep(2)
    sql("DROP TABLE public.mistake; CREATE TABLE public.afterwards (number int)")
    restored(moment)
    assert sql("SELECT number FROM public.mistake") == "42"
    assert sql("SELECT to_regclass('public.afterwards') IS NULL") == "t"
    serves()
    assert app.run("ls -d /srv/litefarm/postgres/pgdata.before-*").rc == 0
    app.check_output("rm -rf /srv/litefarm/postgres/pgdata.before-*")
    sql("DROP TABLE public.mistake")


@pytest.mark.nightly
def test_a_time_after_which_nothing_was_written(app, backup, serves):
    """Recovery to a time needs a later transaction, and a quiet database has none, although WAL of a backup is in the archive."""
    sql("CREATE TABLE public.kept (number int); INSERT INTO public.kept VALUES (1)")
    time.sleep(2)
    moment = now()
    time.sleep(2)
    app.check_output("systemctl start litefarm-postgres-backup@incr.service")
    restored(moment)
    assert sql("SELECT number FROM public.kept") == "1"
    serves()
    moment = now()
    time.sleep(1)
    run = lab.playbook(RESTORE, "-e", json.dumps({"to": moment, "database": "litefarm_before"}))
    assert run.status == 0, run.reasons
    look = PSQL.replace("-d litefarm", "-d litefarm_before") + " -c "
    assert app.check_output(look + '"SELECT number FROM public.kept"') == "1"
    app.check_output("docker exec postgres dropdb -U postgres litefarm_before")
    app.check_output("rm -rf /srv/litefarm/postgres/pgdata.before-*")
    sql("DROP TABLE public.kept")


@pytest.fixture
def archive(app):
    """What a copy must not change: the live server's timeline, the timelines in the bucket, and the journal of the last restore."""

    def seen():
        histories = "docker exec postgres_backup sh /etc/litefarm/credentials/pgbackrest repo-ls --recurse --filter='[.]history$' archive"
        failed = sql("SELECT failed_count FROM pg_stat_archiver")
        journal = app.run("cat /var/lib/litefarm/postgres/restore.json").stdout
        return app.check_output(histories), sql("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"), failed, journal

    return seen


def test_a_dropped_table_is_in_a_copy_beside_the_live_database(app, backup, archive, serves):
    sql("CREATE TABLE public.mistake (number int); ALTER TABLE public.mistake OWNER TO litefarm; INSERT INTO public.mistake VALUES (42)")
    time.sleep(2)
    moment = now()
    time.sleep(2)
    sql("DROP TABLE public.mistake; CREATE TABLE public.afterwards (number int)")
    running, archived, users = containers(), archive(), sql("SELECT count(*) FROM public.users")
    copy = ("-e", json.dumps({"to": moment, "database": "litefarm_before"}))
    with killed_after(app, "promote") as env:
        killed = lab.playbook(RESTORE, *copy, env=env)
        assert killed.status != 0, killed.reasons
    assert app.run("ls -d /srv/litefarm/postgres/pgdata.copied").rc == 0
    run = lab.playbook(RESTORE, *copy)
    assert run.status == 0 and "psql -U postgres -d litefarm_before" in " ".join(run.output.split()), run.reasons
    look = PSQL.replace("-d litefarm", "-d litefarm_before") + " -c "
    assert app.check_output(look + '"SELECT number FROM public.mistake"') == "42"
    assert app.check_output(look + """"SELECT tableowner FROM pg_tables WHERE tablename IN ('mistake', 'afterwards')\"""") == "litefarm"
    # The live database has what it had, no container was started again, and no other server has archived anything.
    assert sql("SELECT to_regclass('public.mistake') IS NULL AND to_regclass('public.afterwards') IS NOT NULL") == "t"
    assert sql("SELECT count(*) FROM public.users") == users
    assert containers() == running and archive() == archived
    assert app.run("ls -d /srv/litefarm/postgres/pgdata.copied /var/lib/litefarm/postgres/spool.copied").stdout == ""
    serves()
    taken = lab.playbook(RESTORE, *copy)
    assert taken.status != 0 and "The database litefarm_before exists already" in " ".join(taken.output.split()), taken.reasons
    app.check_output("docker exec postgres dropdb -U postgres litefarm_before")
    sql("DROP TABLE public.afterwards")


# By day a restore that is killed goes on from data that are moved away.
@pytest.mark.nightly
def test_data_that_are_gone_come_back_but_for_some_seconds(app, backup, serves, record_property):
    writer = Writer()
    writer.start()
    time.sleep(20)
    app.check_output("docker kill postgres && rm -rf /srv/litefarm/postgres/pgdata")
    writer.stop()
    # The lab lets its environments be new ones.
    refused = lab.playbook("site.yml", "-e", json.dumps({"new_database": False}))
    assert refused.status != 0 and "restore.yml" in refused.output, refused.reasons
    run = restored("latest")
    count, lost = writer.lost()
    record_property("lost", f"{count} of {len(writer.acknowledged)} writes, of {lost:.1f} s; restored in {run.seconds:.0f} s")
    assert lost < LOST_AT_MOST
    serves()
    sql("DROP TABLE public.written")


@pytest.mark.parametrize("step", sample(STEPS))
def test_a_restore_that_is_killed_is_run_again(app, backup, serves, step):
    sql("CREATE TABLE public.kept (number int); INSERT INTO public.kept VALUES (1)")
    with killed_after(app, step) as env:
        killed = restore("latest", env)
        assert killed.status != 0 and "The database is not restored" in killed.output, killed.reasons
    answered = app.run(f"{PSQL} -c 'SELECT number FROM public.kept'")
    assert answered.rc != 0 or answered.stdout.strip() == "1"
    restored("latest")
    assert sql("SELECT number FROM public.kept") == "1"
    serves()
    assert app.check_output("docker ps --all --quiet --filter label=litefarm.platform.restore") == ""
    sql("DROP TABLE public.kept")
    app.check_output("rm -rf /srv/litefarm/postgres/pgdata.before-*")
