# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollout plans, from the history and from what the droplets run."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._ledger import complete
from ansible_collections.litefarm.platform.plugins.plugin_utils import _droplet_rules as droplet_rules
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.migrations import listed
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.planning import lines_of, make_plan, migrations_since

ONE, TWO, THREE = ({"version": "v%d" % number, "commit": str(number) * 40} for number in (1, 2, 3))
GROUPS = {"api": ["app"], "export_scheduler": ["jobs"], "webapp": ["app"]}


def images_of(release):
    return {service: "%s@%s" % (service, release["commit"][0]) for service in GROUPS} if release else {}


def record(kind, before, after, result="ok", migrations=(), hosts=("app", "jobs")):
    fields = {"kind": kind, "result": result, "from": before, "to": after, "migrations": list(migrations), "images": images_of(after), "hosts": list(hosts)}
    return complete({**fields, "time": "2026-11-24T20:00:00Z", "who": "anna"}, 0, {})


def plan_of(release, history, hosts=("app", "jobs"), groups=None, kind="deploy", lines=None):
    return make_plan(kind, {**release, "references": images_of(release)}, history, list(hosts), groups or GROUPS, listed(lines) if lines else None)


LISTED = ["Using environment: production", "Found 2 Completed Migration file/files.", "1_users.js", "2_farms.js"]


def test_pending_migrations_are_those_below_their_heading():
    found = listed([*LISTED, "Found 2 Pending Migration file/files.", "3_crops.js ", "\x1b[36m4_maps.js\x1b[39m"])
    assert found.pending == ("3_crops.js", "4_maps.js")
    assert found.completed == ("1_users.js", "2_farms.js")
    assert listed([*LISTED, "No Pending Migration files Found."]).pending == ()
    empty = listed(["Using environment: production", "No Completed Migration files Found.", "Found 1 Pending Migration file/files.", "1_users.js"])
    assert (empty.completed, empty.pending) == ((), ("1_users.js",))


def test_a_list_that_is_none_is_told():
    with pytest.raises(ValueError, match="cannot be read: Error: connect ECONNREFUSED"):
        listed(["Error: connect ECONNREFUSED"])


def test_migrations_that_stay_are_those_since_the_release():
    history = [
        record("deploy", {}, ONE, migrations=["a"]), record("deploy", ONE, TWO, migrations=["b"]), record("deploy", TWO, THREE, migrations=["c", "d"]),
    ]  # fmt: skip
    assert migrations_since(history, ONE["commit"]) == ["b", "c", "d"]
    assert migrations_since(history, THREE["commit"]) == []
    assert migrations_since([*history, record("rollback", THREE, ONE)], ONE["commit"]) == ["b", "c", "d"]


def test_migrations_of_runs_that_did_not_end_well_stay_too():
    history = [
        record("deploy", {}, ONE, migrations=["a"]), record("deploy", ONE, TWO, "interrupted", ["b", "c"]), record("deploy", ONE, TWO, "failed", ["c"]),
        record("deploy", ONE, THREE, migrations=["d"]),
    ]  # fmt: skip
    assert migrations_since(history, ONE["commit"]) == ["b", "c", "d"]


def test_the_plan_says_what_changes_where():
    groups = {"api": ["one", "two"], "webapp": ["one"]}
    history = [record("deploy", {}, ONE, hosts=["one", "two"])]
    running = {
        "one": {"wanted": ["api", "webapp"], "api": {"image": "api@2", "committed_image": "api@1"}, "webapp": {"image": "webapp@2", "committed_image": "webapp@2"}},
        "two": {"wanted": ["api"], "api": {"image": "api@2", "committed_image": "api@2"}},
    }
    lines = [*LISTED, "Found 1 Pending Migration file/files.", "3_crops.js"]
    release = {**TWO, "references": {"api": "api@2", "webapp": "webapp@2"}}
    plan = make_plan("deploy", release, history, ["one", "two"], groups, listed(lines))
    assert lines_of(plan, running, history, listed(lines)) == [
        "deploy: v1 (1111111) -> v2 (2222222)",
        "  api api@2: new on one; there already on two",
        "  webapp webapp@2: there already on one",
        "  migrations: 3_crops.js",
    ]
    assert plan.record() == {
        "kind": "deploy", "from": ONE, "to": TWO, "images": {"api": "api@2", "webapp": "webapp@2"}, "migrations": ["3_crops.js"], "hosts": ["one", "two"],
    }  # fmt: skip


def test_a_rollback_says_what_the_database_keeps():
    history = [record("deploy", {}, ONE), record("deploy", ONE, TWO, migrations=["b"])]
    lines = lines_of(plan_of(ONE, history, kind="rollback"), {}, history, None)
    assert lines == ["rollback: v2 (2222222) -> v1 (1111111)", "  migrations that stay, unknown to this release: b"]


def test_the_first_release_comes_from_nothing():
    assert lines_of(plan_of(ONE, []), {}, [], None)[0] == "deploy: nothing that is recorded -> v1 (1111111)"


# -- what stays behind (--limit) -----------------------------------------------------------------------------------------------------


def test_a_droplet_that_is_not_part_of_the_run_stays_on_its_release_and_is_named():
    history = [record("deploy", {}, ONE)]
    plan = plan_of(TWO, history, hosts=["app"])
    assert plan.behind == {"jobs": "v1 (1111111)"}
    assert "  not in this run: jobs, which stays on v1 (1111111)" in lines_of(plan, {}, history, None)


def test_a_droplet_that_runs_the_release_already_does_not_stay_behind():
    history = [record("deploy", {}, ONE), record("deploy", ONE, TWO, "partial", hosts=["app"])]
    assert plan_of(TWO, history, hosts=["jobs"]).behind == {}
    assert plan_of(THREE, history, hosts=["jobs"]).behind == {"app": "v2 (2222222)"}
    assert plan_of(TWO, history).behind == {}


def test_of_a_droplet_without_a_record_nothing_is_assumed():
    assert plan_of(TWO, [record("deploy", {}, ONE, hosts=[])], hosts=["app"]).behind == {"jobs": "what it ran before"}


# -- what an interrupted run has left ------------------------------------------------------------------------------------------------


def left(history, hosts=("app", "jobs")):
    return plan_of(TWO, history, hosts).leftovers


def test_what_an_interrupted_run_released_is_known():
    history = [record("deploy", {}, ONE), record("deploy", ONE, TWO, "interrupted")]
    assert left(history) == {"app": {"api": "api@2", "webapp": "webapp@2"}, "jobs": {"export_scheduler": "export_scheduler@2"}}
    # The lock of an earlier collection does not say them.
    assert left([record("deploy", {}, ONE), record("deploy", ONE, TWO, "interrupted", hosts=[])]) == left(history)
    assert left([record("deploy", {}, ONE), record("deploy", ONE, TWO, "interrupted", hosts=["app"])]).keys() == {"app"}


def test_what_was_released_since_has_dealt_with_it():
    assert left([record("deploy", {}, ONE), record("deploy", ONE, TWO, "interrupted"), record("deploy", ONE, THREE)]) == {}


def test_a_droplet_that_a_limited_release_left_out_has_nothing_left_on_it():
    """A3: it still runs the release before, and so must not be taken back to the one before that."""
    assert left([record("deploy", {}, ONE), record("deploy", ONE, TWO, "partial", hosts=["app"])]) == {}


def test_the_first_release_has_nothing_to_go_back_to():
    assert left([record("deploy", {}, ONE, "interrupted")]) == {}


def running(image, update="rolling", available=300, **more):
    seen = {"image": image, "committed_image": image, "copies": 1, "update": update, "memory_mb": 512, **more}
    return {"services": {"api": seen}, "memory_available_mb": available}


def test_a_second_copy_needs_memory():
    (problem,) = droplet_rules.room_problems("one", running("api@1"), {"api": "api@2"})
    assert "one has 300 MB of memory available" in problem and "may take 512 MB, so 212 MB are missing" in problem
    assert droplet_rules.room_problems("one", running("api@2"), {"api": "api@2"}) == []
    assert droplet_rules.room_problems("one", running("api@1", update="recreate"), {"api": "api@2"}) == []
    assert droplet_rules.room_problems("one", running("api@1", available=600), {"api": "api@2"}) == []
    assert droplet_rules.room_problems("one", {}, {"api": "api@2"}) == []


def test_a_release_that_was_interrupted_needs_no_memory_for_what_runs_already():
    beside = running("api@1", copies=2, beside="api@2")
    assert droplet_rules.room_problems("one", beside, {"api": "api@2"}) == []
    # Of another release, the interrupted one goes before the next one comes.
    assert droplet_rules.room_problems("one", beside, {"api": "api@3"}) == []
    # The old one has stopped, and the new one is not committed.
    alone = running("api@2", committed_image="api@1", beside="api@1")
    assert droplet_rules.room_problems("one", alone, {"api": "api@2"}) == []
    assert droplet_rules.room_problems("one", alone, {"api": "api@3"}) != []
    # It was created and never started.
    assert droplet_rules.room_problems("one", running("api@1", beside="api@2"), {"api": "api@2"}) != []


def test_a_release_that_serves_and_is_not_committed_is_still_to_be_made():
    wanted = {"api": "api@2"}
    assert droplet_rules.outdated(running("api@2", committed_image="api@1", copies=2), wanted) == ["api"]
    assert droplet_rules.outdated(running("api@2", committed_image=""), wanted) == ["api"]


def test_outdated_is_what_runs_from_another_image_or_not_at_all():
    wanted = {"api": "api@2", "webapp": "webapp@2"}
    assert droplet_rules.outdated(running("api@1"), wanted) == ["api", "webapp"]
    assert droplet_rules.outdated(running("api@2"), wanted) == ["webapp"]
    assert droplet_rules.outdated({}, {}) == []


def test_a_service_is_the_same_everywhere():
    assert droplet_rules.image_problems({"api": {"one": "a@1", "two": "a@1"}}) == []
    (problem,) = droplet_rules.image_problems({"api": {"one": "a@1", "two": "a@2"}})
    assert "one from a@1" in problem and "two from a@2" in problem and "api_image" in problem
