# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive of the database: its configuration, the script that finds the cluster's place in the bucket, and the program that takes backups."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import types

import pytest

KEY = "k" * 64
ARCHIVE = {
    "postgres_archive_bucket": "farm-backups",
    "postgres_archive_path": "/beta/postgres",
    "postgres_archive_access_key_id": "DO00",
    "postgres_archive_secret_access_key": "geheim-geheim",
    "postgres_archive_encryption_key": KEY,
}
PLACE = "/beta/postgres/" + hashlib.sha256(KEY.encode()).hexdigest()[:8]


@pytest.fixture
def configuration(render):
    def read(**overrides):
        text = render("postgres", "pgbackrest.conf.j2", **{**ARCHIVE, **overrides})
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))

    return read


def test_what_leaves_the_droplet_is_encrypted(configuration):
    found = configuration()
    assert (found["repo1-cipher-type"], found["repo1-cipher-pass"]) == ("aes-256-cbc", KEY)


def test_wal_that_cannot_be_archived_is_never_dropped(configuration):
    """archive-push-queue-max would acknowledge segments and drop them."""
    assert not [name for name in configuration() if "queue-max" in name]


@pytest.mark.parametrize(("days", "backups"), [(1, "2"), (7, "2"), (8, "3"), (14, "3"), (30, "6")])
def test_wal_is_kept_for_the_promised_days(configuration, days, backups):
    """Right before a full backup the second newest is 14 days old, and only the WAL since then is kept if two of them count."""
    assert configuration(postgres_archive_wal_days=days)["repo1-retention-archive"] == backups


def test_the_server_archives_only_if_there_is_a_bucket(render):
    facts = {"ansible_facts": {"memtotal_mb": 3915}}
    with_archive = render("postgres", "postgresql.conf.j2", **facts, **ARCHIVE)
    assert "archive_mode = on" in with_archive and "archive_command = 'sh /etc/litefarm/credentials/pgbackrest archive-push %p'" in with_archive
    assert "archive_" not in render("postgres", "postgresql.conf.j2", **facts)


class Script:
    """The script, with programs that only say how they were called."""

    def __init__(self, folder, text):
        self.folder = folder
        self.path = folder / "backrest"
        self.path.write_text(text.replace("/var/spool/pgbackrest", str(folder)))
        (folder / "bin").mkdir()
        self.program("pg_controldata", "echo 'Catalog version number: 1'; echo 'Database system identifier:           7312'")
        self.program("pgbackrest", 'echo "$@" >> "%s/calls"; case "$*" in *repo-ls*) printf "..\\n7312\\n7400\\nother\\n";; esac' % folder)

    def program(self, name, text):
        path = self.folder / "bin" / name
        path.write_text("#!/bin/sh\n" + text + "\n")
        path.chmod(0o755)

    def run(self, *words, **environment):
        env = {**os.environ, "PATH": "%s/bin:%s" % (self.folder, os.environ["PATH"]), "PGDATA": "/data", **environment}
        return subprocess.run(["sh", str(self.path), *words], env=env, capture_output=True, text=True, check=False)

    @property
    def calls(self):
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def script(render, tmp_path):
    return Script(tmp_path, render("postgres", "pgbackrest.sh.j2", **ARCHIVE))


COMMON = "--config=/etc/litefarm/credentials/pgbackrest.conf --stanza=litefarm --repo1-path=" + PLACE


def test_a_cluster_has_a_place_of_its_own(script):
    assert script.run("archive-push", "pg_wal/1").returncode == 0
    assert script.run("info", SYSTEM_IDENTIFIER="99").returncode == 0
    assert script.calls == [f"{COMMON}/7312 archive-push pg_wal/1", f"{COMMON}/99 info"]


def test_the_clusters_of_a_bucket_are_listed(script):
    assert script.run("--clusters").stdout == "7312\n7400\n"
    assert script.calls == [f"{COMMON} repo-ls"]


def test_a_bucket_that_does_not_answer_has_no_clusters_and_says_so(script):
    # pgBackRest logs its errors to the standard output.
    script.program("pgbackrest", "echo 'ERROR: [049]: unable to connect'; exit 49")
    listed = script.run("--clusters")
    assert (listed.returncode, listed.stdout, listed.stderr) == (49, "", "ERROR: [049]: unable to connect\n")


CREATED = f"changed: the archive farm-backups{PLACE}/7312 is created\n"
STORAGE = 'case "$*" in *stanza-create*) touch "$FOLDER/stanza";; *info*) [ -e "$FOLDER/stanza" ] && echo "status: ok" || echo "status: error (missing stanza path)";; esac'


@pytest.fixture
def storage(script):
    """A bucket in which a stanza may be created, and a cluster whose oldest WAL file waits."""
    script.program("pgbackrest", 'echo "$@" >> "%s/calls"; FOLDER=%s; %s' % (script.folder, script.folder, STORAGE))
    status = script.folder / "pg_wal" / "archive_status"
    status.mkdir(parents=True)
    script.waiting = status / "000000010000000000000001.ready"
    return script


def commands(script):
    return [call.split()[-1] for call in script.calls]


def create(script, *words):
    return script.run("--create", *words, PGDATA=str(script.folder))


def test_an_archive_is_created_once(storage):
    assert create(storage, "--check").stdout == CREATED and commands(storage) == ["info"]
    assert create(storage).stdout == CREATED and commands(storage)[1:] == ["info", "stanza-create"]
    assert create(storage).stdout == "" and len(storage.calls) == 3


def test_an_archive_that_cannot_be_created_is_tried_again(storage):
    storage.program("pgbackrest", 'case "$*" in *info*) echo "status: error (missing stanza path)";; *) exit 28;; esac')
    assert create(storage).returncode == 28
    storage.program("pgbackrest", 'case "$*" in *info*) echo "status: error (missing stanza path)";; esac')
    assert create(storage).stdout == CREATED


def test_an_archive_that_somebody_deleted_is_created_again(storage):
    create(storage)
    (storage.folder / "stanza").unlink()
    assert create(storage).stdout == ""
    storage.waiting.touch()
    os.utime(storage.waiting, (0, 0))
    assert create(storage).stdout == CREATED


def test_the_archive_of_a_new_key_does_not_wait_for_the_next_hour(evaluate, render):
    """A timer's OnActiveSec counts from its last start."""
    units = {unit["name"]: unit for unit in evaluate("postgres", "postgres__archive_units", **ARCHIVE)}
    (written,) = [each["dest"] for each in evaluate("postgres", "postgres__archive_secret_files", **ARCHIVE)]
    assert "OnActiveSec=5min" in render("postgres", "archive-backup.timer.j2", kind="incr", calendar="hourly")
    assert units["litefarm-postgres-incr.timer"]["on_change"] == "restart" and written in units["litefarm-postgres-incr.timer"]["only_for"]


def test_wal_that_waits_does_not_make_an_archive_younger(storage):
    """status.yml and verify.yml take the time of this file for the archive's age."""
    create(storage)
    os.utime(storage.folder / "created", (1000, 1000))
    storage.waiting.touch()
    os.utime(storage.waiting, (0, 0))
    assert create(storage).stdout == "" and commands(storage)[2:] == ["info"]
    assert os.path.getmtime(storage.folder / "created") == 1000


def test_an_outage_of_the_storage_fails_only_a_new_archive(storage):
    storage.waiting.touch()
    os.utime(storage.waiting, (0, 0))
    working = storage.folder / "bin" / "pgbackrest"
    text = working.read_text()
    storage.program("pgbackrest", "echo 'ERROR: [049]: unable to connect' >&2; exit 49")
    assert create(storage).returncode != 0
    working.write_text(text)
    create(storage)
    storage.program("pgbackrest", "echo 'ERROR: [049]: unable to connect' >&2; exit 49")
    assert create(storage).returncode == 0


@pytest.fixture(scope="module")
def backup(repo):
    spec = importlib.util.spec_from_file_location("litefarm_postgres_backup", repo / "roles" / "postgres" / "files" / "backup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ends(code, output):
    return lambda *arguments, **options: types.SimpleNamespace(returncode=code, stdout=output)


def test_a_backup_and_its_failure_are_recorded(backup, tmp_path):
    assert backup.take("incr", "", tmp_path, ends(0, b""))["result"] == "ok"
    failed = backup.take("full", "", tmp_path, ends(37, b"WARN: x\n2026-11-27 01:31:11.669 P00  ERROR: [050]: unable to acquire lock\n\xff\xfe"))
    # The cipher's complaints may be binary.
    assert failed["message"] == "unable to acquire lock\n\ufffd\ufffd"
    again = backup.take("incr", "", tmp_path, ends(1, b""))
    assert again["result"] == "failed" and again["last_ok"] == pytest.approx(again["time"], abs=5) and failed["last_ok"] is None
    recorded = {path.name: json.loads(path.read_text())["result"] for path in tmp_path.glob("backup-*.json")}
    assert recorded == {"backup-incr.json": "failed", "backup-full.json": "failed"}


def test_a_command_that_the_engine_could_not_begin_is_started_again(backup, tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "PAUSE", 0)
    codes = [126, 126, 0]
    assert backup.take("incr", "", tmp_path, lambda *_words, **_options: types.SimpleNamespace(returncode=codes.pop(0), stdout=b""))["result"] == "ok"
    assert codes == []
    assert backup.take("incr", "", tmp_path, ends(126, b"no such program"))["message"] == "no such program"


def test_a_failure_that_has_no_room_for_its_result_does_not_leave_the_last_good_one(backup, tmp_path):
    assert backup.take("incr", "", tmp_path, ends(0, b""))["result"] == "ok"
    (tmp_path / ".backup-incr.json.part").symlink_to("/dev/full")
    assert backup.take("incr", "", tmp_path, ends(1, b""))["result"] == "failed"
    assert (tmp_path / "backup-incr.json").read_text() == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup-incr.json", "backup.lock"]


@pytest.mark.parametrize(
    ("output", "result"),
    [
        (b"stanza: litefarm\nstatus: ok\n", "ok"),
        (b"stanza: litefarm\nstatus: error\n  backup: 1F, status: invalid, total files checked: 9\n", "failed"),
        (b"", "failed"),
    ],
)
def test_a_verification_that_ends_well_may_have_found_damage(backup, tmp_path, output, result):
    assert backup.take("verify", "", tmp_path, ends(0, output))["result"] == result


def test_a_name_is_an_annotation(backup):
    assert backup.command("incr", "before v2")[-2:] == ["--type=incr", "--annotation=name=before v2"]
    assert backup.command("full", "")[-1] == "--type=full"
