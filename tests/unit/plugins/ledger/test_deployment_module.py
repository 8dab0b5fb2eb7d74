# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as a process of its own, as on a droplet."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import yaml
from ansible_collections.litefarm.platform.plugins.module_utils import _ledger as ledger
from ansible_collections.litefarm.platform.plugins.modules import deployment

REPO = pathlib.Path(__file__).resolve().parents[4]
PROGRAM = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.litefarm.platform.plugins.modules import deployment
# All processes of a race wait here until the last one is ready.
sys.stdin.read()
with patch_module_args(json.loads(sys.argv[1])):
    deployment.main()
"""
ANNA = {"who": "anna", "node": "desk"}


class Droplet:
    def __init__(self, folder):
        self.folder = folder / "deployment"

    def start(self, state, check=False, **arguments):
        given = {"state": state, "directory": str(self.folder), "holder": ANNA, "_ansible_check_mode": check, **arguments}
        environment = dict(os.environ, PYTHONPATH=str(REPO / "collections"))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([sys.executable, "-c", PROGRAM, json.dumps(given)], env=environment, text=True, **pipes)

    def run(self, state, **arguments):
        return answer(self.start(state, **arguments))

    def lock(self, run, **arguments):
        return self.run("locked", run=run, what="deploy %s" % run, **arguments)


def answer(process):
    output, errors = process.communicate()
    assert output.lstrip().startswith("{"), errors
    return json.loads(output)


@pytest.fixture(name="droplet")
def fixture_droplet(tmp_path):
    return Droplet(tmp_path)


def test_a_run_from_its_lock_to_its_record(droplet):
    first = droplet.lock("a")
    assert (first["changed"], first["lock"]["run"], first["taken_over"], first["history"]) == (False, "a", None, [])
    assert droplet.run("checked", run="a")["changed"] is False
    record = {"kind": "deploy", "result": "ok", "from": {"version": "v1", "commit": "1"}, "to": {"version": "v2", "commit": "2"}, "migrations": ["m.js"]}
    last = droplet.run("unlocked", run="a", record=record)
    assert (last["changed"], last["lock"]) == (True, None)
    (line,) = last["history"]
    assert {key: line[key] for key in record} == record
    assert (line["who"], line["run"], line["started"], line["hosts"]) == ("anna", "a", first["lock"]["since"], [])


def test_a_run_without_a_record_changes_nothing(droplet):
    droplet.lock("a")
    assert droplet.run("unlocked", run="a")["changed"] is False
    assert {**droplet.run("read"), "now": ""} == {**droplet.run("read", check=True), "now": ""}


def test_a_second_run_is_refused_and_told_by_whom(droplet):
    droplet.lock("a")
    for check in (False, True):
        refused = droplet.lock("b", check=check, unlock="the command")
        assert refused["failed"] is refused["held"] is True
        assert refused["msg"].startswith("anna on desk has held the deploy lock since ")
        assert refused["msg"].endswith("or break it with the command.")
        assert refused["lock"]["run"] == "a"
    assert droplet.run("read")["lock"]["run"] == "a"


def test_of_many_at_once_exactly_one_wins(droplet):
    processes = {run: droplet.start("locked", run=run, what="deploy %s" % run) for run in "abcdef"}
    # Python starts in 0.2 s; all of them are waiting when their input ends.
    time.sleep(1)
    for process in processes.values():
        process.stdin.close()
        process.stdin = None
    answers = {run: answer(process) for run, process in processes.items()}
    winners = [run for run, each in answers.items() if not each.get("failed")]
    assert len(winners) == 1
    assert all(each["lock"]["run"] == winners[0] for each in answers.values())


def test_records_of_many_at_once_are_all_there(droplet):
    processes = [droplet.start("read", record={"kind": "deploy", "result": "ok", "run": run}) for run in "abcdef"]
    time.sleep(1)
    for process in processes:
        process.stdin.close()
        process.stdin = None
    assert all(answer(process)["changed"] for process in processes)
    assert sorted(record["run"] for record in droplet.run("read")["history"]) == list("abcdef")


def test_a_killed_process_leaves_the_files_to_the_next_one(droplet):
    droplet.lock("a")
    held = "import fcntl, sys, time; file = open(sys.argv[1], 'a'); fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", held, str(droplet.folder / ".guard")], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        waiting = droplet.start("unlocked", run="a")
        waiting.stdin.close()
        waiting.stdin = None
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1)
        holder.send_signal(signal.SIGKILL)
        assert answer(waiting)["lock"] is None


def test_an_expired_lock_is_taken_over_and_that_is_a_change(droplet):
    droplet.lock("a", plan={"kind": "deploy", "to": {"version": "v2", "commit": "2"}})
    path = droplet.folder / "lock.json"
    path.write_text(json.dumps(dict(json.loads(path.read_text()), expires=ledger.stamp(time.time() - 1))))
    told = droplet.lock("b", check=True)
    assert (told["changed"], told["lock"]["run"], told["history"]) == (True, "b", [])
    taken = droplet.lock("b")
    assert taken["changed"] is True
    assert (taken["taken_over"]["run"], taken["taken_over"]["why"]) == ("a", "it had expired")
    assert taken["msg"].endswith("was taken over, because it had expired.")
    assert [(record["run"], record["result"], record["to"]["version"]) for record in taken["history"]] == [("a", "interrupted", "v2")]


def test_a_lock_of_a_process_that_is_gone_is_taken_over(droplet):
    droplet.lock("a")
    taken = droplet.lock("b", takes_over="a")
    assert (taken["lock"]["run"], taken["taken_over"]["why"]) == ("b", "its process is gone")


def test_giving_back_anothers_lock_warns_and_removes_nothing(droplet):
    droplet.lock("a")
    given = droplet.run("unlocked", run="b", record={"kind": "deploy", "result": "failed", "message": "x"})
    assert (given["changed"], given["lock"]["run"]) == (True, "a")
    assert ["was not this run's any more" in str(warning) for warning in given["warnings"]] == [True]


def test_a_record_that_is_refused_keeps_no_lock(droplet):
    droplet.lock("a")
    refused = droplet.run("unlocked", run="a", record={"kind": "deploy"})
    assert refused["msg"] == "result of record is missing: give one of ok, partial, failed, interrupted."
    assert (droplet.run("read")["lock"], droplet.run("read")["history"]) == (None, [])


def test_breaking(droplet):
    assert {key: droplet.run("broken")[key] for key in ("changed", "msg", "taken_over")} == {
        "changed": False,
        "msg": "Nobody holds the deploy lock.",
        "taken_over": None,
    }
    assert not droplet.folder.joinpath("lock.json").exists()
    droplet.lock("a")
    told = droplet.run("broken", check=True)
    assert (told["changed"], told["lock"]["run"]) == (True, "a")
    broken = droplet.run("broken", holder={"who": "ben"})
    assert (broken["changed"], broken["lock"]) == (True, None)
    assert broken["msg"].startswith("The deploy lock of anna on desk (deploy a, since ")
    assert [record["message"] for record in broken["history"]] == ["deploy a did not end: its lock was broken by ben"]
    lost = droplet.run("checked", run="a")
    assert lost["failed"] is True
    assert "broken by ben" in lost["msg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"state": "locked", "what": "deploy"}, "run"),
        ({"state": "locked", "run": "a"}, "what"),
        ({"state": "checked"}, "run"),
        ({"state": "unlocked"}, "run"),
        ({"state": "locked", "run": "a", "what": "x", "minutes": 0}, "minutes is 0"),
        ({"state": "broken", "record": {"kind": "deploy", "result": "ok"}}, "A record belongs to state unlocked or read, not to broken"),
        ({"state": "read", "record": {"kind": "deployment", "result": "ok"}}, "kind of record is deployment: give one of deploy, site, rollback, restore."),
        ({"state": "read", "record": {"kind": "deploy"}}, "result of record is missing: give one of ok, partial, failed, interrupted."),
        ({"state": "read", "record": {}}, "kind of record is missing"),
        ({"state": "read", "record": {"kind": "deploy", "result": "ok", "form": {}}}, "record has a key form that no record has"),
        ({"state": "read", "record": {"kind": "deploy", "result": "ok", "hosts": "one"}}, "hosts of record is one, which is of the wrong kind"),
        ({"state": "read", "record": {"kind": "deploy", "result": "ok", "started": "10:00"}}, "started of record is 10:00: give it as "),
    ],
)
def test_mistakes_are_named_and_write_nothing(droplet, arguments, message):
    failed = droplet.run(**arguments)
    assert failed["failed"] is True
    assert message in failed["msg"]
    assert not droplet.folder.exists()


def test_a_check_run_leaves_nothing_behind(droplet):
    droplet.lock("a", check=True)
    droplet.run("unlocked", run="a", check=True, record={"kind": "deploy", "result": "ok"})
    assert not droplet.folder.exists()


def test_only_as_many_lines_as_wanted(droplet):
    for run in "abc":
        droplet.run("read", record={"kind": "deploy", "result": "ok", "run": run})
    assert [record["run"] for record in droplet.run("read", lines=2)["history"]] == ["b", "c"]


def test_what_is_documented_of_a_record_is_what_one_has():
    description = " ".join(yaml.safe_load(deployment.DOCUMENTATION)["options"]["record"]["description"])
    assert set(ledger.FIELDS) == set(ledger.complete({"result": "ok"}, 0, {}))
    assert [key for key in ledger.FIELDS if "C(%s)" % key not in description] == []
