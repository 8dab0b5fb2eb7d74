# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed jobs and paused queues, as they are asked for on the droplet and shown by verify.yml and status.yml."""

from __future__ import annotations

import json

import pytest
from ansible_collections.litefarm.platform.plugins.action import status
from ansible_collections.litefarm.platform.plugins.module_utils import _job_queues as job_queues
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import EngineMissing
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification import inside

CHECK = {"check": "failed jobs", "kind": "job_queues", "service": "export_scheduler", "command": ["node", "-", "report"], "stdin": "a program"}
NONE = {"waiting": 0, "active": 0, "untaken": 0, "failed": 0, "failed_last_day": 0, "paused_by": ""}
OLDEST = {"queue": "excel", "id": "7", "age": 3 * 86400, "reason": "job stalled more than allowable limit"}
LATELY = "1 in 24 h (Schedule driver 1), 3 in all (excel 2, Schedule driver 1), the oldest 3 d old (excel 7: job stalled more than allowable limit)"


def reported(oldest=None, **queues):
    return {"queues": {"excel": NONE, "Schedule driver ": NONE, **queues}, "oldest": oldest, "problem": ""}


def failed():
    return reported(OLDEST, **{"excel": {**NONE, "failed": 2}, "Schedule driver ": {**NONE, "failed": 1, "failed_last_day": 1}})


class Engine:
    """An engine with these containers, in which a command ends so."""

    def __init__(self, code=0, said="", errors="", running=(False, True)):
        self.answer = code, said, errors
        self.running = running
        self.asked = []

    def containers(self, name):
        return [type("Container", (), {"id": "%s%d" % (name, number), "running": each}) for number, each in enumerate(self.running)]

    def execute(self, container_id, command, timeout, user=None, stdin=None):
        self.asked.append((container_id, command, stdin))
        return self.answer


class Missing(Engine):
    def containers(self, name):
        raise EngineMissing("The container engine does not answer")


def test_the_container_that_runs_is_asked():
    engine = Engine(said="a line\n%s\n" % json.dumps({"queues": {"excel": NONE}, "oldest": None}))
    found = job_queues.ask("export_scheduler", ["node", "-", "report"], "a program", engine)
    assert engine.asked == [("export_scheduler1", ["node", "-", "report"], "a program")]
    assert found == {"queues": {"excel": NONE}, "oldest": None, "problem": ""}


@pytest.mark.parametrize(
    ("engine", "problem"),
    [
        (Engine(running=(False,)), "its container does not run"),
        (Engine(1, "Redis at redis:6379 refuses the password (WRONGPASS)\n"), "Redis at redis:6379 refuses the password (WRONGPASS)"),
        (Engine(126, "", "node: not found"), "node: not found"),
        (Engine(1), "the command ended with exit code 1"),
        (Engine(0, "hello\n"), "it says hello"),
        (Missing(), "The container engine does not answer"),
    ],
)
def test_what_keeps_it_from_being_known_is_told(engine, problem):
    assert job_queues.ask("export_scheduler", ["node"], "", engine) == {"problem": problem}


@pytest.mark.parametrize(
    ("found", "seen", "result"),
    [
        (reported(), "none", "ok"),
        (failed(), LATELY + "; sudo litefarm-queues failed lists them", "WARN"),
        (
            reported(OLDEST, excel={**NONE, "failed": 1}),
            "0 in 24 h, 1 in all (excel 1), the oldest 3 d old (excel 7: job stalled more than allowable limit)",
            "ok",
        ),
        ({"problem": "its container does not run"}, "its container does not run", "FAIL"),
        (None, "not asked", "FAIL"),
    ],
)
def test_verify_counts_failed_jobs(found, seen, result):
    assert inside.arguments_of([CHECK])["job_queues"] == {"export_scheduler": {"command": ["node", "-", "report"], "stdin": "a program"}}
    (row,) = inside.check_job_queues(CHECK, {"job_queues": {"export_scheduler": found}}, "one")
    assert (row["where"], row["seen"], row["result"]) == ("one export_scheduler", seen, result)


def test_verify_tells_of_a_pause_that_a_release_left():
    found = reported(**{"excel": {**NONE, "paused_by": "a release"}, "Schedule driver ": {**NONE, "paused_by": "a person"}})
    _failed, row = inside.check_job_queues(CHECK, {"job_queues": {"export_scheduler": found}}, "one")
    assert (row["check"], row["result"]) == ("paused queues", "WARN")
    assert row["seen"] == "paused by a release: excel; if no run is at work, resume them: maintenance.yml -e litefarm_state=off"


WAITING = {"excel": {**NONE, "waiting": 6, "untaken": 720}, "Schedule driver ": {**NONE, "waiting": 1, "untaken": 3700}}
UNTAKEN = "excel 6, Schedule driver 1, the oldest for 61 min; the export scheduler takes none, so restart it there: sudo docker restart export_scheduler"


def test_jobs_that_nobody_takes_fail_verify_and_are_told_by_status():
    found = reported(**WAITING)
    _failed, row = inside.check_job_queues(CHECK, {"job_queues": {"export_scheduler": found}}, "one")
    assert (row["check"], row["seen"], row["result"]) == ("waiting jobs", UNTAKEN, "FAIL")
    assert status.job_lines({"one": {"job_queues": {"export_scheduler": found}}})[1:] == [("one: Jobs wait: %s." % UNTAKEN, "red")]


def test_a_report_of_an_earlier_version_says_nothing_of_them():
    older = {name: value for name, value in NONE.items() if name != "untaken"}
    assert job_queues.untaken({"queues": {"excel": {**older, "waiting": 6}}}) == ""


def test_status_counts_failed_jobs():
    found = {"one": {"job_queues": {"export_scheduler": failed()}}, "two": {"job_queues": {}}, "older": {}}
    assert status.job_lines(found) == [("Failed jobs: %s; on one, sudo litefarm-queues failed lists them." % LATELY, "yellow")]
    assert status.job_lines({"one": {"job_queues": {"export_scheduler": reported()}}}) == [("Failed jobs: none.", None)]


def test_status_tells_what_it_does_not_know_and_what_is_paused():
    paused = reported(excel={**NONE, "paused_by": "a release"})
    found = {"one": {"job_queues": {"export_scheduler": {"problem": "its container does not run"}}}, "two": {"job_queues": {"export_scheduler": paused}}}
    assert status.job_lines(found) == [
        ("one: Whether jobs have failed is not known: its container does not run", "yellow"),
        ("Failed jobs: none.", None),
        ("two: Queues are paused by a release: excel; if no run is at work, resume them: maintenance.yml -e litefarm_state=off.", "yellow"),
    ]
