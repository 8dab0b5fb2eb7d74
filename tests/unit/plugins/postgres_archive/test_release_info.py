# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What release_info says of the archive: small files of the droplet, and no program is started for it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time

REPO = pathlib.Path(__file__).resolve().parents[4]
PROGRAM = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.litefarm.platform.plugins.modules import release_info
with patch_module_args(json.loads(sys.argv[1])):
    release_info.main()
"""


def run(tmp_path, **arguments):
    environment = {**os.environ, "PYTHONPATH": str(REPO / "collections"), "PATH": str(tmp_path), "DOCKER_HOST": "unix://%s/none" % tmp_path}
    words = json.dumps({"services": [], "state_directory": str(tmp_path), **arguments})
    done = subprocess.run([sys.executable, "-c", PROGRAM, words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_status_files_of_archive_and_files(tmp_path):
    assert (run(tmp_path)["archive"], run(tmp_path)["file_backup"]) == (None, None)
    wanted = {"archive_directory": str(tmp_path / "postgres"), "file_backup": str(tmp_path / "file-backup.json")}
    answer = run(tmp_path, **wanted)
    assert (answer["archive"], answer["file_backup"]) == (None, None)
    (tmp_path / "postgres").mkdir()
    for path in ("postgres/guard.json", "postgres/backup-full.json", "file-backup.json"):
        (tmp_path / path).write_text(json.dumps({"time": int(time.time()) - 30, "result": "ok"}))
    answer = run(tmp_path, **wanted)
    assert 30 <= answer["archive"]["guard"]["age"] < 60
    assert list(answer["archive"]["results"]) == ["full"]
    assert 30 <= answer["file_backup"]["age"] < 60


def test_the_result_of_the_last_dump(tmp_path):
    path = tmp_path / "backup-dump.json"
    assert (run(tmp_path)["dump"], run(tmp_path, dump=str(path))["dump"]) == (None, None)
    path.write_text(json.dumps({"time": int(time.time()) - 30, "result": "failed", "message": "x", "last_ok": int(time.time()) - 90}))
    found = run(tmp_path, dump=str(path))["dump"]
    assert (found["result"], found["message"], 30 <= found["age"] < 60, 90 <= found["ok_age"] < 120) == ("failed", "x", True, True)


def test_data_that_restores_have_replaced(tmp_path):
    wanted = {"data_directory": str(tmp_path / "postgres")}
    assert run(tmp_path)["replaced_data"] == run(tmp_path, **wanted)["replaced_data"] == []
    ages = {"pgdata.before-%s" % time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - age)): age for age in (7200, 60)}
    for name in ("pgdata", "pgdata.restored", "pgdata.before-mine", *ages):
        (tmp_path / "postgres" / name / "base").mkdir(parents=True)
        (tmp_path / "postgres" / name / "base" / "1").write_bytes(b"x" * 100000)
    found = run(tmp_path, **wanted)["replaced_data"]
    assert [each["path"] for each in found] == [str(tmp_path / "postgres" / name) for name in (*ages, "pgdata.before-mine")]
    assert all(100000 <= each["bytes"] < 200000 for each in found)
    assert [each["age"] is not None and 0 <= each["age"] - age < 60 for each, age in zip(found, ages.values(), strict=False)] == [True, True]
    assert found[-1]["age"] is None


def test_copies_of_logs_that_redis_has_repaired(tmp_path):
    folder = tmp_path / "damaged"
    assert run(tmp_path)["repaired_logs"] == run(tmp_path, repaired_logs=str(folder))["repaired_logs"] == []
    folder.mkdir()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - 7200))
    # Another file of a person, and a copy that a killed start has not completed, are no repairs.
    for name in ("notes", "20269999T999999Z-7-bytes.aof", ".%s-7-bytes.aof.part" % stamp, "%s-4096-bytes.aof" % stamp, "20260102T030405Z-9-bytes.aof"):
        (folder / name).touch()
    found = run(tmp_path, repaired_logs=str(folder))["repaired_logs"]
    assert [each["bytes"] for each in found] == [9, 4096]
    assert found[1]["path"] == str(folder / ("%s-4096-bytes.aof" % stamp))
    assert 7200 <= found[1]["age"] < 7300
