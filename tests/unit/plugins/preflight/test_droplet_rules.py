# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.action.preflight import merge, report
from ansible_collections.litefarm.platform.plugins.plugin_utils import _droplet_rules as rules

FACTS = {
    "distribution": "Debian",
    "distribution_version": "13.1",
    "memtotal_mb": 1967,
    "litefarm_droplet": {
        "disk": {"/": {"total_mb": 50000, "free_mb": 30000}},
        "uid": 0,
        "systemd": True,
        "addresses": ["127.0.0.1", "192.0.2.7", "10.0.0.7", "fe80::1"],
    },
}
REQUIREMENTS = {"distributions": {"Debian": ["12", "13"], "Ubuntu": ["24.04"]}, "memory_mb": 900, "disk_free_mb": 4000}


def droplet(**changes):
    return rules.droplet_problems("one", dict(FACTS, litefarm_droplet=dict(FACTS["litefarm_droplet"], **changes)), REQUIREMENTS)


def test_a_good_droplet_has_no_problem():
    assert droplet() == []


@pytest.mark.parametrize(("name", "version", "good"), [("Debian", "12.11", True), ("Debian", "11", False), ("Debian", "130", False), ("Ubuntu", "24.04", True), ("Ubuntu", "24.10", False), ("Fedora", "42", False)])
def test_distributions(name, version, good):
    problems = rules.droplet_problems("one", dict(FACTS, distribution=name, distribution_version=version), REQUIREMENTS)
    assert problems == (
        [] if good else ["one runs %s %s, which is not supported: rebuild the droplet with one of Debian 12, Debian 13, Ubuntu 24.04." % (name, version)]
    )


def test_too_little_memory():
    assert rules.droplet_problems("one", dict(FACTS, memtotal_mb=480), REQUIREMENTS) == [
        "one has 480 MB of memory, and its services need at least 900 MB: resize the droplet or move a service to another one."
    ]


def test_too_little_disk():
    assert droplet(disk={"/": {"total_mb": 9000, "free_mb": 900}}) == [
        "one has 900 MB free below /, and a release needs at least 4000 MB, so 3100 MB are missing: remove what fills the disk, or enlarge it."
    ]


def test_what_is_not_required_is_not_looked_at():
    poor = dict(FACTS, distribution="Fedora", memtotal_mb=100, litefarm_droplet=dict(FACTS["litefarm_droplet"], disk={"/": {"total_mb": 9000, "free_mb": 0}}))
    assert rules.droplet_problems("one", poor, {}) == []


@pytest.mark.parametrize(("running", "wanted"), [({"missing_images": []}, {}), ({"missing_images": ["api@sha256:1"]}, {"disk_free_mb": 4000}), ({}, {})])
def test_going_back_needs_room_only_for_images_that_are_missing(running, wanted):
    assert rules.requirements_to_go_back(REQUIREMENTS, running) == wanted


def test_no_root():
    assert droplet(uid=1000) == ["Modules run as uid 1000 on one, not as root: let its user become root without a password, or give --ask-become-pass."]


def test_no_systemd():
    assert droplet(systemd=False) == ["one is not run by systemd: the platform needs a droplet with an ordinary init."]


def test_private_addresses():
    assert rules.address_problems("one", "10.0.0.7", FACTS, "hosts.yml") == []
    assert rules.address_problems("one", None, FACTS, "hosts.yml") == [
        "litefarm_private_address of one is not set: put the address of the droplet's private network in the inventory's hosts.yml."
    ]
    assert rules.address_problems("one", "10.0.0.8", FACTS, "hosts.yml") == [
        "litefarm_private_address of one is 10.0.0.8 in hosts.yml, and the droplet has only 10.0.0.7, 192.0.2.7: correct it."
    ]
    assert rules.address_problems("one", "10.0.0.8", {}, "hosts.yml") == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"module_stderr": "sudo: a password is required"}, "may not become root without a password"),
        ({"rc": 127, "module_stdout": "/bin/sh: 1: /usr/bin/python3: not found"}, "has no Python 3"),
        ({"msg": "something else"}, "Modules do not run on one (something else)"),
    ],
)
def test_a_droplet_on_which_no_module_runs(answer, words):
    assert words in rules.module_problem("one", answer)


def test_groups():
    groups = {"nginx": ["a"], "postgres": ["a", "b"], "api": []}
    assert rules.group_problems(groups, ["nginx", "postgres", "api", "webapp"], {"postgres": "two would differ", "redis": "no"}) == [
        "No droplet is in the group api, and every environment needs one: add one in the inventory's hosts.yml.",
        "No droplet is in the group webapp, and every environment needs one: add one in the inventory's hosts.yml.",
        "The group postgres has a and b, and it may have one droplet only, because two would differ: remove the others in the inventory's hosts.yml.",
    ]


def test_environments():
    assert rules.environment_problems({"a": "production", "b": "production"}, {"a": "/i/production", "b": "/i/production"}) == []
    assert "No droplet is in the group litefarm" in rules.environment_problems({}, {})[0]
    # Two inventories in one run merge, so that all droplets have the same value.
    assert rules.environment_problems({"a": "beta", "b": "beta"}, {"a": "/i/production", "b": "/i/beta"}) == [
        "Droplets of two inventories are in one run (a from /i/production; b from /i/beta), and one would get the other's variables: "
        "run the playbook once for each, with one -i."
    ]
    assert "two environments" in rules.environment_problems({"a": "production", "b": "beta"}, {"a": "/i", "b": "/i"})[0]


def test_what_all_droplets_share_is_said_once():
    assert merge({"a": ["same", "only a has it"], "b": ["same", "other"]}) == ["same", "only a has it", "b: other"]
    assert merge({"alpha": ["wrong"], "beta": []}) == ["alpha: wrong"]


def test_one_problem_is_one_sentence():
    assert report(["It is wrong."]) == "Nothing was changed. It is wrong."
    assert report(["One.", "Two."]) == "Nothing was changed, because 2 things stand in the way:\n1. One.\n2. Two."


def test_a_service_that_nginx_answers_for_has_nginx_beside_it():
    groups = {"nginx": ["a"], "load_balancer": ["a", "b"], "api": ["a"]}
    assert rules.group_problems(groups, [], {}, {"load_balancer": "nginx", "api": "nginx", "webapp": "nginx"}) == [
        "b is in the group load_balancer and not in nginx, without which nobody reaches it: add it there in the inventory's hosts.yml."
    ]
