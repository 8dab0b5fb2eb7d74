# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore refuses, what it says, and how it finds the backup and the timeline that lead to a target."""

from __future__ import annotations

import json
import os
import pathlib
import shutil

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _postgres_restore as postgres_restore
from ansible_collections.litefarm.platform.plugins.module_utils import _postgres_wal as wal
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils._postgres_restore import RestoreError, RestoreLock, parse_target

from . import fakes
from .fakes import NOON, backup

# Of pgBackRest 2.55.1 and the lab's object storage.
ANSWERS = json.loads((pathlib.Path(__file__).parents[1] / "postgres_archive" / "answers_2_55.json").read_text(encoding="utf-8"))["cases"]
HISTORY = "1\t0/900000\tbefore 2026-11-27 11:15:00+00\n"


@pytest.fixture(name="droplet")
def fixture_droplet(tmp_path):
    return fakes.Droplet(tmp_path)


@pytest.fixture(name="bucket")
def fixture_bucket(droplet):
    return droplet.buckets[fakes.CLUSTER]


def refused(droplet, to="latest", **params):
    """The sentence, where nothing was changed."""
    with pytest.raises(RestoreError) as caught:
        droplet.restore(to, **params).plan()
    assert droplet.content("pgdata") in ("old", "-")
    assert not (droplet.root / "pgdata.restored").exists()
    return str(caught.value)


def failed(droplet, to="latest", **params):
    """The sentence of a restore that found its data wanting: nothing was put in place, and the old server comes back."""
    with pytest.raises(RestoreError) as caught:
        droplet.restore(to, **params).restore()
    assert droplet.content("pgdata") == "old" and droplet.before == "-" and not droplet.promoted
    assert droplet.restore().abandon() is True
    assert droplet.seen["postgres"]["state"] == "running"
    return str(caught.value)


@pytest.mark.parametrize("content", [b"", bytes(40), b'{"step": "sto', b"null", b"[]"])
def test_a_damaged_journal_says_what_to_look_at(tmp_path, content):
    """Whether the data in place are the old or the restored ones is only known to a person who looks."""
    path = tmp_path / "restore.json"
    path.write_bytes(content)
    with pytest.raises(RestoreError, match=r"restore\.json cannot be read \(.*\): look at the folders beside pgdata, then delete it and run again\."):
        postgres_restore.Journal(str(path))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-27 12:00:00 UTC", NOON),
        ("2026-11-27T12:00:00Z", NOON),
        ("2026-11-27 12:00 UTC", NOON),
        ("2026-11-27 12:00:00.5 UTC", NOON + 0.5),
        ("2026-11-27 14:00:00+02:00", NOON),
        ("2026-11-27 07:00:00 -0500", NOON),
        ("2026-11-27 13:00:00 Europe/Berlin", NOON),
    ],
)
def test_a_time(text, seconds):
    target = parse_target(text)
    assert (target.kind, target.time) == ("time", seconds)


def test_other_targets():
    assert parse_target(" LATEST ").kind == "latest"
    assert parse_target("20261127-110000F").kind == "backup"
    assert parse_target("before v2").kind == "backup"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("2026-11-27 12:00:00", "which has no time zone: write '2026-11-27 12:00:00 UTC'"),
        ("2026-11-31 12:00:00 UTC", "which is no time"),
        ("2026-11-27 12:00:00 CEST-1", "the zone CEST-1 is not known here"),
        ("12:00 UTC", "which is no time"),
        ("2026-11-27", "which is no time"),
        ("", "litefarm_to is missing"),
    ],
)
def test_what_is_no_target(text, sentence):
    with pytest.raises(RestoreError, match=sentence):
        parse_target(text)


def test_a_plan_changes_nothing(droplet):
    before = json.dumps(sorted(os.listdir(droplet.root)))
    plan = droplet.restore("2026-11-27 11:30:00 UTC").plan()
    assert plan["backup"] == "20261127-110000F" and plan["restores_to"] == "2026-11-27 11:30:00 UTC" and plan["timeline"] == 1
    assert plan["lost"][0] == "Everything that was written after 2026-11-27 11:30:00 UTC."
    assert json.dumps(sorted(os.listdir(droplet.root))) == before and set(droplet.seen) == {"postgres"}
    assert droplet.seen["postgres"]["state"] == "running"


def test_what_is_lost_of_a_dead_server(droplet):
    droplet.seen["postgres"]["state"] = "exited"
    droplet.ready.touch()
    lost = droplet.restore().plan()["lost"]
    assert lost[0] == "Everything that was written after 2026-11-27 11:59:50 UTC, when the archive got its last WAL."
    assert lost[1] == "1 WAL segments in %s have not reached the archive, and are put into it first." % (droplet.root / "pgdata")


def test_a_server_that_is_started_again_and_again_without_its_data_is_stopped(droplet):
    """As the engine does after `rm -rf pgdata`: no command runs in its container."""
    shutil.rmtree(droplet.root / "pgdata")
    droplet.seen["postgres"]["state"] = "restarting"
    assert droplet.restore().plan()["running"] is False
    droplet.restore().restore()
    assert droplet.seen["postgres"]["state"] == "exited" and droplet.policies["postgres"] == "no"
    assert droplet.content("pgdata") == "new"


def test_wal_that_a_crashed_server_left_is_archived_first(droplet):
    droplet.seen["postgres"]["state"] = "exited"
    droplet.ready.touch()
    droplet.restore().restore()
    pushed = [command[-1] for command in droplet.commands if "archive-push" in command]
    assert pushed == ["/var/lib/postgresql/data/pgdata/pg_wal/00000001000000000000000B"]
    before = next(droplet.root.glob("pgdata.before-*"))
    assert (before / "pg_wal" / "archive_status" / "00000001000000000000000B.done").exists()


def test_wal_that_cannot_be_archived_is_not_given_up_silently(droplet):
    droplet.seen["postgres"]["state"] = "exited"
    droplet.ready.touch()
    droplet.archives = False
    sentence = failed(droplet)
    assert "did not reach the archive, so latest would lose it (00000001000000000000000B)" in sentence
    assert "The object storage cannot be reached" in sentence and "the archive's last WAL is of 2026-11-27 11:59:50 UTC" in sentence


def test_nothing_of_the_recovery_stays_in_the_settings(droplet):
    droplet.restore("2026-11-27 11:30:00 UTC").restore()
    assert ["--command=ALTER SYSTEM RESET recovery_target_time"] in [command[-1:] for command in droplet.commands]


def test_times_that_the_archive_does_not_have(droplet):
    assert "is before the first backup, which ended at 2026-11-27 10:00:00 UTC" in refused(droplet, "2026-11-27 09:59:59 UTC")
    sentence = refused(droplet, "2026-11-27 12:00:01 UTC")
    assert "is in the future" in sentence and sentence.endswith("give an earlier time, or -e litefarm_to=latest.")
    droplet.restore("2026-11-27 11:59:55 UTC").plan()
    droplet.seen["postgres"]["state"] = "exited"
    sentence = refused(droplet, "2026-11-27 11:59:55 UTC")
    assert "is after the last WAL in the archive, which is of 2026-11-27 11:59:50 UTC" in sentence and "or -e litefarm_to=latest." in sentence


def test_a_backup_that_there_is_not(droplet, bucket):
    sentence = refused(droplet, "befor-v2")
    assert "The archive has no sound backup 'befor-v2'" in sentence and "20261127-110000F (before-v2)" in sentence
    bucket.backups[1]["error"] = True
    assert "no sound backup 'before-v2'" in refused(droplet, "before-v2")
    assert droplet.restore().plan()["backup"] == "20261127-100000F"


def test_clocks_that_disagree(droplet):
    assert "The droplet's clock says 2026-11-27 12:00:00 UTC and this machine's 2026-11-27 12:15:01 UTC" in refused(droplet, control_time=NOON + 901)
    droplet.restore(control_time=NOON - 899).plan()


def test_too_little_space(droplet, monkeypatch):
    monkeypatch.setattr(postgres_restore.Restore, "_free", lambda self: 100 << 20)
    assert "has 100 MB free, and a restore needs 530 MB" in refused(droplet)


def test_another_major_version(droplet):
    droplet.major = "18"
    assert "The archive is of PostgreSQL 17, and the image on the droplet has 18" in refused(droplet)


def test_a_release_that_has_not_ended(droplet):
    droplet.add("postgres.next", "service", "running")
    assert "run site.yml first" in refused(droplet)


@pytest.fixture(name="other")
def fixture_other(droplet, tmp_path, monkeypatch):
    """A function that starts a server on the data in place by hand, in a container of which the restore knows nothing."""
    monkeypatch.setattr(postgres_restore, "PROC", str(tmp_path / "proc"))

    def start(name="postgres", folder="pgdata"):
        process = tmp_path / "proc" / "4711"
        process.mkdir(parents=True)
        (process / "comm").write_text(name + "\n")
        (process / "cwd").symlink_to(droplet.root / folder)
        (tmp_path / "proc" / "4712").mkdir()

    return start


def test_a_server_that_was_started_by_hand_is_not_robbed_of_its_data(droplet, other):
    droplet.seen["postgres"]["state"] = "exited"
    other()
    sentence = refused(droplet)
    assert sentence.startswith("Another PostgreSQL server than the container postgres runs on %s/pgdata (process 4711 on the droplet)" % droplet.root)
    # Two servers on the same data destroy them.
    assert droplet.restore().abandon() is False
    assert droplet.seen["postgres"]["state"] == "exited"


def test_a_server_that_is_started_by_hand_after_the_restore_was_killed(droplet, other):
    with pytest.raises(fakes.Killed):
        droplet.restore(fault="promote").restore()
    other()
    with pytest.raises(RestoreError, match="Another PostgreSQL server"):
        droplet.restore().restore()
    assert droplet.content("pgdata") == "old" and droplet.before == "-"


@pytest.mark.parametrize(("name", "folder"), [("bash", "pgdata"), ("postgres", "pgdata.other")])
def test_other_processes_are_in_nobodys_way(droplet, other, name, folder):
    droplet.write("pgdata.other", "other")
    droplet.seen["postgres"]["state"] = "exited"
    other(name, folder)
    droplet.restore().restore()
    assert droplet.content("pgdata") == "new"


def test_a_second_restore_at_once(tmp_path):
    with RestoreLock(str(tmp_path), fakes.Clock()):
        with pytest.raises(ServiceError, match="Another restore is under way"):
            with RestoreLock(str(tmp_path), fakes.Clock()):
                pass


class TestClusters:
    OTHER = "7577198264723316999"

    @pytest.fixture(autouse=True)
    def _other(self, droplet):
        other = droplet.buckets[self.OTHER] = fakes.Bucket(self.OTHER)
        other.wal_time = NOON - 5

    def test_the_one_in_place(self, droplet):
        assert droplet.restore().plan()["cluster"] == fakes.CLUSTER

    def test_the_newest_on_an_empty_droplet(self, droplet):
        droplet.lose()
        assert droplet.restore().plan()["cluster"] == self.OTHER
        assert droplet.restore(cluster=fakes.CLUSTER).plan()["cluster"] == fakes.CLUSTER

    def test_the_latest_of_another_one_is_not_what_the_running_server_has(self, droplet):
        plan = droplet.restore(cluster=self.OTHER).plan()
        assert plan["lost"][0] == "Everything that was written after 2026-11-27 11:59:55 UTC, when the archive got its last WAL."
        assert "is after the last WAL in the archive" in refused(droplet, "2026-11-27 11:59:59 UTC", cluster=self.OTHER)

    def test_one_that_there_is_not(self, droplet):
        assert "no archive of a cluster 123: give one of %s, %s" % (fakes.CLUSTER, self.OTHER) in refused(droplet, cluster="123")

    def test_a_new_database_that_nobody_wants_to_keep(self, droplet, bucket):
        bucket.backups = []
        assert "for another one give -e litefarm_cluster=… of %s" % self.OTHER in refused(droplet)


def test_an_archive_that_a_new_key_began_does_not_hide_the_one_before(droplet, bucket):
    bucket.backups = []
    droplet.lose()
    assert "If it was rotated shortly before, put the previous one back" in refused(droplet)


class TestTimelines:
    """An earlier restore to 11:15 took place at 11:40."""

    @pytest.fixture(autouse=True)
    def _restored(self, bucket):
        bucket.timelines = {2: (NOON - 1200, HISTORY)}
        bucket.wal_max = "00000002000000000000000A"

    def test_latest_is_on_the_new_one(self, droplet):
        plan = droplet.restore().plan()
        assert (plan["timeline"], plan["backup"]) == (2, "20261127-110000F")

    def test_a_backup_of_what_was_given_up_does_not_lead_there(self, droplet, bucket):
        bucket.backups.append(backup("20261127-113000F", NOON - 1800, "00000001000000000000000B", "0/B00100"))
        assert droplet.restore().plan()["backup"] == "20261127-110000F"

    def test_what_was_given_up_can_be_brought_back(self, droplet, bucket):
        bucket.backups.append(backup("20261127-113000F", NOON - 1800, "00000001000000000000000B", "0/B00100"))
        plan = droplet.restore("2026-11-27 11:35:00 UTC").plan()
        assert (plan["timeline"], plan["backup"]) == (1, "20261127-113000F")

    def test_after_the_restore_counts_the_new_one(self, droplet):
        assert droplet.restore("2026-11-27 11:45:00 UTC").plan()["timeline"] == 2

    def test_nothing_leads_there(self, droplet, bucket):
        bucket.backups = [backup("20261127-113000F", NOON - 1800, "00000001000000000000000B", "0/B00100")]
        assert "no backup that leads to latest on timeline 2" in refused(droplet)

    def test_a_backup_says_its_own(self, droplet):
        assert droplet.restore("before-v2").plan()["timeline"] == 1


def options(droplet):
    return next(command for command in droplet.commands if "restore" in command)


def test_latest_is_replayed_as_a_standby(droplet):
    droplet.restore().restore()
    assert {"--type=standby", "--target-timeline=1", "--set=20261127-110000F"} <= set(options(droplet))
    assert not [each for each in options(droplet) if each.startswith("--target-action")]


def test_a_time_is_paused_at(droplet):
    droplet.restore("2026-11-27 13:30:00.25 +02:00").restore()
    assert {"--type=time", "--target=2026-11-27 11:30:00.250000+00", "--target-action=pause"} <= set(options(droplet))


def test_a_backup_is_replayed_until_it_is_consistent(droplet):
    droplet.restore("before-v2").restore()
    assert {"--type=immediate", "--target-action=pause", "--set=20261127-110000F"} <= set(options(droplet))


def test_the_restored_server_archives_nothing_and_listens_to_nobody(droplet):
    assert "-c archive_mode=on -c archive_command= " in postgres_restore.SERVER_SCRIPT
    assert "-c listen_addresses= " in postgres_restore.SERVER_SCRIPT
    with pytest.raises(fakes.Killed):
        droplet.restore(fault="replay").restore()
    body = droplet.seen[postgres_restore.SERVER]["body"]
    assert not body["HostConfig"].get("PortBindings") and body["HostConfig"]["RestartPolicy"] == {"Name": "no"}
    assert "/run/postgresql" in body["HostConfig"]["Tmpfs"] and "/run/postgresql" not in [mount["Target"] for mount in body["HostConfig"]["Mounts"]]
    assert "SYSTEM_IDENTIFIER=%s" % fakes.CLUSTER in body["Env"]


def test_a_gap_is_no_end(droplet):
    """As a recovery to the end this would be promoted, with exit status 0."""
    droplet.gap = True
    sentence = failed(droplet)
    assert "WAL segment 000000010000000000000009 is missing or damaged in the archive, whose last one is 00000001000000000000000A" in sentence
    assert "Restore with -e \"litefarm_to='2026-11-27 11:59:00 UTC'\", or" in sentence


def test_a_gap_before_a_time(droplet):
    droplet.gap = True
    droplet.ends_with = "FATAL:  recovery ended before configured recovery target was reached"
    assert "WAL is missing or damaged in the archive before 2026-11-27 11:30:00 UTC is reached" in failed(droplet, "2026-11-27 11:30:00 UTC")


def test_a_backup_without_its_wal(droplet):
    droplet.ends_with = "FATAL:  could not locate required checkpoint record at 0/1200080"
    assert "The WAL that backup 20261127-110000F needs is missing or damaged" in failed(droplet)


def test_a_server_that_does_not_start(droplet):
    droplet.ends_with = "2026-11-27 FATAL:  could not map anonymous shared memory"
    assert "The restored server ended, and nothing was put in place: 2026-11-27 FATAL:  could not map" in failed(droplet)


def test_data_without_the_application(droplet):
    droplet.database = False
    assert "The restored data have no database litefarm with tables in it" in failed(droplet)


def test_a_running_server_whose_wal_does_not_reach_the_archive_is_not_stopped(droplet):
    droplet.archives = False
    sentence = failed(droplet)
    assert "1 WAL segments of the running server did not reach the archive within 30 s" in sentence
    assert droplet.policies["postgres"] == "unless-stopped"


def test_a_time_long_ago_needs_no_new_wal(droplet):
    droplet.archives = False
    droplet.restore("2026-11-27 11:30:00 UTC").restore()
    assert droplet.content("pgdata") == "new"


def test_a_time_after_the_last_transaction_of_a_running_server(droplet, bucket):
    """The last WAL in the archive is later: that a backup ended is no transaction, and recovery to a time asks for one after it."""
    bucket.last_commit = NOON - 3600
    droplet.restore("2026-11-27 11:30:00 UTC").restore()
    assert droplet.content("pgdata") == "new"


def test_a_time_after_the_last_transaction_of_a_server_that_is_gone(droplet, bucket):
    droplet.seen["postgres"]["state"] = "exited"
    bucket.last_commit = NOON - 3600
    with pytest.raises(RestoreError, match="ends without a transaction after 2026-11-27 11:30:00 UTC, .* run again with -e litefarm_to=latest"):
        droplet.restore("2026-11-27 11:30:00 UTC").restore()
    assert droplet.content("pgdata") == "old" and not droplet.committed


@pytest.mark.parametrize("error", ["the database system is starting up", "PANIC:  could not write to file"])
def test_a_time_long_ago_needs_no_server_that_answers(droplet, monkeypatch, error):
    monkeypatch.setattr(droplet, "_live_psql", lambda sql: (2, "", error))
    droplet.restore("2026-11-27 11:30:00 UTC").restore()
    assert droplet.content("pgdata") == "new"


def test_pgbackrests_memory_of_other_segments_is_forgotten(droplet):
    queue = droplet.state / "postgres" / "spool" / "archive" / "litefarm" / "out"
    queue.mkdir(parents=True)
    (queue / "00000002000000000000000B.ok").touch()
    droplet.restore().restore()
    assert not queue.exists()


def test_an_object_storage_that_refuses(droplet):
    droplet.refusal = "ERROR: [039]: HTTP request failed with 403 (Forbidden):\n<Error><Code>SignatureDoesNotMatch</Code></Error>"
    assert "The secret does not fit the access key" in refused(droplet)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("badkey", "The object storage does not know the access key"),
        ("badsecret", "The secret does not fit the access key"),
        ("other bucket", "The object storage refuses the key for the bucket (AccessDenied)"),
    ],
)
def test_an_object_storage_that_refuses_without_a_reason(droplet, answer, sentence):
    """As it does for a HEAD, with which pgBackRest begins a list."""
    droplet.refusal, droplet.reason = ANSWERS["clusters " + answer]["stderr"], ANSWERS["info " + answer]["stdout"]
    assert sentence in refused(droplet)


def test_a_bucket_that_there_is_not(droplet):
    """Its list is empty, and that is no error."""
    droplet.buckets.clear()
    droplet.reason = ANSWERS["info missing path"]["stdout"].replace("missing stanza path", "HTTP request failed with 404: <Code>NoSuchBucket</Code>")
    assert "does not exist: correct litefarm_backup_bucket" in refused(droplet)


def test_no_image(droplet, monkeypatch):
    droplet.lose()
    monkeypatch.setattr(droplet, "get", lambda path, **unused: [])
    assert "has no image of PostgreSQL with pgBackRest: run site.yml" in refused(droplet)


def test_names_of_the_wal():
    assert wal.segment_begin("00000002000000010000000A", 1 << 20) == (1 << 32) + (10 << 20)
    assert wal.segment_at((1 << 32) + (10 << 20) + 5, 2, 1 << 20) == "00000002000000010000000A"
    assert wal.segment_at(wal.position("0/1502E38"), 1, 16 << 20) == "000000010000000000000001"
    assert wal.parse_history("1\t0/1502E38\tbefore 2026-11-27\n\n2\t1/0\tno recovery target specified\n") == {1: 0x1502E38, 2: 1 << 32}
