# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of option -e: their names, and that an inventory's variables of these names have no effect."""

from __future__ import annotations

import json
import re

import jinja2
import jinja2.meta
import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar
from ansible_collections.litefarm.platform.plugins.plugin_utils import _extra_variables as extra_variables
from ansible_collections.litefarm.platform.plugins.plugin_utils._extra_variables import NAMES, SHORT_NAMES
from ansible_collections.litefarm.platform.plugins.plugin_utils._run_checks import PLAYBOOKS, _AnyName
from ansible_collections.litefarm.platform.plugins.plugin_utils._variables import Places

from tests.support.playbooks import REPO, Environment

READS = re.compile(r"\b(?:lookup|query)\('litefarm\.platform\.extra_var', '(\w+)'")
FILES = sorted((REPO / "playbooks").rglob("*.yml"))
# No task may change the machine of the tests.
NOWHERE = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
CONDITIONS = ("when", "that", "changed_when", "until", "break_when")


def expressions(value, key=""):
    """The templates in a file, and conditions as templates."""
    if isinstance(value, dict):
        for inner, each in value.items():
            yield from expressions(each, inner)
    elif isinstance(value, list):
        for each in value:
            yield from expressions(each, key)
    elif isinstance(value, str) and (key in CONDITIONS or "{{" in value or "{%" in value):
        yield "{{ %s }}" % value if key in CONDITIONS else value


def variables_of(path):
    environment = jinja2.Environment()
    environment.filters, environment.tests = _AnyName(environment.filters), _AnyName(environment.tests)
    found = [jinja2.meta.find_undeclared_variables(environment.parse(text)) for text in expressions(yaml.safe_load(path.read_text()))]
    return set().union(*found)


def test_every_name_has_the_prefix_and_a_playbook():
    assert all(name == "litefarm_%s" % short for short, name in SHORT_NAMES.items())
    assert {name for playbook in PLAYBOOKS.values() for name in playbook.variables} == NAMES


def test_the_playbooks_read_every_name_and_only_from_the_command_line():
    assert {name for path in FILES for name in READS.findall(path.read_text())} == NAMES
    # The inventory may say litefarm_new_secrets, too.
    names = {*SHORT_NAMES, *NAMES} - {"litefarm_new_secrets"}
    read = {path.name: variables_of(path) & names for path in FILES if variables_of(path) & names}
    # Where the copy is imported, an inventory's variables are not known: the last test here tries it.
    assert read == {"restore.yml": {"database", "litefarm_database"}}


@pytest.fixture(name="read")
def fixture_read(monkeypatch):
    def read(extra, name, **options):
        monkeypatch.setattr(extra_variables, "load_extra_vars", lambda loader: extra)
        loader = DataLoader()
        variables = {"to": "of an inventory", "litefarm_to": "of an inventory"}
        lookup = lookup_loader.get("litefarm.platform.extra_var", loader=loader, templar=Templar(loader=loader, variables=variables))
        return lookup.run([name], variables=variables, **options)

    return read


@pytest.mark.parametrize(
    ("extra", "options", "value"),
    [
        ({"litefarm_to": "v1"}, {}, ["v1"]),
        ({"to": "v1"}, {}, ["v1"]),
        ({"to": ""}, {"default": "v2"}, [""]),
        ({"to": False}, {"default": True}, [False]),
        ({}, {}, []),
        ({"force": True}, {"default": "v2"}, ["v2"]),
        ({}, {"default": False}, [False]),
    ],
)
def test_the_value_is_that_of_the_command_line_under_either_name(read, extra, options, value):
    assert read(extra, "litefarm_to", **options) == value


def test_a_name_that_is_in_no_table_is_a_mistake(read):
    with pytest.raises(AnsibleError, match="add it to plugins/plugin_utils/_extra_variables.py"):
        read({}, "to")


def test_a_variable_of_the_command_line_that_an_inventory_sets_is_told(tmp_path):
    (tmp_path / "hosts.yml").write_text("all: {vars: {litefarm_force: true}}\n")
    places = Places([str(tmp_path)])
    assert extra_variables.in_inventory(["litefarm_force", "litefarm_repo", "force"], {}, places) == [
        "litefarm_force in %s has no effect there: remove it, and give it with option -e to the run that needs it." % (tmp_path / "hosts.yml")
    ]
    assert extra_variables.in_inventory(["litefarm_force"], {"litefarm_force": True}, places) == []


@pytest.fixture(name="environment", scope="module")
def fixture_environment(tmp_path_factory):
    """An inventory whose own variables have the names of the command line's."""
    environment = Environment(tmp_path_factory.mktemp("run") / "inventory")
    for droplet in environment.droplets:
        environment.host(droplet, **NOWHERE)
    own = {name: "of_the_inventory" for name in [*SHORT_NAMES, *(NAMES - {"litefarm_new_secrets"})]}
    (environment.folder / "group_vars" / "litefarm" / "own.yml").write_text(yaml.safe_dump(own))
    return environment


def output(process):
    return " ".join((process.stdout + process.stderr).split())


@pytest.mark.parametrize("given", [{}, {"state": "maybe"}, {"litefarm_state": "maybe"}])
def test_a_state_of_the_inventory_is_none(environment, given):
    said = output(environment.play("maintenance.yml", "--check", "-e", json.dumps(given)))
    assert ("TASK [Read the state of the maintenance page]" in said) == (not given), said
    assert ("litefarm_state is 'maybe', and it has to be on or off" in said) == bool(given)


@pytest.mark.parametrize("given", [{}, {"secret": "no_such"}, {"litefarm_secret": "no_such"}])
def test_a_secret_of_the_inventory_is_none(environment, given):
    said = output(environment.play("rotate.yml", "--check", "-e", json.dumps(given)))
    assert ("production: rotate the secret no_such (" if given else "production: list the secrets that can be rotated, and change nothing (") in said


@pytest.mark.parametrize("given", [{}, {"confirm": "beta"}, {"litefarm_confirm": "beta"}])
def test_the_inventory_does_not_confirm(environment, given):
    environment.set(litefarm_environment="beta")
    process = environment.play("recover.yml", "--check", "-e", json.dumps(given))
    assert process.returncode != 0
    assert ("Writes of the last seconds before the loss are missing afterwards" in output(process)) == (not given), output(process)


@pytest.mark.parametrize(("given", "playbook"), [({}, "data"), ({"database": "x"}, "copy"), ({"litefarm_database": "x"}, "copy"), ({"database": ""}, "copy")])
def test_a_database_of_the_inventory_does_not_turn_a_restore_into_a_copy(environment, given, playbook):
    listed = output(environment.play("restore.yml", "--list-tasks", "-e", json.dumps(given)))
    assert ("Ask for confirmation" in listed) == (playbook == "data")
    assert ("Copy the database Show how to look at it" in re.sub(r" TAGS: \[\]", "", listed)) == (playbook == "copy"), listed
