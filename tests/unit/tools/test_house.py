# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each rule is broken once, and the check must say so; a check that cannot fail is a defect."""

from __future__ import annotations

import subprocess

import house
import pytest


def messages(tree):
    return [str(breach).removeprefix(f"{tree.root}/roles/tea/") for breach in house.check_roles(tree.root)]


def test_a_good_role_has_no_breach(tree):
    assert messages(tree) == []


SPECS = "meta/argument_specs.yml"
DEFAULTS = "defaults/main.yml"
TASKS = "tasks/main.yml"
TEMPLATE = "templates/tea.j2"


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        pytest.param(SPECS, "default: 80", "default: 90", "tea_temperature is 90 here and 80 in defaults", id="default-differs"),
        pytest.param(SPECS, "default: 80", 'default: "80"', "tea_temperature is '80' here and 80 in defaults", id="default-of-another-type"),
        pytest.param(SPECS, "        default: 80\n", "", "has a default in defaults/main.yml and none here", id="default-not-in-specs"),
        pytest.param(DEFAULTS, "tea_temperature: 80", "{}", "tea_temperature has a default here and none in defaults", id="default-only-in-specs"),
        pytest.param(SPECS, "tea_temperature:", "tea_warmth:", "tea_temperature is not in meta/argument_specs.yml", id="default-undeclared"),
        pytest.param(SPECS, "        required: true\n", "", "tea_password is neither required nor has it a default", id="neither-required-nor-default"),
        pytest.param(SPECS, "default: 80", "default: 80\n        required: true", "is required and yet has a default", id="required-with-default"),
        pytest.param(SPECS, " in percent of boiling.", ".", "is a number whose description names no unit", id="no-unit"),
        pytest.param(SPECS, "        no_log: true\n", "", "tea_password looks like a secret and is not no_log", id="secret-in-logs"),
        pytest.param(SPECS, "        description: Opens the tin.\n", "", "tea_password has no description", id="no-description"),
        pytest.param(SPECS, "        type: str\n", "", "tea_password has no type", id="no-type"),
        pytest.param(SPECS, "    short_description: Tea is served.\n", "", "has no short_description", id="no-short-description"),
        pytest.param(DEFAULTS, "# Temperature of the water in percent of boiling.\n", "", "has no comment line above it", id="no-comment"),
        pytest.param(TASKS, "tea_temperature > 50", "true", "tea_temperature is declared and used nowhere", id="unused-in-when"),
        pytest.param(TEMPLATE, "{{ tea_password | litefarm.platform.secretly }}", "", "tea_password is declared and used nowhere", id="unused-in-template"),
        pytest.param(TASKS, "{{ tea__tin }}", "/tin", "tea__tin is declared and used nowhere", id="internal-unused"),
        pytest.param(TASKS, "{{ tea__tin }}", "{{ tea__tin }}{{ tea__pot }}", "tea__pot is declared nowhere", id="internal-undeclared"),
        pytest.param(TASKS, "> 50", "> tea_minimum", "tea_minimum is declared nowhere", id="undeclared-in-when"),
        pytest.param(TEMPLATE, "{{ spoon }}", "{{ tea_sugar }}", "tea_sugar is declared nowhere", id="undeclared-in-template"),
        pytest.param(TEMPLATE, "{{ spoon }}", "{{ groups['pots'] }}", "a role knows no other host or group", id="foreign-group"),
        pytest.param(TEMPLATE, "{{ spoon }}", "{{ litefarm_domain }}", "litefarm_domain is declared nowhere", id="platform-variable"),
        pytest.param("vars/main.yml", "tea__tin", "tea_tin", "tea_tin is internal, so its name begins with tea__", id="internal-name"),
    ],
)
def test_broken_contract_is_told(tree, file, old, new, expected):
    tree.change(file, old, new)
    assert any(expected in message for message in messages(tree)), messages(tree)


def test_breach_says_where(tree):
    tree.change(TEMPLATE, "{{ spoon }}", "{{ tea_sugar }}")
    assert messages(tree)[0].startswith("templates/tea.j2:2: ")


def test_variable_of_another_role_is_told(tree):
    (tree.root / "roles" / "milk" / "meta").mkdir(parents=True)
    tree.change(TEMPLATE, "{{ spoon }}", "{{ milk_share }}")
    assert any("milk_share belongs to the role milk" in message for message in messages(tree))


def test_role_without_specs_is_told(tree):
    (tree.role / SPECS).unlink()
    assert messages(tree) == [f"{tree.role}:1: a role has meta/argument_specs.yml"]


def test_template_that_is_no_jinja_is_told(tree):
    tree.change(TEMPLATE, "{% endfor %}", "")
    assert any("templates/tea.j2" in message and "Jinja" in message for message in messages(tree))


def test_long_tasks_file_is_told(tree):
    tree.write("roles/tea/tasks/long.yml", "---\n" + "- name: Tea is made\n" * 100)
    assert any("at most 100 lines" in message for message in messages(tree))


LICENCE = "# SPDX-License-Identifier: GPL-3.0-or-later\n"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        pytest.param("a.yml", "  ignore" + "_errors: true\n", "a failure is handled", id="ignored-errors"),
        pytest.param("a.yml", "  failed_when" + ": false\n", "a failure is handled", id="never-failed"),
        pytest.param("a.md", "TO" + "DO: more\n", "belongs in an issue", id="left-to-do"),
        pytest.param("a.py", LICENCE + "x = 1  # no" + "qa\n", "checks are obeyed", id="switched-off-check"),
        pytest.param("a.py", LICENCE + "@pytest.mark.sk" + "ip\ndef test(): ...\n", "a test runs", id="switched-off-test"),
        pytest.param("a.txt", "https://py" + "pi.org/simple\n", "package registries", id="registry"),
        pytest.param("a.sh", LICENCE + "ls /wo" + "rk/main\n", "one person's machine", id="machine-path"),
        pytest.param("a.py", LICENCE + "# ==" + "=========\n", "no banners", id="banner"),
        pytest.param("a.py", "x = 1\n", "SPDX", id="python-without-licence"),
        pytest.param("run", "#!/bin/sh\ntrue\n", "SPDX", id="script-without-licence"),
        pytest.param("a.sh", LICENCE + "if true; then\n", "unexpected end of file", id="shell-syntax"),
        pytest.param("a.py", LICENCE + "def f(:\n", "not valid for the oldest", id="python-syntax"),
        pytest.param(
            "plugins/modules/a.py", LICENCE + "try:\n    pass\nexcept* OSError:\n    pass\n", "not valid for the oldest", id="too-new-for-a-droplet"
        ),
    ],
)
def test_broken_form_is_told(tree, name, text, expected):
    path = tree.write(name, text)
    told = [str(breach) for breach in house.check_files([path])]
    assert any(expected in message for message in told), told


def test_good_files_have_no_breach(tree):
    files = [tree.write("a.py", LICENCE + "x = 1\n"), tree.write("a.sh", LICENCE + "true\n"), tree.write("LICENSE", "TO" + "DO")]
    assert list(house.check_files(files)) == []


def test_exit_status_and_output(tree, capsys):
    subprocess.run(["git", "-C", str(tree.root), "init", "-q"], check=True)
    assert house.main([str(tree.root)]) == 0
    tree.change(SPECS, "default: 80", "default: 90")
    assert house.main([str(tree.root)]) == 1
    assert capsys.readouterr().out.startswith("roles/tea/meta/argument_specs.yml:")


PLAY = """---
- name: Serve tea
  hosts: "{{ lookup('litefarm.platform.checked_hosts', 'pots') }}"
  strategy: ansible.builtin.linear
  tasks: []
- name: Wash up
  ansible.builtin.import_playbook: wash.yml
"""


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("tea.yml", "", "", []),
        ("tea.yml", "  strategy: ansible.builtin.linear\n", "", ["playbooks/tea.yml:3: a play says its strategy, or ANSIBLE_STRATEGY does"]),
        (
            "tea.yml",
            "\"{{ lookup('litefarm.platform.checked_hosts', 'pots') }}\"",
            "pots",
            ["playbooks/tea.yml:3: hosts of the first play come from the lookup litefarm.platform.checked_hosts"],
        ),
        ("rollout.yml", "\"{{ lookup('litefarm.platform.checked_hosts', 'pots') }}\"", "pots", []),
    ],
)
def test_a_play_leaves_nothing_to_a_persons_environment(tmp_path, name, old, new, expected):
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / name).write_text(PLAY.replace(old, new))
    assert [str(breach).removeprefix(f"{tmp_path}/") for breach in house.check_playbooks(tmp_path)] == expected


PLACES = "playbooks read litefarm_database_address, litefarm_history_host or litefarm_backup_host"


@pytest.mark.parametrize(("name", "private"), [("_tea.py", True), ("tea.py", False), ("_pots/pot.py", True), ("pots/pot.py", False), ("__init__.py", True)])
@pytest.mark.parametrize("folder", ["module_utils", "plugin_utils"])
def test_code_that_plugins_share_is_private(tmp_path, folder, name, private):
    path = tmp_path / "plugins" / folder / name
    path.parent.mkdir(parents=True)
    path.write_text("")
    first = f"plugins/{folder}/{name.split('/')[0]}"
    expected = [] if private else [f"{first}:1: the name begins with an underscore, or other collections may rely on the code"]
    assert [str(breach).removeprefix(f"{tmp_path}/") for breach in house.check_modules(tmp_path)] == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{{ groups['postgres'][0] }}", f"“groups['postgres']”: {PLACES}"),
        ("{{ groups.postgres | first }}", f"“groups.postgres”: {PLACES}"),
        ("{{ groups.get('postgres') }}", f"“groups.get('postgres'”: {PLACES}"),
        ("postgres[0]", f"“postgres[0]”: {PLACES}"),
        ("{{ tea__result.release.spec }}", "“tea__result”: a playbook reads no internal variable of a role"),
        ("{{ 'postgres' in group_names and groups['api'] | first and tea_release and other__name }}", None),
    ],
)
@pytest.mark.parametrize("file", ["vars/tea.yml", "steps/tea.sh", "templates/tea.j2", "group_vars/all.yml"])
def test_a_playbook_does_not_know_which_droplet_has_the_database_nor_the_inside_of_roles(tmp_path, file, line, expected):
    (tmp_path / "roles" / "tea").mkdir(parents=True)
    path = tmp_path / "playbooks" / file
    path.parent.mkdir(parents=True)
    path.write_text(f"---\ntea: {line}\n")
    decides = file == "group_vars/all.yml" and "postgres" in line
    assert [str(breach) for breach in house.check_playbooks(tmp_path)] == ([] if decides or not expected else [f"{path}:2: {expected}"])


@pytest.mark.parametrize(
    ("module", "missing"),
    [
        ("# Documentation only: the code is in plugins/action/tea.py.\n", None),
        ("", "# Documentation only: the code is in plugins/action/tea.py."),
        ("# plugins/action/tea.py runs first, on the control node.\nAnsibleModule({})\n", None),
        ("# Documentation only: the code is in plugins/action/tea.py.\nAnsibleModule({})\n", "# plugins/action/tea.py runs first, on the control node."),
    ],
)
def test_a_module_says_where_its_code_is(tmp_path, module, missing):
    for folder, text in (("action", ""), ("modules", module)):
        (tmp_path / "plugins" / folder).mkdir(parents=True)
        (tmp_path / "plugins" / folder / "tea.py").write_text(text)
    expected = [f"plugins/modules/tea.py:1: the line that says where the code is, is missing: {missing}"] if missing else []
    assert [str(breach).removeprefix(f"{tmp_path}/") for breach in house.check_modules(tmp_path)] == expected
