# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said before a release is made, and which releases are refused."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import droplet_rules, rollout

ONE, TWO, THREE = ({"version": "v%d" % number, "commit": str(number) * 40} for number in (1, 2, 3))


def record(kind, before, after, result="ok", migrations=()):
    return {
        "kind": kind, "result": result, "from": before, "to": after, "migrations": list(migrations), "images": {"api": "api@%s" % after["commit"][0]},
        "time": "2026-11-24T20:00:00Z", "who": "anna",
    }  # fmt: skip


LISTED = ["Using environment: production", "Found 2 Completed Migration file/files.", "1_users.js", "2_farms.js"]


def test_pending_migrations_are_those_below_their_heading():
    assert rollout.pending_migrations([*LISTED, "Found 2 Pending Migration file/files.", "3_crops.js ", "\x1b[36m4_maps.js\x1b[39m"]) == ["3_crops.js", "4_maps.js"]
    assert rollout.pending_migrations([*LISTED, "No Pending Migration files Found."]) == []


def test_a_list_that_is_none_is_told():
    with pytest.raises(ValueError, match="cannot be read: Error: connect ECONNREFUSED"):
        rollout.pending_migrations(["Error: connect ECONNREFUSED"])


def test_what_a_rollback_left_is_refused_until_somebody_insists():
    history = [record("deploy", ONE, TWO), record("rollback", TWO, ONE)]
    refusal = rollout.refusal("site", TWO, history, force=False)
    assert "v2 (2222222) was taken back at 2026-11-24T20:00:00Z by anna" in refusal and "v1 (1111111)" in refusal and "force=true" in refusal
    assert rollout.refusal("deploy", TWO, history, force=False) == refusal
    assert rollout.refusal("deploy", TWO, history, force=True) is None
    assert rollout.refusal("deploy", THREE, history, force=False) is None
    assert rollout.refusal("deploy", ONE, history, force=False) is None
    assert rollout.refusal("deploy", TWO, [*history, record("deploy", ONE, TWO)], force=False) is None


def test_a_failed_release_may_be_tried_again():
    assert rollout.refusal("deploy", TWO, [record("deploy", ONE, TWO, result="failed")], force=False) is None


def test_migrations_that_stay_are_those_since_the_release():
    history = [
        record("deploy", {}, ONE, migrations=["a"]), record("deploy", ONE, TWO, migrations=["b"]), record("deploy", TWO, THREE, migrations=["c", "d"]),
    ]  # fmt: skip
    assert rollout.migrations_since(history, ONE["commit"]) == ["b", "c", "d"]
    assert rollout.migrations_since(history, THREE["commit"]) == []
    assert rollout.migrations_since([*history, record("rollback", THREE, ONE)], ONE["commit"]) == ["b", "c", "d"]


def test_the_plan_says_what_changes_where():
    release = dict(TWO, images={"api": {"reference": "api@2"}, "webapp": {"reference": "web@1"}})
    running = {
        "one": {"wanted": ["api", "webapp"], "api": {"image": "api@1"}, "webapp": {"image": "web@1"}},
        "two": {"wanted": ["api"], "api": {"image": "api@2"}},
    }
    lines = rollout.lines_of("deploy", release, running, [record("deploy", {}, ONE)], ["3_crops.js"])
    assert lines == [
        "deploy: v1 (1111111) -> v2 (2222222)",
        "  api api@2: new on one; there already on two",
        "  webapp web@1: there already on one",
        "  migrations: 3_crops.js",
    ]


def test_a_rollback_says_what_the_database_keeps():
    history = [record("deploy", {}, ONE), record("deploy", ONE, TWO, migrations=["b"])]
    lines = rollout.lines_of("rollback", dict(ONE, images={}), {}, history, [])
    assert lines == ["rollback: v2 (2222222) -> v1 (1111111)", "  migrations that stay, unknown to this release: b"]


def running(image, update="rolling", available=300):
    return {"services": {"api": {"image": image, "update": update, "memory_mb": 512}}, "memory_available_mb": available}


def test_a_second_copy_needs_memory():
    (problem,) = droplet_rules.room_problems("one", running("api@1"), {"api": "api@2"})
    assert "one has 300 MB of memory available" in problem and "may take 512 MB, so 212 MB are missing" in problem
    assert droplet_rules.room_problems("one", running("api@2"), {"api": "api@2"}) == []
    assert droplet_rules.room_problems("one", running("api@1", update="recreate"), {"api": "api@2"}) == []
    assert droplet_rules.room_problems("one", running("api@1", available=600), {"api": "api@2"}) == []
    assert droplet_rules.room_problems("one", {}, {"api": "api@2"}) == []


def test_outdated_is_what_runs_from_another_image_or_not_at_all():
    wanted = {"api": "api@2", "webapp": "webapp@2"}
    assert droplet_rules.outdated(running("api@1"), wanted) == ["api", "webapp"]
    assert droplet_rules.outdated(running("api@2"), wanted) == ["webapp"]
    assert droplet_rules.outdated({}, {}) == []


def test_a_service_is_the_same_everywhere():
    assert droplet_rules.image_problems({"api": {"one": "a@1", "two": "a@1"}}) == []
    (problem,) = droplet_rules.image_problems({"api": {"one": "a@1", "two": "a@2"}})
    assert "one from a@1" in problem and "two from a@2" in problem and "api_image" in problem
