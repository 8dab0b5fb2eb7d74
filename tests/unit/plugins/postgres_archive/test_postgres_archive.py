# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences and types for what pgBackRest says.

answers.json has real answers of 2.45; its storage was a server that answers as S3 does. answers_2_55.json has those of 2.55.1 on a droplet of the lab.
"""

from __future__ import annotations

import json
import os
import pathlib
import re

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _postgres_archive as postgres_archive

ANSWERS = json.loads((pathlib.Path(__file__).parent / "answers.json").read_text(encoding="utf-8"))["cases"]
ANSWERS_2_55 = json.loads((pathlib.Path(__file__).parent / "answers_2_55.json").read_text(encoding="utf-8"))["cases"]
INFO = sorted(name for name in ANSWERS if name.startswith("info"))
OTHERS = sorted(set(ANSWERS) - set(INFO))
BEGINNINGS = {
    "backup another cluster": "The archive belongs to another cluster",
    "backup cut": "The encryption key does not fit this archive, or a file of it is damaged (backup.info)",
    "backup locked": "Another backup, restore or verification is under way",
    "backup missing path": "There is no archive of this cluster under this encryption key, or the bucket does not exist",
    "check another cluster": "The archive belongs to another cluster",
    "check ca": "The certificate of the object storage localhost:54998 is not trusted",
    "check denied": "The object storage refuses the key for the bucket denied (AccessDenied)",
    "check no server": "pgBackRest does not reach PostgreSQL",
    # Here a missing bucket reads like a missing stanza.
    "check nobucket": "There is no archive of this cluster under this encryption key, or the bucket does not exist",
    "check refused": "The object storage cannot be reached from the droplet (unable to connect to 'localhost:54997': [111] Connection refused)",
    "check wrong key": "The encryption key does not fit this archive, or a file of it is damaged (archive.info)",
    "info badkey": "The object storage does not know the access key",
    "info badsecret": "The secret does not fit the access key",
    "info ca": "The certificate of the object storage localhost:54998 is not trusted",
    "info cut": "The encryption key does not fit this archive, or a file of it is damaged (backup.info)",
    "info denied": "The object storage refuses the key for the bucket denied (AccessDenied)",
    "info dns": "The object storage cannot be reached from the droplet (unable to get address for 'nothing.example.invalid'",
    "info empty": "There is no archive of this cluster under this encryption key",
    "info hang": "The object storage cannot be reached from the droplet (timeout after 5000ms waiting for read from 'localhost:54998')",
    "info missing path": "There is no archive of this cluster under this encryption key",
    "info nobucket": "The bucket nobucket does not exist: correct litefarm_backup_bucket or litefarm_spaces_region, or run playbooks/storage.yml",
    "info redirect": "The bucket redirect is in another region",
    "info refused": "The object storage cannot be reached from the droplet (unable to connect to 'localhost:54997': [111] Connection refused)",
    "info region": "The object storage is asked with a wrong region",
    "info skew": "The droplet's clock is more than 15 min away",
    "info slow": "The object storage is overloaded or out of order ([503] Service Unavailable)",
    "info wrong key": "The encryption key does not fit this archive, or a file of it is damaged (backup.info)",
    "no configuration": "pgBackRest is not configured on the droplet",
    "restore damaged": "The archive is damaged (raised from local-1 protocol: zst error: [-20] Data corruption detected)",
    "restore no space": "The disk is full",
    "restore no such backup": "There is no backup 20200101-000000F",
    "restore no time": "'yesterday' is not a time",
    "restore not empty": "The folder /srv/full is not empty",
    "restore running": "PostgreSQL runs in the folder that is to be restored",
    "restore too early": "There is no backup that ended before 2026-11-01 00:00:00+00",
    "unknown option": "pgBackRest ended with status 31 (invalid option '--bogus')",
    "verify damaged": "The archive is damaged (invalid checksum '20261127-",
    "verify denied": "There is no archive of this cluster under this encryption key, or the bucket does not exist",
}


# A HEAD is answered without a reason, and the lab's storage denies what other environments have in the same way as what there is not.
BEGINNINGS_2_55 = {
    **{"clusters %s" % name: "The object storage refuses the key for the bucket (403)" for name in ("badkey", "badsecret", "nobucket", "other bucket")},
    "clusters refused": "The object storage cannot be reached from the droplet (unable to connect to '127.0.0.1:9': [111] Connection refused)",
    "check wrong key": "The encryption key does not fit this archive, or a file of it is damaged (archive.info)",
    "info badkey": "The object storage does not know the access key",
    "info badsecret": "The secret does not fit the access key",
    "info ca": "The certificate of the object storage litefarm-production-backups.nyc3.digitaloceanspaces.com:443 (10.89.54.6) is not trusted",
    "info missing path": "There is no archive of this cluster under this encryption key",
    "info nobucket": "The object storage refuses the key for the bucket (AccessDenied)",
    "info other bucket": "The object storage refuses the key for the bucket (AccessDenied)",
    "info wrong key": "The encryption key does not fit this archive, or a file of it is damaged (backup.info)",
    "restore no such backup": "There is no backup 20200101-000000F",
    "restore no time": "'yesterday' is not a time",
    "restore not empty": "The folder /tmp/full is not empty",
    "restore running": "PostgreSQL runs in the folder that is to be restored",
    "restore too early": "There is no backup that ended before 2020-01-01 00:00:00+00",
    "unknown option": "pgBackRest ended with status 31 (invalid option '--bogus')",
    "verify missing path": "There is no archive of this cluster under this encryption key, or the bucket does not exist",
}


def sentence_of(name, answers=ANSWERS):
    answer = answers[name]
    if name.startswith("info"):
        return postgres_archive.parse_info(answer["stdout"]).problem
    return postgres_archive.explain(answer["exit"], answer["stderr"] or answer["stdout"])


@pytest.mark.parametrize(
    ("answers", "name", "beginning"),
    [(ANSWERS, *each) for each in sorted(BEGINNINGS.items())] + [(ANSWERS_2_55, *each) for each in sorted(BEGINNINGS_2_55.items())],
    ids=lambda value: value if isinstance(value, str) else "2.45" if value is ANSWERS else "2.55",
)
def test_a_sentence_for_each_answer(answers, name, beginning):
    sentence = sentence_of(name, answers)
    assert sentence.startswith(beginning)
    assert sentence.endswith(".") and sentence.isprintable()
    assert len(re.findall(r"[.!?] [A-Z]", sentence)) <= 1 and len(sentence) < 420


def test_every_answer_has_its_sentence():
    assert set(ANSWERS) == set(BEGINNINGS) | {"info", "info busy"}
    assert set(ANSWERS_2_55) == set(BEGINNINGS_2_55)


def test_a_wrong_key_prints_binary():
    """Else the sentence would be tried with a text that never comes."""
    assert any("\ufffd" in ANSWERS[name][stream] for name in ("info wrong key", "check wrong key") for stream in ("stdout", "stderr"))


def test_an_archive_with_three_backups():
    archive = postgres_archive.parse_info(ANSWERS["info"]["stdout"])
    assert (archive.problem, archive.busy, archive.version, archive.system_identifier) == ("", False, "15", "7712657205679859666")
    assert (archive.wal_min, archive.wal_max) == ("000000010000000000000006", "000000010000000000000014")
    assert [backup.type for backup in archive.backups] == ["full", "incr", "diff"]
    full, incr, diff = archive.backups
    assert (full.label, full.prior, incr.prior, diff.prior) == ("20261127-013007F", "", full.label, full.label)
    assert (full.start, full.stop, full.size, full.repo_size, full.repo_set_size) == (1795743007, 1795743009, 23074507, 2837808, 2837808)
    assert (incr.name, incr.repo_size, incr.repo_set_size, incr.damaged) == ("before-v3.13", 4288, 2841392, False)
    assert (incr.wal_start, diff.wal_stop) == ("00000001000000000000000F", "000000010000000000000011")
    assert (archive.newest(), archive.newest("full"), archive.newest("incr", "full")) == (diff, full, incr)
    assert (archive.find("before-v3.13"), archive.find(full.label), archive.find("other"), archive.find("")) == (incr, full, None, None)


def test_a_backup_under_way():
    assert postgres_archive.parse_info(ANSWERS["info busy"]["stdout"]).busy is True


def changed(**changes):
    stanza = json.loads(ANSWERS["info"]["stdout"])[0]
    return json.dumps([{**stanza, **changes}])


def test_an_archive_without_backups_is_well():
    status = {"code": 2, "lock": {"backup": {"held": False}}, "message": "no valid backups"}
    archive = postgres_archive.parse_info(changed(backup=[], status=status, repo=[{"key": 1, "cipher": "none", "status": status}]))
    assert (archive.problem, archive.backups, archive.newest(), archive.wal_max) == ("", (), None, "000000010000000000000014")


def test_an_upgraded_cluster_is_the_last_one():
    archive = postgres_archive.parse_info(
        changed(
            db=[{"id": 2, "system-id": 22, "version": "17"}, {"id": 1, "system-id": 11, "version": "13"}],
            archive=[
                {"database": {"id": 1}, "id": "13-1", "min": "0000000100000000000000F0", "max": "0000000900000000000000FF"},
                {"database": {"id": 2}, "id": "17-2", "min": "000000010000000000000001", "max": "000000010000000000000002"},
            ],
        )
    )
    assert (archive.version, archive.system_identifier, archive.wal_max) == ("17", "22", "000000010000000000000002")


def test_no_stanza_at_all():
    assert postgres_archive.parse_info("[]").problem.startswith("There is no archive of this cluster")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"name": "litefarm"}]', "ERROR: [055]: unable to open missing file '/etc/x.conf' for read"])
def test_no_answer(text):
    with pytest.raises(postgres_archive.ArchiveError) as raised:
        postgres_archive.parse_info(text)
    assert str(raised.value).startswith("pgBackRest gives no list of backups")


@pytest.mark.parametrize(
    ("code", "text", "beginning"),
    [
        (0, "", ""),
        (None, "", ""),
        (50, "", "Another backup, restore or verification is under way"),
        (95, "", "The encryption key does not fit this archive"),
        (49, "", "The object storage cannot be reached from the droplet (no answer)"),
        (29, "", "pgBackRest ended with status 29 (it said nothing)"),
        (26, "error restoring '/data/base/1/1249': actual checksum 'a' does not match expected checksum 'b'", "The archive is damaged (error restoring"),
        (1, "Error response from daemon: No such container: postgres_backup", "The container for backups does not run"),
        (1, "Error response from daemon: container 4f is not running", "The container for backups does not run"),
        (1, "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?", "The engine does not answer"),
        (82, "WAL segment 000000010000000000000005 was not archived before the 60000ms timeout", "WAL does not reach the archive (000000010000000000000005)"),
        (39, "HTTP request failed with 403 (Forbidden):\n*** Path/Query ***:\nHEAD /bucket/", "The object storage refuses the key for the bucket (403)"),
        (39, "HTTP request failed with 409 (Conflict):", "The object storage answers 409 for the bucket: try again"),
        (None, "does not end within 45 s", "The object storage does not answer, or too slowly (the question does not end within 45 s)"),
    ],
)
def test_other_texts(code, text, beginning):
    sentence = postgres_archive.explain(code, text)
    assert sentence.startswith(beginning) and (sentence or not beginning)


def test_no_secret_is_repeated():
    text = ANSWERS["check denied"]["stderr"]
    assert "authorization: <redacted>" in text
    assert "redacted" not in postgres_archive.explain(39, text)


# ---- what lies on the droplet


def test_status_files(tmp_path):
    assert postgres_archive.look(str(tmp_path)) == {"guard": None, "results": {}}
    (tmp_path / "guard.json").write_text('{"time": 1000, "level": "ok"}')
    (tmp_path / "backup-full.json").write_text('{"time": 900, "result": "failed", "last_ok": 800}')
    (tmp_path / "backup-incr.json").write_text("half of")
    (tmp_path / "backup-verify.json").write_text('{"time": "yesterday"}')
    assert postgres_archive.look(str(tmp_path), 1010) == {
        "guard": {"time": 1000, "level": "ok", "age": 10, "ok_age": None},
        "results": {
            "full": {"time": 900, "result": "failed", "last_ok": 800, "age": 110, "ok_age": 210},
            "verify": {"time": "yesterday", "age": None, "ok_age": None},
        },
    }
    # A clock that was set back.
    assert postgres_archive.look(str(tmp_path), 990)["guard"]["age"] == 0


def test_results_of_the_archive_before_a_new_encryption_key_do_not_count(tmp_path):
    """The archive of the new key has none of those backups."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool/created").write_text("s3/farm-backups/beta/postgres/0a1b2c3d/7312\n")
    os.utime(tmp_path / "spool/created", (1000, 1000))
    (tmp_path / "backup-full.json").write_text('{"time": 900, "result": "ok", "last_ok": 900}')
    (tmp_path / "backup-verify.json").write_text('{"time": 800, "result": "failed", "last_ok": 100}')
    (tmp_path / "backup-incr.json").write_text('{"time": 1005, "result": "failed", "last_ok": 950}')
    failed = {"time": 1005, "result": "failed", "last_ok": 950, "age": 5, "ok_age": None}
    assert postgres_archive.look(str(tmp_path), 1010)["results"] == {"incr": failed}
    (tmp_path / "backup-full.json").write_text('{"time": 1000, "result": "ok", "last_ok": 1000}')
    assert postgres_archive.look(str(tmp_path), 1010)["results"]["full"]["ok_age"] == 10


def test_a_result_that_had_no_room_is_a_failure(tmp_path):
    for name in ("backup-full.json", "guard.json"):
        (tmp_path / name).write_text("")
    os.utime(tmp_path / "backup-full.json", (900, 900))
    failed = {"result": "failed", "message": "the disk has no room for its result", "age": 110, "ok_age": None}
    assert postgres_archive.look(str(tmp_path), 1010) == {"guard": None, "results": {"full": failed}}
    assert postgres_archive.look_at_files(str(tmp_path / "backup-full.json"), 1010) == {**failed, "tags": {}}
    assert postgres_archive.read_result(str(tmp_path / "none")) is None


def test_status_of_files(tmp_path):
    path = tmp_path / "file-backup.json"
    assert postgres_archive.look_at_files(str(path)) is None
    path.write_text('{"time": 1000, "result": "ok", "tags": {"redis": {"time": 500, "result": "ok"}, "odd": 1}}')
    found = postgres_archive.look_at_files(str(path), 1100)
    assert (found["age"], found["tags"]) == (100, {"redis": {"time": 500, "result": "ok", "age": 600}})
    path.write_text('{"time": 1000, "result": "failed", "tags": []}')
    assert postgres_archive.look_at_files(str(path), 1100)["tags"] == {}
