# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role writes, and what its programs decide. What restic and Redis do with it is tried in tests/integration/file_backups."""

from __future__ import annotations

import configparser
import contextlib
import datetime
import hashlib
import importlib
import json
import os
import subprocess
import sys
import types

import pytest
import yaml

KEY = "k" * 64
SECRETS = {"file_backups_encryption_key": KEY, "file_backups_access_key_id": "DO00", "file_backups_secret_access_key": "geheim-geheim"}
ON = {**SECRETS, "file_backups_bucket": "farm-backups", "file_backups_path": "/beta/files", "file_backups_sets": [{"tag": "images", "paths": ["/srv/images"]}]}
OPENING = "Fatal: unable to open config file: Stat: "
DAY = "2026-11-{:02}T03:30:00.123456789Z"


@pytest.fixture(scope="module")
def programs(repo):
    sys.path.insert(0, str(repo / "roles" / "file_backups" / "files"))
    try:
        yield types.SimpleNamespace(**{name: importlib.import_module(name) for name in ("litefarm_files", "backup", "restore")})
    finally:
        sys.path.pop(0)
        for name in ("litefarm_files", "backup", "restore"):
            sys.modules.pop(name, None)


@pytest.fixture
def settings(programs):
    def make(**changes):
        values = {
            "host": "files", "repository": "s3:https://s3.example/farm-backups/files", "endpoint": "s3.example", "bucket": "farm-backups", "region": "nyc3",
            "sets": [], "keep": {"daily": 14}, "keep_by_tag": {}, "init_wait_seconds": 0, "maintains": False, "check_parts": 12, "lock_wait_seconds": 0,
            "bucket_copies": [], "bucket_copies_max_delete": 1000, "ca_file": "", "environment": {"RESTIC_PASSWORD_FILE": "/p"},
        }  # fmt: skip
        return programs.litefarm_files.Settings(**{**values, **changes})

    return make


# ---- the role


def test_secrets_are_in_files_for_root_only(evaluate):
    secret = {each["dest"]: each for each in evaluate("file_backups", "file_backups__secret_files", **ON)}
    assert sorted(secret) == ["/etc/litefarm/file-backup/environment", "/etc/litefarm/file-backup/password"]
    shown = json.dumps(evaluate("file_backups", "file_backups__files", **ON))
    assert KEY not in shown and "geheim" not in shown


def test_the_environment_of_restic_has_the_keys_and_the_place(render):
    found = dict(line.split("=", 1) for line in render("file_backups", "environment.j2", **ON).splitlines() if "=" in line)
    place = f"s3:https://nyc3.digitaloceanspaces.com/farm-backups/beta/files/{hashlib.sha256(KEY.encode()).hexdigest()[:8]}"
    assert found["RESTIC_REPOSITORY"] == place
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"], found["AWS_DEFAULT_REGION"]) == ("DO00", "geheim-geheim", "nyc3")
    assert KEY not in found.values()


def test_second_buckets_are_written_with_the_key_for_backups(render):
    keys = {"file_backups_bucket_copies_access_key_id": "DO11", "file_backups_bucket_copies_secret_access_key": "application"}
    copies = {"file_backups_bucket_copies": [{"from": "farm", "to": "copy"}], "file_backups_bucket_copies_endpoint": "https://ams3.example"}
    found = dict(line.split("=", 1) for line in render("file_backups", "environment.j2", **ON, **keys, **copies).splitlines() if "=" in line)
    assert (found["RCLONE_CONFIG_FROM_ENDPOINT"], found["RCLONE_CONFIG_FROM_ACCESS_KEY_ID"]) == ("https://nyc3.digitaloceanspaces.com", "DO11")
    assert (found["RCLONE_CONFIG_FROM_SECRET_ACCESS_KEY"], found["RCLONE_CONFIG_TO_SECRET_ACCESS_KEY"]) == ("application", "geheim-geheim")
    assert (found["RCLONE_CONFIG_TO_ENDPOINT"], found["RCLONE_CONFIG_TO_ACCESS_KEY_ID"]) == ("https://ams3.example", "DO00")
    assert "RCLONE" not in render("file_backups", "environment.j2", **ON, **keys)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ('{"level":"notice","msg":"x"}\n{"level":"error","msg":"AccessDenied: status code: 403"}\n{"level":"error","msg":"Attempt 1/3"}', "AccessDenied: status code: 403"),
        ('{"level":"error","msg":"Fatal error received - not attempting retries"}\n{"level":"error","msg":"--max-delete threshold reached"}', "more objects would be"),
        ("Error: unknown flag: --x", "Error: unknown flag: --x"),
        ("", "rclone gave no reason"),
    ],
)
def test_what_rclone_says_becomes_a_sentence(programs, said, sentence):
    assert programs.backup.why_not_copied(said).startswith(sentence)


def test_settings_are_what_the_programs_read(evaluate, programs):
    found = evaluate("file_backups", "file_backups__settings", **ON)
    read = programs.litefarm_files.Settings(**found, environment={})
    assert (read.host, read.endpoint, read.keep) == ("litefarmapp", "nyc3.digitaloceanspaces.com", {"daily": 14, "weekly": 8, "monthly": 6})
    assert (read.lock_wait_seconds > 1800, read.maintains) == (True, True)


@pytest.mark.parametrize(("changes", "on"), [({}, True), ({"file_backups_bucket": ""}, False), ({"file_backups_sets": []}, False)])
def test_without_a_bucket_or_anything_to_copy_there_is_no_timer(evaluate, changes, on):
    assert evaluate("file_backups", "file_backups__on", **{**ON, **changes}) is on
    assert evaluate("file_backups", "file_backups__on") is False


def test_the_timer_makes_up_for_a_night_that_was_missed(render):
    timer = configparser.ConfigParser(strict=False)
    timer.optionxform = str
    timer.read_string(render("file_backups", "backup.timer.j2", file_backups_time="04:10"))
    assert (timer["Timer"]["OnCalendar"], timer["Timer"]["Persistent"]) == ("*-*-* 04:10:00 UTC", "true")


def test_the_repository_of_a_new_key_does_not_wait_for_the_night(repo, evaluate):
    """A timer's OnActiveSec counts from its last start."""
    (task,) = [each for each in yaml.safe_load((repo / "roles/file_backups/tasks/main.yml").read_text()) if "litefarm.platform.config_files" in each]
    (timer,) = [unit for unit in task["litefarm.platform.config_files"]["units"] if unit["name"] == "litefarm-file-backup.timer"]
    concerned = [evaluate("file_backups", pattern) for pattern in timer["only_for"] if "{{" in pattern]
    assert timer["on_change"] == "restart" and concerned == ["/etc/litefarm/file-backup/password"]


def test_files_are_copied_at_once_only_where_a_set_says_so(evaluate, render):
    watched = [{"tag": "history", "paths": ["/var/history"], "watch": "/var/history/history.jsonl"}, {"tag": "images", "paths": ["/srv/images"]}]
    assert evaluate("file_backups", "file_backups__watched", **{**ON, "file_backups_sets": watched}) == ["/var/history/history.jsonl"]
    assert evaluate("file_backups", "file_backups__watched", **ON) == []
    unit = render("file_backups", "changed.path.j2", **{**ON, "file_backups_sets": watched})
    assert [line for line in unit.splitlines() if line.startswith("PathChanged=")] == ["PathChanged=/var/history/history.jsonl"]


# ---- errors


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("Fatal: wrong password or no key found", "was encrypted with another key"),
        (OPENING + "The specified bucket does not exist\nIs there a repository at the following location?", "has no bucket farm-backups"),
        (OPENING + "Access Denied.\nIs there a repository at the following location?", "refuses the key for the bucket farm-backups"),
        ("Fatal: create repository failed: client.PutObject: Access Denied", "refuses the key"),
        ("Stat: Get \"https://s3.example\": dial tcp 1.2.3.4:443: connect: connection refused", "s3.example does not answer"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "is not trusted"),
        ("The difference between the request time and the current time is too large.", "the clock of this droplet is wrong"),
        ("Fatal: write /tmp/restic-1: no space left on device", "the disk of this droplet is full"),
        ("Fatal: pack 1234 is damaged\nmore", "restic: pack 1234 is damaged"),
    ],
)
def test_what_restic_says_becomes_a_sentence(programs, settings, said, sentence):
    error = programs.litefarm_files.Restic(settings()).error(said)
    assert type(error) is programs.litefarm_files.Error
    assert sentence in str(error)


@pytest.mark.parametrize(
    "said",
    [
        "Fatal: unable to open config file: Stat: The specified key does not exist.\nIs there a repository at the following location?\ns3:x",
        "Fatal: repository does not exist: unable to open config file: stat /r/config: no such file or directory",
    ],
)
def test_only_a_repository_that_is_not_there_is_created(programs, settings, said):
    assert type(programs.litefarm_files.Restic(settings()).error(said)) is programs.litefarm_files.Missing


def test_restic_gets_its_secrets_by_environment(programs, settings):
    seen = []

    def run(words, **options):
        seen.append((words, options["env"]))
        return subprocess.CompletedProcess(words, 0, b"", b"")

    programs.litefarm_files.Restic(settings(environment={"AWS_SECRET_ACCESS_KEY": "geheim"}, ca_file="/ca"), run).ask("snapshots")
    words, environment = seen[0]
    assert words == ["restic", "--cacert", "/ca", "snapshots"] and environment["AWS_SECRET_ACCESS_KEY"] == "geheim"


@pytest.mark.parametrize("question", ["snapshots", "check_repository"])
def test_a_lock_is_waited_for(programs, settings, question):
    answers = [(1, b"unable to create lock in backend: repository is already locked exclusively by PID 7 on x"), (0, b"")]
    slept = []

    def run(words, **_options):
        code, said = (0, b"") if "unlock" in words else answers.pop(0)
        return subprocess.CompletedProcess(words, code, b"[]", said)

    restic = programs.litefarm_files.Restic(settings(lock_wait_seconds=100), run, slept.append)
    assert not getattr(restic, question)() and slept == [0.0]


def test_a_lock_is_not_waited_for_for_ever(programs, settings):
    slept = []

    def run(words, **_options):
        return subprocess.CompletedProcess(words, 0 if "unlock" in words else 1, b"", b"repository is already locked by PID 7 on x")

    with pytest.raises(programs.litefarm_files.Locked, match="another droplet holds the repository's lock"):
        programs.litefarm_files.Restic(settings(), run, slept.append).snapshots()
    # Once more after a stale lock may have gone.
    assert slept == [0.0]


@pytest.fixture
def held(programs, tmp_path, monkeypatch):
    """A function that lets a copy run for a number of seconds, while those who wait make the time pass."""
    now, running = [0.0], programs.litefarm_files.only_one(tmp_path)

    def start(seconds):
        def sleep(pause):
            now[0] += pause
            if now[0] >= seconds:
                running.__exit__(None, None, None)

        monkeypatch.setattr(programs.litefarm_files, "time", types.SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
        running.__enter__()
        return tmp_path, now

    return start


def test_a_copy_that_ends_within_a_minute_is_waited_for(programs, held):
    """The history is copied at each release, and a restore by hand may come at that moment."""
    folder, now = held(50)
    with programs.litefarm_files.only_one(folder):
        assert now == [50.0]


def test_a_longer_copy_is_named_with_both_units(programs, held):
    folder, now = held(1000)
    units = "litefarm-file-backup.service litefarm-file-backup-changed.service"
    with pytest.raises(programs.litefarm_files.Error, match="A copy or a restore is running on this droplet: wait until it has ended .*" + units):
        with programs.litefarm_files.only_one(folder):
            pass
    assert now == [60.0]


# ---- Redis


def redis_of(content, said, code=0):
    def run(words, stdout, **_options):
        assert words == ["docker", "exec", "redis", "sh", "/etc/litefarm/redis-cli", "--rdb", "-"]
        stdout.write(content)
        return subprocess.CompletedProcess(words, code, None, said)

    return run


DUMP = b"REDIS0011" + b"x" * 20 + b"\xff" + b"12345678"


def test_the_copy_of_redis_is_the_folder_that_it_loads(programs, tmp_path):
    """The server puts a mark of 40 bytes behind its data, which is no part of them."""
    said = f"SYNC sent to master, writing bytes of bulk transfer until EOF marker to '-'\nTransfer finished with success after {len(DUMP)} bytes\n".encode()
    size = programs.backup.copy_redis(tmp_path / "redis", "redis", os.getuid(), redis_of(DUMP + b"m" * 40, said))
    folder = tmp_path / "redis" / "appendonlydir"
    assert size == len(DUMP) and (folder / "appendonly.aof.1.base.rdb").read_bytes() == DUMP
    assert (folder / "appendonly.aof.manifest").read_text() == "file appendonly.aof.1.base.rdb seq 1 type b\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["redis"]


def test_a_copy_that_the_engine_could_not_begin_is_begun_again(programs, tmp_path, monkeypatch):
    monkeypatch.setattr(programs.backup, "PAUSE", 0)
    good = redis_of(DUMP, f"Transfer finished with success after {len(DUMP)} bytes".encode())
    runs = [redis_of(b"OCI runtime exec failed", b"", 126), good]
    assert programs.backup.copy_redis(tmp_path / "redis", "redis", os.getuid(), lambda *words, **options: runs.pop(0)(*words, **options)) == len(DUMP)
    assert runs == [] and (tmp_path / "redis" / "appendonlydir" / "appendonly.aof.1.base.rdb").read_bytes() == DUMP


@pytest.mark.parametrize(
    ("content", "said", "code", "sentence"),
    [
        (b"", b"Error: NOAUTH Authentication required.", 1, "NOAUTH Authentication required."),
        (DUMP[:-5], f"Transfer finished with success after {len(DUMP)} bytes".encode(), 0, "incomplete"),
        (DUMP[:-1] + b"xx", f"Transfer finished with success after {len(DUMP) + 1} bytes".encode(), 0, "incomplete"),
        (DUMP, b"", 0, "does not say how long it is"),
    ],
)
def test_half_a_copy_does_not_take_the_place_of_the_last_one(programs, tmp_path, content, said, code, sentence):
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "last").touch()
    with pytest.raises(programs.litefarm_files.Error, match=sentence):
        programs.backup.copy_redis(tmp_path / "redis", "redis", os.getuid(), redis_of(content, said, code))
    assert (tmp_path / "redis" / "last").exists()


# ---- copies


class FakeRestic:
    """What the repository has, and what it was asked."""

    def __init__(self, programs, snapshots=(), size=(3, 1000)):
        self.files, self.found, self.answer, self.asked = programs.litefarm_files, list(snapshots), size, []

    def check_repository(self):
        self.asked.append(("cat", "config"))

    def snapshots(self, tag="", host=""):
        return [each for each in self.found if (not tag or tag in each["tags"]) and (not host or each["hostname"] == host)]

    def size(self, _snapshot):
        return self.answer

    def patiently(self, work):
        return work()

    def sentence(self, text):
        return text

    def ask(self, *words, **_options):
        self.asked.append(words)
        return ""

    def call(self, *words):
        self.asked.append(words)
        line = {"message_type": "summary", "total_bytes_processed": 7, "total_files_processed": 2, "snapshot_id": "abc"}
        return subprocess.CompletedProcess(words, *self.copied(json.dumps(line).encode()))

    def copied(self, summary):
        return 0, summary, b""


def snapshot(day, host="files", tag="images", path="/srv/images"):
    return {"id": f"id{day}", "time": DAY.format(day), "hostname": host, "tags": [tag], "paths": [path]}


@pytest.fixture
def backup(programs, settings, tmp_path):
    def make(restic, **changes):
        (tmp_path / "images").mkdir(exist_ok=True)
        sets = [{"tag": "images", "paths": [str(tmp_path / "images")]}]
        return programs.backup.Backup(settings(sets=sets, **changes), restic, tmp_path / "state", clock=lambda: 8e8)

    return make


def test_one_set_that_fails_does_not_keep_the_others_from_being_copied(programs, backup, tmp_path):
    run = backup(FakeRestic(programs))
    run.settings.sets.insert(0, {"tag": "gone", "paths": ["/not/there"]})
    result = run.all([])
    assert (result["result"], result["tags"]["images"]["result"], result["bytes"]) == ("failed", "ok", 7)
    assert result["message"] == "gone: /not/there does not exist: run site.yml, or mount the volume that has it"


def test_files_that_cannot_be_read_fail_and_files_that_went_away_do_not(programs, backup, tmp_path):
    for said, result in (
        (b'{"message_type":"error","error":{"Op":"lstat","Path":"/x","Err":2},"item":"/x"}', "ok"),
        (b'{"message_type":"error","error":{"message":"lstat /x: no such file or directory"},"item":"/x"}', "ok"),
        (b'{"message_type":"error","error":{"message":"open /x: permission denied"},"item":"/x"}', "failed"),
    ):
        restic = FakeRestic(programs)
        restic.copied = lambda summary, said=said: (3, summary, said)
        assert backup(restic).all([])["result"] == result


def test_a_stop_ends_the_whole_run(programs, backup):
    restic = FakeRestic(programs)

    def stopped(*_words):
        raise programs.backup.Stopped("stopped")

    restic.call = stopped
    with pytest.raises(programs.backup.Stopped):
        backup(restic).all([])


def test_maintenance_is_weekly_and_on_one_droplet(programs, backup, tmp_path):
    restic = FakeRestic(programs, [snapshot(1, "other", "dumps"), snapshot(2, "other")])
    assert "maintenance" not in backup(restic).all([])
    result = backup(restic, maintains=True, keep_by_tag={"dumps": {"daily": 0, "weekly": 8}}).all([])
    assert result["maintenance"]["result"] == "ok"
    words = [" ".join(each) for each in restic.asked if each[0] in ("forget", "prune", "check")]
    assert words[:3] == ["forget --tag dumps --group-by host,tags --keep-weekly 8", "forget --tag images --group-by host,tags --keep-daily 14", "prune"]
    assert words[3].startswith("check --read-data-subset=") and words[3].endswith("/12")
    assert "maintenance" not in backup(restic, maintains=True).all([])


@pytest.fixture
def changed(programs, backup, tmp_path):
    """What the status file says after a copy of the set images, which is watched, on a droplet with a set that is not."""

    def copy(restic, last):
        run, status = backup(restic), tmp_path / "status.json"
        run.settings.sets[0]["watch"] = "/x"
        run.settings.sets.append({"tag": "other", "paths": ["/not/there"]})
        if last:
            programs.litefarm_files.write_json(status, last)
        error = None
        try:
            run.changed(status)
        except programs.litefarm_files.Error as raised:
            error = str(raised)
        return programs.litefarm_files.read_json(status), error

    return copy


NIGHT = {"time": 5, "result": "ok", "tags": {"images": {"time": 5, "result": "ok"}, "other": {"time": 5, "result": "ok"}}}


def test_a_change_is_copied_without_the_rest(programs, changed):
    restic = FakeRestic(programs)
    found, error = changed(restic, NIGHT)
    assert error is None and [words[words.index("--tag") + 1] for words in restic.asked if words[0] == "backup"] == ["images"]
    assert (found["tags"]["images"]["time"], found["tags"]["other"]["time"], found["time"]) == (800000000, 5, 5)


def test_a_change_before_the_first_nightly_copy_does_not_pass_for_one(programs, changed):
    assert changed(FakeRestic(programs), None) == ({}, None)


def test_a_change_that_cannot_be_copied_is_told(programs, changed):
    restic = FakeRestic(programs)
    restic.copied = lambda _summary: (1, b"", b"disk")
    restic.error = programs.litefarm_files.Error
    found, error = changed(restic, NIGHT)
    assert error == "The copy of files failed: images: disk."
    assert (found["tags"]["images"]["result"], found["tags"]["other"]["result"]) == ("failed", "ok")


# ---- restores


@pytest.mark.parametrize(("words", "seconds"), [([], 60), (["--wait"], 3600)])
def test_a_copy_waits_for_another_one_and_for_longer_if_it_is_asked_to(programs, tmp_path, monkeypatch, words, seconds):
    """The copies under a new encryption key must not fail because a timer's copy is running."""
    files, waited = programs.litefarm_files, []
    monkeypatch.setattr(files.Settings, "read", classmethod(lambda cls: types.SimpleNamespace(set_of=None, bucket_copies=[])))
    monkeypatch.setattr(files, "only_one", lambda seconds=0: waited.append(seconds) or contextlib.nullcontext())
    monkeypatch.setattr(programs.backup.Backup, "all", lambda self, accepted: {"result": "ok", "message": "", "bytes": 0, "tags": {}})
    monkeypatch.setattr(files, "STATUS", tmp_path / "status.json")
    monkeypatch.setattr(sys, "argv", ["litefarm-file-backup", *words])
    assert programs.backup.main() == 0 and waited == [seconds]


def test_a_result_that_has_no_room_does_not_leave_the_last_good_one(programs, tmp_path):
    files, status = programs.litefarm_files, tmp_path / "status.json"
    files.write_result(status, NIGHT)
    assert files.read_json(status) == NIGHT
    (tmp_path / ".status.json.part").symlink_to("/dev/full")
    files.write_result(status, {"result": "failed"})
    assert status.read_text() == "" and list(tmp_path.iterdir()) == [status]


def test_times_have_a_zone(programs):
    read = programs.restore.point_in_time
    expected = datetime.datetime(2026, 11, 27, 10, tzinfo=datetime.timezone.utc)
    assert read("latest") is None
    assert read("2026-11-27 10:00:00 UTC") == read("2026-11-27T10:00:00Z") == read("2026-11-27 11:00:00+01:00") == expected
    with pytest.raises(programs.litefarm_files.Error, match="has no time zone"):
        read("2026-11-27 10:00:00")
    with pytest.raises(programs.litefarm_files.Error, match="is no time"):
        read("yesterday")


def test_the_newest_copy_that_is_not_younger(programs):
    found = [snapshot(1), snapshot(2), snapshot(3, "other")]
    chosen = programs.restore.chosen
    assert chosen(found, "images", "files", None)["id"] == "id2"
    assert chosen(found, "images", "files", programs.restore.point_in_time("2026-11-02 03:00:00 UTC"))["id"] == "id1"
    with pytest.raises(programs.litefarm_files.Error, match="from before 2026-10-01 00:00:00 UTC: the first one is of 2026-11-01 03:30:00 UTC"):
        chosen(found, "images", "files", programs.restore.point_in_time("2026-10-01 00:00:00 UTC"))
    with pytest.raises(programs.litefarm_files.Error, match="add --host files"):
        chosen(found, "images", "new", None)


def test_an_empty_folder_with_an_empty_copy_is_not_restored_each_time(programs, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(programs.litefarm_files, "is_own", lambda tag: tag == "images")
    (tmp_path / "images").mkdir()
    sets = [{"tag": "images", "paths": [str(tmp_path / "images")]}]
    told = programs.restore.restore_missing(settings(sets=sets), FakeRestic(programs, [snapshot(1)], size=(0, 0)))
    assert told == [f"{tmp_path}/images is empty, like its copy, and stays as it is."]


@pytest.mark.parametrize(
    ("code", "out", "said", "refused"),
    [
        (0, "true\n", "", "`docker stop redis`"),
        (0, "false\n", "", None),
        (1, "\n", "Error: No such object: redis", None),
        (1, "", "Cannot connect", "does not say"),
    ],
)
def test_a_container_that_runs_keeps_its_files(programs, settings, tmp_path, code, out, said, refused):
    place = programs.restore.pathlib.Path(tmp_path / "redis")
    each = {"tag": "redis", "paths": ["/copy"], "restore_to": str(place), "container": "redis"}
    restore = programs.restore.Restore(settings(), None, run=lambda words, **_o: subprocess.CompletedProcess(words, code, out, said))
    # Nobody uses a folder that is missing or empty.
    restore.refuse_while_running(each, {"/copy": place})
    place.mkdir()
    restore.refuse_while_running(each, {"/copy": place})
    (place / "appendonlydir").mkdir()
    if refused:
        with pytest.raises(programs.litefarm_files.Error, match=refused):
            restore.refuse_while_running(each, {"/copy": place})
    else:
        restore.refuse_while_running(each, {"/copy": place})
    restore.refuse_while_running(each, {"/copy": programs.restore.pathlib.Path("/tmp/look")})
