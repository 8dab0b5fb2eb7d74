# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as it runs on a droplet, with an engine that is a script."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _ledger as ledger

from tests.unit.plugins.verify.servers import IMAGE_KEY, REDIS_PASSWORD

REPO = pathlib.Path(__file__).resolve().parents[4]
PROGRAM = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.litefarm.platform.plugins.modules import verify_droplet
with patch_module_args(json.loads(sys.argv[1])):
    verify_droplet.main()
"""
ENGINE = """#!%s
import json, os, sys, time
answers = json.load(open(os.path.join(os.path.dirname(sys.argv[0]), "answers.json")))
if answers.get("dead"):
    sys.exit("Cannot connect to the Docker daemon\\n")
if sys.argv[1] == "ps":
    print("\\n".join(answers["containers"]))
elif sys.argv[1] == "inspect":
    print(json.dumps([{
        "Id": name + "0123456789ab",
        "Name": "/" + name,
        "Config": {"Labels": {"litefarm.platform.service": container["service"], **container.get("labels", {})}},
        "State": {"Status": container["status"], "StartedAt": "2026-07-01T10:00:00.123456789Z"},
        "RestartCount": 2,
    } for name, container in answers["containers"].items()]))
elif sys.argv[1] == "exec":
    answer = answers["exec"][" ".join(sys.argv[2:])]
    begun = sys.argv[0] + ".begun"
    if answer.get("stillborn") and not os.path.exists(begun):
        open(begun, "w")
        print("OCI runtime exec failed: exec failed: unable to start container process: read init-p: connection reset by peer: unknown")
        sys.exit(126)
    time.sleep(answer.get("seconds", 0))
    sys.stdout.write(answer["output"])
    sys.exit(answer["code"])
""" % sys.executable
QUEUES = {"key": "queues", "service": "export_scheduler", "command": ["node", "probe.js", "5"]}


@pytest.fixture(name="engine")
def fixture_engine(tmp_path):
    script = tmp_path / "docker"
    script.write_text(ENGINE)
    script.chmod(0o755)
    answers = {
        "containers": {
            "export_scheduler": {"service": "export_scheduler", "status": "running"},
            "api-0": {"service": "api", "status": "exited"},
        },
        "exec": {"export_scheduler node probe.js 5": {"code": 0, "output": "the scheduler holds 21 connections\n"}},
    }

    def save(**changes):
        answers.update(changes)
        (tmp_path / "answers.json").write_text(json.dumps(answers))

    save()
    return save


@pytest.fixture(name="run")
def fixture_run(tmp_path):
    def run(**arguments):
        environment = {**os.environ, "PYTHONPATH": str(REPO / "collections"), "PATH": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", PROGRAM, json.dumps(arguments)], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    return run


def test_containers_and_a_command_in_one(engine, run):
    answer = run(commands=[QUEUES, {"key": "other", "service": "api", "command": ["true"]}])
    assert [(each["name"], each["status"], each["restarts"]) for each in answer["containers"]] == [("export_scheduler", "running", 2), ("api-0", "exited", 2)]
    assert answer["engine_error"] is None
    assert answer["commands"] == {
        "queues": {"code": 0, "output": "the scheduler holds 21 connections\n"},
        "other": {"error": "its container does not run"},
    }


JOURNAL = """#!%s
import sys
assert "--since=-1h" in sys.argv and "UNIT=docker-api0123456789ab.scope" in sys.argv and "_SYSTEMD_UNIT=docker.service" in sys.argv
print(open(sys.argv[0] + ".said").read())
""" % sys.executable


def test_restarts_of_the_last_hour_are_in_the_journal(engine, run, tmp_path):
    engine(containers={"api": {"service": "api", "status": "running"}})
    assert [each["restarts_last_hour"] for each in run()["containers"]] == [None]
    script = tmp_path / "journalctl"
    script.write_text(JOURNAL)
    script.chmod(0o755)
    started = {"UNIT": "docker-api0123456789ab.scope", "MESSAGE": "Started docker-api0123456789ab.scope - libcontainer container api0123456789ab."}
    ended = {"MESSAGE": 'level=info msg="ignoring event" container=api0123456789ab module=libcontainerd topic=/tasks/delete type="*events.TaskDelete"'}
    killed = {"MESSAGE": "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/system.slice/docker-api0123456789ab.scope,task=node"}
    other = {"MESSAGE": 'msg="ignoring event" container=redis0123456789 topic=/tasks/delete'}
    for entries, expected in (
        ([], (0, 0)),
        ([other], (0, 0)),
        # With cgroup v1 systemd knows no scope.
        ([ended], (1, 0)),
        ([started, ended, killed], (1, 1)),
        # The engine counts two: the third start was a person's.
        ([started, started, started, ended, ended, killed, killed], (2, 2)),
        ([{"MESSAGE": [97, 112, 105], "UNIT": "docker-api0123456789ab.scope"}, ended], (1, 0)),
    ):
        (tmp_path / "journalctl.said").write_text("\n".join(json.dumps(each) for each in entries))
        assert [(each["restarts_last_hour"], each["out_of_memory"]) for each in run()["containers"]] == [expected]


def test_containers_tell_their_images(engine, run):
    labelled = {"service": "api", "status": "running", "labels": {"litefarm.platform.image": "api@1"}}
    engine(containers={"api": labelled, "other": {"service": "other", "status": "running"}})
    assert [(each["service"], each["image"]) for each in run()["containers"]] == [("api", "api@1"), ("other", "")]


def test_the_history_is_read_with_what_a_run_under_way_brings(run, tmp_path):
    assert run()["history"] is None
    folder = tmp_path / "ledger"
    assert run(history=str(folder))["history"] == {"records": [], "error": None}
    book = ledger.Ledger(str(folder))
    book.record({"kind": "deploy", "result": "ok", "to": {"version": "v1", "commit": "a" * 40}})
    book.take("run", "deploy v2", {}, plan={"kind": "deploy", "to": {"version": "v2", "commit": "b" * 40}})
    found = run(history=str(folder))["history"]
    assert [(each["to"]["version"], each["result"]) for each in found["records"]] == [("v1", "ok"), ("v2", "interrupted")]
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert "cannot be used on the droplet" in run(history=str(blocked / "ledger"))["history"]["error"]


def test_a_command_that_fails_or_hangs(engine, run):
    engine(exec={"export_scheduler node probe.js 5": {"code": 1, "output": "Redis refuses the password\n"}})
    assert run(commands=[QUEUES])["commands"]["queues"] == {"code": 1, "output": "Redis refuses the password\n"}
    engine(exec={"export_scheduler node probe.js 5": {"code": 0, "output": "", "seconds": 30}})
    assert run(commands=[QUEUES], timeout=1)["commands"]["queues"] == {"error": "does not end within 1 s"}


def test_a_command_that_the_engine_could_not_begin_is_started_again(engine, run):
    engine(exec={"export_scheduler node probe.js 5": {"code": 0, "output": "well\n", "stillborn": True}})
    assert run(commands=[QUEUES])["commands"]["queues"] == {"code": 0, "output": "well\n"}


def test_an_engine_that_does_not_answer(engine, run):
    engine(dead=True)
    answer = run(commands=[QUEUES])
    assert (answer["containers"], answer["engine_error"]) == ([], "Cannot connect to the Docker daemon")
    assert answer["commands"]["queues"] == {"error": "its container does not run"}


def test_neighbours_are_asked_and_no_secret_is_logged(run, redis, imaginary):
    answer = run(
        redis={redis.address: REDIS_PASSWORD},
        images={imaginary.url: IMAGE_KEY},
        peers=[{"address": "127.0.0.1", "ports": [redis.port, 1]}],
    )
    assert answer["engine_error"] == "no engine is installed"
    assert answer["redis"][redis.address]["password"] == "+PONG"
    assert answer["images"][imaginary.url]["accepted"] == {"status": 200, "bytes": 16, "webp": True}
    assert answer["peers"] == {"127.0.0.1": [redis.port]}
    hidden = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    assert [*answer["invocation"]["module_args"]["redis"].values(), *answer["invocation"]["module_args"]["images"].values()] == [hidden, hidden]
    assert REDIS_PASSWORD not in json.dumps(answer) and IMAGE_KEY not in json.dumps(answer)


def test_neighbours_that_are_silent_are_waited_for_together(run):
    # Addresses of documentation: nobody answers, or the network says so at once.
    began = time.monotonic()
    addresses = ["192.0.2.%d" % number for number in range(1, 4)]
    answer = run(timeout=4, redis={"%s:6379" % each: REDIS_PASSWORD for each in addresses}, peers=[{"address": each, "ports": [22, 80]} for each in addresses])
    # One after the other they would take 24 s.
    assert time.monotonic() - began < 15
    assert answer["peers"] == {each: [] for each in addresses}
    assert all(answer["redis"]["%s:6379" % each]["error"] for each in addresses)


ARCHIVED = (REPO / "tests/unit/plugins/postgres_archive/answers.json").read_text(encoding="utf-8")
ASKED = "postgres_backup sh backrest info --output=json --io-timeout=5"


def test_an_archive_is_read_in_the_bucket_and_on_the_droplet(engine, run, tmp_path):
    answers, state = json.loads(ARCHIVED)["cases"], tmp_path / "state"
    (state / "spool").mkdir(parents=True)
    (state / "spool/created").write_text("")
    os.utime(state / "spool/created", (time.time() - 7200,) * 2)
    (state / "guard.json").write_text(json.dumps({"time": int(time.time()) - 4, "level": "ok"}))
    (state / "backup-incr.json").write_text(json.dumps({"time": int(time.time()) - 60, "result": "ok"}))
    wanted = [{"service": "postgres_backup", "command": ["sh", "backrest"], "state": str(state)}]

    def asked(name):
        engine(
            containers={"postgres_backup": {"service": "postgres_backup", "status": "running"}},
            exec={ASKED: {"code": answers[name]["exit"], "output": answers[name]["stdout"] or answers[name]["stderr"]}},
        )
        return run(archives=wanted)["archives"][str(state)]

    found = asked("info")
    assert (found["problem"], found["newest"]["type"], found["newest_full"]["label"]) == ("", "diff", "20261127-013007F")
    assert found["newest"]["age"] == pytest.approx(max(0, time.time() - 1795743015), abs=10)
    assert found["created_age"] == pytest.approx(7200, abs=10)
    assert (found["guard"]["level"], sorted(found["results"])) == ("ok", ["incr"])
    assert found["guard"]["age"] < 15
    assert asked("info wrong key")["problem"].startswith("The encryption key does not fit this archive")
    assert asked("no configuration")["problem"].startswith("pgBackRest is not configured on the droplet")
    engine(containers={})
    found = run(archives=wanted)["archives"][str(state)]
    assert (found["problem"], found["newest"]) == ("The container for backups does not run: site.yml starts it.", None)


def test_the_newest_backup_and_the_result_of_the_last_one(run, tmp_path):
    (tmp_path / "dumps").mkdir()
    (tmp_path / "dumps" / "a.dump").write_text("dump")
    record, wanted = tmp_path / "backup-dump.json", {"path": str(tmp_path / "dumps"), "pattern": "*.dump"}
    for asked in (wanted, dict(wanted, record=str(record))):
        found = run(backups=[asked])["backups"][wanted["path"]]
        assert (found["newest"], found["bytes"], found["last"]) == (str(tmp_path / "dumps" / "a.dump"), 4, None)
    record.write_text(json.dumps({"time": int(time.time()) - 60, "result": "failed", "message": "x"}))
    last = run(backups=[dict(wanted, record=str(record))])["backups"][wanted["path"]]["last"]
    assert (last["result"], 60 <= last["age"] < 90) == ("failed", True)


def test_status_of_the_backup_of_files(run, tmp_path):
    wanted = {"path": str(tmp_path / "file-backup.json"), "timer": str(tmp_path / "timer")}
    assert run(file_backups=[wanted])["file_backups"][wanted["path"]] == {"status": None, "timer_age": None}
    (tmp_path / "timer").write_text("")
    (tmp_path / "file-backup.json").write_text(json.dumps({"time": int(time.time()) - 60, "result": "ok"}))
    found = run(file_backups=[wanted])["file_backups"][wanted["path"]]
    assert found["timer_age"] < 10 and 60 <= found["status"]["age"] < 70
