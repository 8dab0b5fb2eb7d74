# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollout concludes from its journal: what to take back, what it has come to, and what the history says."""

from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.litefarm.platform.plugins.action.container_service import event_of
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout import journal, state
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.journal import Event, Journal

V1, V2 = {"version": "v1", "commit": "1" * 40}, {"version": "v2", "commit": "2" * 40}
IMAGES = {"api": "api@2", "export_scheduler": "jobs@2", "webapp": "web@2"}
PLAN = state.Plan("deploy", V2, IMAGES, V1, ("app", "jobs"))


def planned(**changes):
    return Event("", journal.PLAN, details=dataclasses.asdict(dataclasses.replace(PLAN, **changes)))


def staged(host, service, phase="staged", image=None):
    return Event(host, journal.STAGE, services={service: "spec-" + service}, details={service: {"phase": phase, "image": image or IMAGES[service]}})


def done(step, host, *services, ok=True, error=""):
    return Event(host, step, ok, error, {service: "spec-" + service for service in services})


def failed(host, error, step=journal.FAILED):
    return Event(host, step, False, error)


GATE = Event("", journal.ALL_STAGED)
STAGED = [planned(), staged("app", "api"), staged("jobs", "export_scheduler"), staged("app", "webapp"), GATE]
SWITCHED = [*STAGED, done("switch", "app", "api"), done("switch", "app", "webapp"), done("switch", "jobs", "export_scheduler")]
COMMITTED = [*SWITCHED, done("commit", "app", "api", "webapp"), done("commit", "jobs", "export_scheduler")]
UNCHANGED = [planned(before=V2), *(staged(host, service, "current") for host, service in (("app", "api"), ("jobs", "export_scheduler"), ("app", "webapp"))), GATE]
REVERTED = [done("revert", "app", "api", "webapp"), done("revert", "jobs", "export_scheduler")]


def outcome(events):
    return state.Rollout(events).outcome()


CUT_OFF = "export_scheduler: 2 jobs were still in work after 60 s and are cut off: 1 of 'excel', 1 of 'zip'"


@pytest.mark.parametrize(("events", "message"), [(COMMITTED, CUT_OFF), ([*SWITCHED, failed("app", "boom"), *REVERTED], "boom; " + CUT_OFF)])
def test_jobs_that_were_cut_off_are_part_of_the_outcome(events, message):
    noted = [dataclasses.replace(each, details={"notes": [CUT_OFF + ". Each is done again."]}) if each.host == "jobs" and each.step == "switch" else each for each in events]
    assert outcome(noted).message == message
    assert outcome(events).message == message.replace(CUT_OFF, "").rstrip("; ")


# -- the journal ---------------------------------------------------------------------------------------------------------------------


def test_a_journal_returns_what_was_written_and_belongs_to_one_run(tmp_path):
    events = [*STAGED, failed("app", "boom\nlog")]
    for event in events:
        Journal("one", str(tmp_path)).append(event)
    assert [dataclasses.asdict(event) for event in Journal("one", str(tmp_path)).events()] == json.loads(json.dumps([dataclasses.asdict(event) for event in events]))
    # A4: a second pass of the same process has a run of its own.
    assert Journal("two", str(tmp_path)).events() == []
    assert (tmp_path / "rollout-one.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_task_outside_a_run_has_no_journal():
    assert journal.journal_of({}) is None
    assert journal.journal_of({"litefarm_release": {"run": "a/b"}}).path.endswith("/rollout-a_b.jsonl")


STAGE = {"name": "api", "state": "stage"}
RELEASE = {"phase": "staged", "spec": "s", "image": "api@2"}
LISTING = {"name": "api", "state": "run", "init_commands": [{"name": "pending"}]}


@pytest.mark.parametrize(
    ("arguments", "answer", "expected"),
    [
        (STAGE, {"release": RELEASE}, Event("app", "stage", services={"api": "s"}, details={"api": {"phase": "staged", "image": "api@2"}})),
        # A check run on a fresh droplet.
        (STAGE, {"release": {}}, Event("app", "stage", services={"api": ""}, details={"api": {"phase": "", "image": ""}})),
        (STAGE, {"failed": True, "msg": "It died.", "log": ["boom"]}, Event("app", "stage", False, "It died.\nboom")),
        (LISTING, {"init_commands": [{"output": ["No Pending"]}]}, Event("app", "list", details={"output": ["No Pending"]})),
        (LISTING, {"failed": True, "msg": "lost"}, Event("app", "list", False, "lost", details={"output": []})),
        ({**LISTING, "init_commands": [{"name": "migrate"}]}, {"init_commands": []}, Event("app", "migrate", details={"output": []})),
        ({"name": "postgres", "state": "present"}, {"release": RELEASE}, None),
    ],
)
def test_what_the_module_says_is_an_event(arguments, answer, expected):
    assert event_of("app", arguments, answer) == expected


# -- success is what is known ----------------------------------------------------------------------------------------------------------


def test_a_release_that_every_droplet_has_committed_is_ok():
    found = outcome(COMMITTED)
    assert (found.result, found.services, found.migrations, found.noteworthy) == ("ok", ("api", "export_scheduler", "webapp"), (), True)


def test_what_does_not_pass_the_gate_has_failed_although_nothing_is_left_to_commit():
    assert outcome(UNCHANGED[:-1]).result == "failed"


def test_a_run_that_found_everything_in_place_is_ok_and_needs_no_record():
    assert (outcome(UNCHANGED).result, outcome(UNCHANGED).noteworthy) == ("ok", False)


def test_the_same_images_under_another_commit_are_a_release():
    events = [planned(), *UNCHANGED[1:]]
    assert (outcome(events).result, outcome(events).services, outcome(events).noteworthy) == ("ok", (), True)


@pytest.mark.parametrize("end", range(len(COMMITTED)))
def test_a_run_that_stopped_anywhere_before_the_last_commit_has_failed(end):
    assert outcome(COMMITTED[:end]).result == "failed"


def test_without_a_plan_it_has_failed_and_is_not_written_down():
    found = outcome([failed("", "anna has held the deploy lock")])
    assert (found.result, found.message, found.noteworthy) == ("failed", "anna has held the deploy lock", False)
    assert outcome([]).message == "it did not come to its end"


@pytest.mark.parametrize("step", ["list", "migrate", "stage", "switch", "settle", "commit", journal.FAILED])
def test_a_step_that_failed_makes_the_run_fail_whatever_else_was_committed(step):
    found = outcome([*COMMITTED, failed("jobs", "It died.\nlog", step), *REVERTED])
    assert (found.result, found.message) == ("failed", "It died")


def test_a_droplet_that_ansible_has_given_up_is_the_reason():
    found = outcome([planned(), done("revert", "app")])
    assert (found.result, found.message) == ("failed", "jobs could not be reached")


def test_reasons_are_said_once_by_their_first_line_and_consequences_are_left_out():
    events = [*STAGED, failed("app", "It crashed.\nIts log:\nboom", "switch"), failed("jobs", "It crashed.\nanother log", "switch"), failed("app", "see above"), *REVERTED]
    assert outcome(events).reasons == ("It crashed",)
    assert outcome([planned(), failed("app", "see above"), *REVERTED]).reasons == ("see above",)


def test_a_version_that_is_older_than_the_database_is_told_what_to_do():
    (reason,) = outcome([failed("app", "It ended.\nError: The migration directory is corrupt, 5.js is missing", "list")]).reasons
    assert "playbooks/rollback.yml" in reason and "leaves the database alone" in reason


def test_droplets_that_stay_behind_make_it_partial():
    events = [planned(hosts=("app",), behind={"jobs": "v1 (1111111)"}), *(event for event in COMMITTED[1:] if event.host != "jobs")]
    found = outcome(events)
    assert (found.result, found.message, found.noteworthy) == ("partial", "jobs stays on v1 (1111111)", True)


# -- going back ------------------------------------------------------------------------------------------------------------------------


def test_what_was_staged_is_taken_back_and_nothing_else():
    rollout = state.Rollout([*STAGED, failed("app", "boom", "switch")])
    assert rollout.to_revert("app") == {"api": "spec-api", "webapp": "spec-webapp"}
    assert rollout.to_revert("jobs") == {"export_scheduler": "spec-export_scheduler"}
    # A3: it was found in place, so this run has not touched it.
    assert state.Rollout([*UNCHANGED, failed("app", "boom")]).to_revert("app") == {}


def test_what_the_interrupted_run_left_goes_with_the_run_that_resumes_it():
    events = [planned(leftovers={"app": {"api": "api@2"}}), *UNCHANGED[1:]]
    assert state.Rollout(events).to_revert("app") == {"api": "spec-api"}
    assert state.Rollout(events).to_revert("jobs") == {}
    other = [planned(leftovers={"app": {"api": "api@9"}}), *UNCHANGED[1:]]
    assert state.Rollout(other).to_revert("app") == {}


def test_a_droplet_that_could_not_go_back_is_named_first():
    """A1."""
    events = [*SWITCHED, failed("app", "boom", "settle"), done("revert", "app", "api", "webapp", ok=False, error="No engine answers.\nlog"), done("revert", "jobs", "export_scheduler")]
    found = outcome(events)
    assert found.result == "failed"
    assert found.not_reverted == {"app": "No engine answers"}
    assert found.message == "app could not go back (No engine answers); boom"


def test_a_droplet_that_could_not_even_be_asked_to_go_back_is_named():
    events = [*SWITCHED, failed("app", "boom", "settle"), done("revert", "app", "api", "webapp")]
    assert outcome(events).message == "jobs could not go back (it could not be asked); boom"


def test_going_back_that_worked_is_a_failure_of_the_release_all_the_same():
    assert outcome([*COMMITTED, *REVERTED]).result == "failed"


def test_a_run_that_lost_its_lock_takes_nothing_back():
    events = [*SWITCHED, failed("", "This run does not hold the deploy lock any more.", journal.LOCK_LOST)]
    rollout = state.Rollout(events)
    assert rollout.to_revert("app") == {} and rollout.not_reverted() == {}
    found = rollout.outcome()
    assert found.result == "failed" and "lost the deploy lock" in found.message and "changed nothing more" in found.message


# -- migrations ------------------------------------------------------------------------------------------------------------------------

HEAD = ["Found 1 Completed Migration file/files.", "zero"]


def listing(*pending):
    return Event("app", journal.LIST, details={"output": [*HEAD, "Found %d Pending Migration file/files." % len(pending), *pending]})


MIGRATED = [listing("one", "two"), planned(pending=("one", "two"))]


@pytest.mark.parametrize(
    ("events", "migrations"),
    [
        (MIGRATED, ()),
        ([*MIGRATED, Event("app", journal.MIGRATE)], ("one", "two")),
        # A8: those that ran before it failed stay.
        ([*MIGRATED, failed("app", "boom", journal.MIGRATE), listing("two")], ("one",)),
        ([*MIGRATED, failed("app", "boom", journal.MIGRATE), listing("one", "two")], ()),
        # Nobody could ask afterwards: they may have run.
        ([*MIGRATED, failed("app", "app could not be reached", journal.MIGRATE)], ("one", "two")),
        ([*MIGRATED, failed("app", "boom", journal.MIGRATE), failed("app", "boom", journal.LIST)], ("one", "two")),
    ],
)
def test_the_history_knows_the_migrations_that_ran(events, migrations):
    assert outcome(events).migrations == migrations


def test_what_the_database_has_is_what_was_said_last():
    assert state.Rollout(MIGRATED).listed().completed == ("zero",)
    assert state.Rollout([failed("app", "boom", journal.LIST)]).listed() is None


# -- the gate --------------------------------------------------------------------------------------------------------------------------

GROUPS = {"api": ["app"], "export_scheduler": ["jobs"], "webapp": ["app"]}


def test_a_droplet_that_has_not_staged_every_service_is_lacking():
    assert state.Rollout(STAGED).unstaged(GROUPS) == []
    assert state.Rollout(STAGED[:3]).unstaged(GROUPS) == ["app"]
    assert state.Rollout(STAGED[:2]).unstaged(GROUPS) == ["app", "jobs"]
    assert state.Rollout(UNCHANGED).unstaged(GROUPS) == []


def test_services_are_in_the_order_of_the_release():
    assert state.Rollout([STAGED[0], *reversed(STAGED[1:])]).services() == ["api", "export_scheduler", "webapp"]
    assert state.Rollout(STAGED).hosts_with_releases() == ["app", "jobs"]
