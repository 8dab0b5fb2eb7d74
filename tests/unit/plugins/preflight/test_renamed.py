# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Old names of variables and groups: refused with the new name and the file."""

from __future__ import annotations

import re

import pytest
import yaml
from ansible_collections.litefarm.platform.plugins.plugin_utils import (
    _renamed as renamed,
    _run_checks as run_checks,
)
from ansible_collections.litefarm.platform.plugins.plugin_utils._variables import Places

from tests.support.playbooks import INVENTORIES, REPO

VARIABLES = {"litefarm_old": "litefarm_new", "nginx_old": "nginx_new", "nginx_gone": "nginx_here"}
GROUPS = {"edge": "load_balancer", "images": "image_files"}


@pytest.fixture(name="inventory")
def fixture_inventory(tmp_path):
    files = {
        "hosts.yml": "litefarm: {hosts: {one: }}\nedge:\n  hosts:\n    one:\n# images: none\n",
        "group_vars/litefarm/main.yml": "litefarm_old: 1\nlitefarm_sites: {images: 3}\n",
        "group_vars/edge.yml": "nginx_old: 2\n",
        "host_vars/one.yml": "images: 4\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_an_old_variable_is_told_with_its_file_and_its_new_name(inventory):
    places = Places([str(inventory)], extra_names={"nginx_gone": 1})
    assert renamed.variable_problems(["nginx_old", "litefarm_old", "nginx_gone", "litefarm_new"], places, VARIABLES) == [
        "The variable litefarm_old in %s/group_vars/litefarm/main.yml is called litefarm_new now: rename it there." % inventory,
        "The variable nginx_gone in option -e of the command line is called nginx_here now: rename it there.",
        "The variable nginx_old in %s/group_vars/edge.yml is called nginx_new now: rename it there." % inventory,
    ]
    assert renamed.variable_problems(["litefarm_new"], places, VARIABLES) == []


def test_an_old_group_is_told_with_its_files_and_its_new_name(inventory):
    groups = {"all": ["one"], "litefarm": ["one"], "edge": ["one"]}
    assert renamed.group_problems(groups, [str(inventory)], GROUPS) == [
        "The group edge in {0}/group_vars/edge.yml and {0}/hosts.yml is called load_balancer now: rename it there.".format(inventory)
    ]
    (inventory / "group_vars" / "edge.yml").unlink()
    assert renamed.group_problems({"load_balancer": []}, [str(inventory)], GROUPS) == []


def test_droplets_of_an_old_group_count_for_the_new_one():
    groups = {"litefarm": ["one", "two"], "images": ["one", "two"], "image_files": ["two", "three"], "edge": []}
    expected = {"litefarm": ["one", "two"], "image_files": ["one", "two", "three"], "load_balancer": []}
    found = renamed.by_new_names(groups, GROUPS)
    assert {name: sorted(members) for name, members in found.items()} == {name: sorted(members) for name, members in expected.items()}


@pytest.mark.parametrize("text", ["images:\n", "all: {children: {images: }}\n", "all:\n  children:\n    'images':\n", "[images]\none\n", "[images:vars]\n"])
def test_a_group_is_found_however_it_is_written(tmp_path, text):
    (tmp_path / "hosts").write_text(text)
    (tmp_path / "other").write_text("# images:\nlitefarm_images: 3\nimages_of: 3\n")
    (sentence,) = renamed.group_problems(["images"], [str(tmp_path)], GROUPS)
    assert sentence == "The group images in %s is called image_files now: rename it there." % (tmp_path / "hosts")


def test_a_group_of_an_inventory_program_is_told_too(tmp_path):
    assert renamed.group_problems(["images"], [str(tmp_path)], GROUPS) == ["The group images in the inventory is called image_files now: rename it there."]


def test_an_old_name_of_the_command_line_is_refused_with_the_new_one(monkeypatch):
    monkeypatch.setattr(renamed, "VARIABLES", VARIABLES)
    sentence, meant = run_checks.unknown_variable("nginx_old", ["site"], {"nginx_new", "nginx_odd"})
    assert meant == "nginx_new"
    assert sentence == "playbooks/site.yml reads no variable nginx_old, which option -e gives: write nginx_new if that is meant, or leave it out."


def test_nothing_of_this_collection_has_an_old_name():
    options = set()
    for path in REPO.glob("roles/*/meta/argument_specs.yml"):
        options |= set(yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"])
    options |= set(yaml.safe_load((REPO / "playbooks" / "group_vars" / "all.yml").read_text()))
    options |= set(yaml.safe_load((REPO / "playbooks" / "vars" / "preflight.yml").read_text())["preflight_options"])
    for name in ("images", "verify"):
        options |= set(yaml.safe_load((REPO / "playbooks" / "vars" / f"{name}.yml").read_text()))
    assert options & set(renamed.VARIABLES) == set()
    assert set(renamed.VARIABLES.values()) <= options
    for path in INVENTORIES.glob("*/hosts.yml"):
        groups = set(yaml.safe_load(path.read_text()))
        assert groups & set(renamed.GROUPS) == set() and set(renamed.GROUPS.values()) <= groups


def test_the_changelog_has_every_rename():
    rows = [re.findall(r"`(\w+)`", line) for line in (REPO / "CHANGELOG.md").read_text().splitlines() if line.lstrip().startswith("| ")]
    assert [pair for pair in (renamed.GROUPS | renamed.VARIABLES).items() if list(pair) not in rows] == []
