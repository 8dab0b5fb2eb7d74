# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive that cannot be used, or not to its end: one sentence says so, and what was there serves on. Runs after releases, which keep containers."""

from __future__ import annotations

import hashlib

import pytest

from tests.support import lab
from tests.support.archive import Archive, configured
from tests.support.database import sql, wait_until_archived
from tests.support.night import NIGHT, sample
from tests.support.storage_faults import storage_fault

APP = "litefarmapp"


@pytest.fixture
def app():
    return lab.connect(APP)


@pytest.fixture(scope="module")
def archive():
    return Archive("production")


def restore(*options):
    """What a person reads, in one line."""
    run = lab.playbook("playbooks/restore.yml", "-e", "to=latest", *options)
    assert run.status != 0, "it was not refused"
    return " ".join(run.output.split())


@pytest.fixture
def segments(app):
    """Names of the WAL segments of three rows, of which each is in one of its own."""
    app.check_output("systemctl start litefarm-postgres-backup@incr.service")
    sql("CREATE TABLE public.kept (number int)")
    names = [sql(f"INSERT INTO public.kept VALUES ({number}); SELECT pg_walfile_name(pg_switch_wal())") for number in (1, 2, 3)]
    wait_until_archived()
    yield names
    sql("DROP TABLE public.kept")


def states(app):
    """Every container of the droplet, and whether it runs."""
    return dict(line.split() for line in app.check_output("docker ps --all --format '{{.Names}} {{.State}}'").splitlines())


@pytest.mark.parametrize("harm", sample(["missing", "damaged"]))
def test_wal_that_is_not_whole_is_not_taken_for_the_end(app, archive, segments, ask, harm):
    """Trap 2: left to itself, the server promotes where the WAL stops, and everything after that is gone."""
    before, serving = sql("SELECT timeline_id FROM pg_control_checkpoint()"), states(app)
    assert sum(name.startswith("api.previous.") for name in serving) > 1
    with getattr(archive, harm)(archive.find("/archive/", segments[1])):
        told = restore("-e", "confirm=production")
    assert f"WAL segment {segments[1]} is missing or damaged in the archive" in told and "The database that was there serves again." in told, told[-2000:]
    assert sql("SELECT count(*) FROM public.kept") == "3" and sql("SELECT timeline_id FROM pg_control_checkpoint()") == before
    assert "exists" in ask("api.app.litefarm.org", "/login/user/nobody@example.org").text
    assert ask("app.litefarm.org").status == 200 and states(app) == serving
    assert app.run("ls -d /srv/litefarm/postgres/pgdata.restored").rc != 0
    assert "Nobody holds the deploy lock" in lab.playbook("playbooks/status.yml").output


def test_a_damaged_backup_is_found_before_it_is_needed(app, archive, segments):
    """Trap 3: pgBackRest's verification ends with 0 whatever it finds."""
    app.check_output("systemctl start litefarm-postgres-backup@full.service")
    with archive.damaged(archive.find("/backup/litefarm/", "F/bundle/")):
        assert app.run("systemctl start litefarm-postgres-backup@verify.service").rc != 0
        if NIGHT:
            told = restore("-e", "confirm=production")
            assert "is damaged" in told and "The database that was there serves again." in told, told[-2000:]
    # verify.yml would go on telling of it.
    app.check_output("systemctl start litefarm-postgres-backup@verify.service")
    assert sql("SELECT count(*) FROM public.kept") == "3"


# By day unit tests have what pgBackRest said of each.
@pytest.mark.nightly
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"cipher_pass": "wrong"}, "The encryption key does not fit this archive"),
        ({"s3_bucket": "litefarm-beta-backups"}, "The object storage refuses the key for the bucket"),
        ({"s3_key_secret": "another"}, "The secret does not fit the access key"),
        ({"s3_region": "ams3"}, "The object storage is asked with a wrong region"),
    ],
)
def test_an_archive_that_cannot_be_asked_is_named_before_anything_is_changed(app, values, told):
    with configured(**values):
        assert told in restore()


@pytest.mark.nightly
def test_clocks_that_differ_are_named(app):
    with storage_fault("clock"):
        assert "The droplet's clock is more than 15 min away from the object storage's" in restore()
        backup = lab.playbook("playbooks/backup.yml")
    assert backup.status != 0 and "No backup was taken. The droplet's clock is more than 15 min away" in " ".join(backup.output.split()).replace("''", "'")


def test_a_server_that_was_started_by_hand_is_not_robbed_of_its_data(app, ask):
    """It writes on, in a container of which no run knows."""
    image = app.check_output("docker inspect --format '{{.Image}}' postgres")
    app.check_output("docker stop --time=60 postgres")
    try:
        app.check_output(
            f"docker run --detach --name=by-hand --user=999 --volume=/srv/litefarm/postgres:/var/lib/postgresql/data --entrypoint=postgres {image} "
            "-D /var/lib/postgresql/data/pgdata -k /tmp -c archive_mode=on"
        )
        told = restore("-e", "confirm=production")
        app.check_output("docker stop --time=60 by-hand")
    finally:
        app.check_output("docker rm --force by-hand; docker start postgres")
    assert "Another PostgreSQL server than the container postgres runs on /srv/litefarm/postgres/pgdata" in told, told[-2000:]
    assert app.run("timeout 60 sh -c 'until docker exec postgres pg_isready --quiet; do sleep 0.5; done'").rc == 0
    assert "exists" in ask("api.app.litefarm.org", "/login/user/nobody@example.org").text


@pytest.mark.nightly
def test_a_second_restore_at_once_is_refused(app):
    app.check_output("systemd-run --unit=first-restore flock /var/lib/litefarm/postgres/restore.lock sleep 120")
    try:
        assert "Another restore is under way on the droplet" in restore("-e", "confirm=production")
    finally:
        app.check_output("systemctl stop first-restore")


@pytest.mark.nightly
def test_a_cluster_that_the_bucket_has_not_is_refused(app):
    own = app.check_output("docker exec postgres_backup sh -c 'pg_controldata $PGDATA'").split("Database system identifier:")[1].split()[0]
    told = restore("-e", "cluster=123")
    assert "The bucket has no archive of a cluster 123: give one of" in told and own in told, told[-2000:]


def test_a_backup_key_that_was_changed_by_hand_does_not_reach_the_droplet():
    """The droplet may have the last copy of the key that opens the backups."""
    key = lab.vault("production")["vault_backup_encryption_key"]
    ident = hashlib.sha256(key.encode()).hexdigest()[:8]
    try:
        lab.put_into_vault("production", vault_backup_encryption_key="another" * 8)
        run = lab.playbook("site.yml")
    finally:
        lab.put_into_vault("production", vault_backup_encryption_key=key)
    assert run.status != 0 and f"need the encryption key {ident}, which" in " ".join(run.output.split()) and run.changes == set(), run.reasons
