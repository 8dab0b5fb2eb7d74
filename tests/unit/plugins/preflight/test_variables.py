# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.plugin_utils._variables import (
    Places,
    definitions,
    first_sentence,
    independent,
    misspelled,
    nearest,
    out_of_range,
    replaced,
    scattered,
)

KNOWN = {"nginx_body_max_mb", "nginx_sites", "nginx__internal", "litefarm_version", "litefarm_repo", "vault_jwt_secret"}
PREFIXES = ["nginx_", "litefarm_", "vault_"]


@pytest.fixture(name="inventory")
def fixture_inventory(tmp_path):
    variables = tmp_path / "group_vars" / "litefarm"
    variables.mkdir(parents=True)
    (variables / "main.yml").write_text("---\n# litefarm_comment: no\nlitefarm_version: v1\nuses: '{{ litefarm_used }}'\n")
    (tmp_path / "hosts.yml").write_text("litefarm:\n  hosts:\n    one: {ansible_host: 192.0.2.1, nginx_bdy_max_mb: 3}\n")
    (tmp_path / "hosts.ini").write_text("[nginx]\none nginx_ini_value=3\n")
    (tmp_path / "group_vars" / "litefarm" / ".hidden").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("litefarm_version", "group_vars/litefarm/main.yml"),
        ("nginx_bdy_max_mb", "hosts.yml"),
        ("nginx_ini_value", "hosts.ini"),
        ("litefarm_comment", None),
        ("litefarm_used", None),
        ("farm_version", None),
    ],
)
def test_a_definition_is_found(inventory, name, file):
    assert definitions(name, [inventory]) == ([str(inventory / file)] if file else [])


def test_the_vault_is_beside_the_environments_variables_whatever_other_inventories_there_are(inventory, tmp_path):
    other = tmp_path / "of-a-tool"
    other.mkdir()
    assert Places([str(other), str(inventory)]).vault().startswith(str(inventory))


def test_places_are_files_that_a_person_can_open(inventory, monkeypatch):
    places = Places([str(inventory)], extra_names={"given": 1})
    assert places.of("given") == "option -e of the command line"
    assert places.of("litefarm_unset") == str(inventory / "group_vars/litefarm/main.yml")
    assert places.of("vault_unset") == str(inventory / "group_vars/litefarm/vault.yml")
    monkeypatch.chdir(inventory)
    assert places.of("litefarm_version") == "group_vars/litefarm/main.yml"


def test_a_misspelled_variable_names_the_right_one(inventory):
    problems = misspelled(["nginx_bdy_max_mb", "nginx_sites", "inventory_file"], KNOWN, PREFIXES, Places([str(inventory)]))
    place = inventory / "hosts.yml"
    assert problems == ["Nothing reads the variable nginx_bdy_max_mb in %s: rename it to nginx_body_max_mb if that is meant, or remove it." % place]


def test_a_misspelled_prefix_is_found(inventory):
    problems = misspelled(["ngnix_body_max_mb", "my_own_variable"], KNOWN, PREFIXES, Places([str(inventory)]))
    assert len(problems) == 1
    assert "rename it to nginx_body_max_mb" in problems[0]


def test_a_variable_like_no_other_is_to_be_removed(inventory):
    assert misspelled(["vault_zzz"], KNOWN, PREFIXES, Places([str(inventory)]))[0].endswith("vault.yml: remove it.")


def test_the_nearest_name_is_of_the_same_prefix_and_never_internal():
    assert nearest("nginx_sits", KNOWN, PREFIXES) == "nginx_sites"
    assert nearest("nginx_internal", KNOWN, PREFIXES) is None
    assert nearest("litefarm_verison", KNOWN, PREFIXES) == "litefarm_version"


LIMITS = {
    "*_port": {"minimum": 1, "maximum": 65535},
    "*_ports": {"minimum": 1, "maximum": 65535},
    "*_mb": {"minimum": 16},
    "*_percent": {"maximum": 100},
    "*_email": {"matches": "[^@]+@[^@]+", "meaning": "an e-mail address"},
}


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("a_port", 443, None),
        ("a_port", "443", None),
        ("a_port", 0, "a_port in main.yml is 0: set it to a number from 1 to 65535."),
        ("a_port", 70000, "a_port in main.yml is 70000: set it to a number from 1 to 65535."),
        ("some_ports", [80, 99999], "some_ports in main.yml is 99999: set it to a number from 1 to 65535."),
        ("a_mb", 8, "a_mb in main.yml is 8: set it to a number at least 16."),
        ("a_percent", 101, "a_percent in main.yml is 101: set it to a number at most 100."),
        ("an_email", "x@example.org", None),
        ("an_email", "", None),
        ("an_email", "nobody", "an_email in main.yml is 'nobody', which is not an e-mail address: correct it."),
        ("other", 0, None),
    ],
)
def test_ranges(name, value, sentence):
    assert out_of_range(name, value, LIMITS, "main.yml") == ([sentence] if sentence else [])


def test_descriptions_are_shortened():
    assert first_sentence(["What it is. And more."]) == "What it is"
    assert first_sentence("What it is.") == "What it is"
    assert first_sentence(None) == ""


def test_a_consequence_is_not_told():
    raw = {"size": "many", "half": "{{ size // 2 }}", "other": "{{ others }}", "text": "size"}
    problems = {"size": ["size."], "half": ["half."], "other": ["other."], "text": ["text."]}
    assert independent(problems, raw) == ["size.", "other.", "text."]
    assert independent({"size": ["size."], "quarter": ["quarter."]}, {**raw, "quarter": "{{ half // 2 }}"}) == ["size."]


OWN = {"JWT_SECRET": "a", "GOOGLE_API_KEY": "", "TZ": None, "PORT": 5000}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"JWT_SECRET": "b", "PORT": "5001", "OTHER": "x"}, "JWT_SECRET and PORT"),
        # What the role leaves out, and what it says anyway, is not replaced.
        ({"GOOGLE_API_KEY": "k", "TZ": "UTC", "JWT_SECRET": "a", "PORT": "5000"}, None),
        ({}, None),
    ],
)
def test_entries_that_take_the_place_of_the_roles_own_are_named_without_their_values(given, names):
    expected = "api_secret_env in main.yml replaces %s of the role: remove what is not meant." % names
    assert replaced("api_secret_env", given, OWN, "main.yml") == ([expected] if names else [])


def test_a_dictionary_in_several_files_is_told(inventory):
    places = Places([str(inventory)])
    assert scattered("litefarm_version", places.in_inventory("litefarm_version")) == []
    (inventory / "group_vars" / "litefarm" / "other.yml").write_text("litefarm_version: v2\n")
    (sentence,) = scattered("litefarm_version", places.in_inventory("litefarm_version"))
    assert "litefarm/main.yml and " in sentence and sentence.endswith("one of them only: put them into one file.")
