# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release concludes from what its droplets say."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.filter import rollout

SERVICES = ["api", "export_scheduler", "webapp"]


def droplet(name, *groups, **variables):
    return {"inventory_hostname": name, "group_names": list(groups), "litefarm_preflight": {}, **variables}


@pytest.mark.parametrize(
    ("droplets", "taking_part", "unfit"),
    [
        ([droplet("one", "api"), droplet("two", "export_scheduler")], ["one", "two"], []),
        ([droplet("one", "api"), droplet("two", "export_scheduler", litefarm_unfit=True)], ["one", "two"], ["two"]),
        ([droplet("one", "api"), droplet("two", "webapp")], ["one"], ["two"]),
        # It has nothing of the application, so it takes no part in its release; but it may have failed.
        ([droplet("one", "api"), droplet("two", "imaginary")], ["one"], []),
        ([droplet("one", "api"), droplet("two", "imaginary", litefarm_unfit=True)], ["one"], ["two"]),
        # --limit has left it out.
        ([droplet("one", "api"), {"inventory_hostname": "two", "group_names": ["api"]}], ["one"], []),
    ],
)
def test_unfit_are_those_that_failed_and_those_that_were_lost(droplets, taking_part, unfit):
    assert rollout.unfit_droplets(droplets, SERVICES, taking_part) == unfit


@pytest.mark.parametrize(
    ("phase", "last_images", "left"),
    [
        ("current", {"api": "api@1"}, True),
        ("current", {"api": "api@2"}, False),
        # The environment had no API before: nothing to go back to.
        ("current", {}, False),
        # These have begun in this run, and are known as such.
        ("staged", {"api": "api@1"}, False),
        ("switched", {"api": "api@1"}, False),
    ],
)
def test_left_is_what_serves_and_is_not_what_ran_last(phase, last_images, left):
    release = {"name": "api", "phase": phase, "image": "api@2"}
    assert rollout.releases_left([{}, release], last_images) == ([release] if left else [])


def test_reasons_are_said_once_by_their_first_line():
    failed = {"msg": "It crashed.\nIts log:\nboom"}
    droplets = [
        droplet("one", ansible_failed_result=failed, rollout_failed=True),
        droplet("two", ansible_failed_result=failed, rollout_failed=True),
        droplet("three", rollout_failed=True),
        droplet("four"),
        droplet("five", ansible_failed_result={"msg": "non-zero return code", "stderr": "the database is not there\nat all"}),
        droplet("six", ansible_failed_result={"rc": 1}),
    ]
    assert rollout.failure_reasons(droplets) == ["It crashed.", "four could not be reached", "the database is not there", "it failed"]


def test_a_version_that_is_older_than_the_database_is_told_what_to_do():
    failed = {"msg": "The one-shot pending ended with exit code 1.", "log": ["Error: The migration directory is corrupt, the following files are missing: 5.js"]}
    (reason,) = rollout.failure_reasons([droplet("one", ansible_failed_result=failed)])
    assert "playbooks/rollback.yml" in reason and "leaves the database alone" in reason
