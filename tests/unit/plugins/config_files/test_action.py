# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin and module together, as a playbook runs them on this machine in check mode."""

from __future__ import annotations

import pytest

from tests.support.playbooks import LocalPlay

PLAY = """    colour: green
    secret: MARKER-of-a-secret
  roles: [sample]
"""

TASKS = """
- name: rendered
  litefarm.platform.config_files:
    name: sample
    files:
      - {dest: /nonexistent/plain, template: plain.j2}
      - {dest: /nonexistent/own, template: plain.j2, vars: {colour: "{{ '{{' }} not evaluated }}"}}
      - {dest: /nonexistent/number, content: "{{ 5 }}", mode: "{{ omit }}"}
    secret_files:
      - {dest: /nonexistent/password, template: secret.j2}
"""

LIVE = """
- name: not live
  litefarm.platform.config_files:
    name: sample
    on_change:
      - {command: [load], only_for: [/nonexistent], live: {kind: sysctl, file: "%s"}}
"""

MISTAKES = {
    "wrong type": ("{dest: /x, content: {a: 1}}", "to_nice_json"),
    "missing template": ("{dest: /x, template: no.j2}", "template of /x"),
    "undefined variable": ("{dest: /x, template: undefined.j2}", "no_such_variable"),
    "incomplete question": ("{dest: /x, content: words}], units: [{name: a.service, live: {kind: nftables, file: /x}}", "table"),
    "nothing declared": ("{dest: /x}", "exactly one of template, content, link"),
}
MISTAKE = """
- block:
    - name: %s
      litefarm.platform.config_files: {name: sample, files: [%s]}
  rescue:
    - ansible.builtin.meta: noop
"""

TEMPLATES = {
    "plain.j2": "# {{ ansible_managed }}\n{% if true %}\n{{ colour }} of {{ template_destpath }}\n{% endif %}\n{% include 'part.j2' %}\n",
    "part.j2": "included\n",
    "secret.j2": "password = {{ secret }}\n",
    "undefined.j2": "{{ no_such_variable }}\n",
}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The whole output with everything that -vvv and --diff show, and the results by name of task."""
    folder = tmp_path_factory.mktemp("play")
    role = folder / "roles/sample"
    (folder / "sysctl.conf").write_text("kernel.hostname = nobody.example\n")
    tasks = TASKS + LIVE % (folder / "sysctl.conf") + "".join(MISTAKE % (name, entry) for name, (entry, _) in MISTAKES.items())
    for name, text in {"tasks/main.yml": tasks, **{f"templates/{name}": text for name, text in TEMPLATES.items()}}.items():
        (role / name).parent.mkdir(parents=True, exist_ok=True)
        (role / name).write_text(text)
    done, results = LocalPlay(folder, PLAY).results("--check", "--diff", "-vvv")
    return done.stdout + done.stderr, results


@pytest.fixture
def diffs(played):
    return {item["before_header"]: item["after"] for item in played[1]["rendered"]["diff"]}


def test_templates_are_rendered_as_the_template_action_does(diffs):
    first, *rest = diffs["/nonexistent/plain"].splitlines()
    assert first.startswith("# Managed by Ansible")
    assert rest == ["green of /nonexistent/plain", "included"]


def test_a_file_has_variables_of_its_own_and_values_are_not_evaluated_twice(diffs):
    assert "{{ not evaluated }} of /nonexistent/own" in diffs["/nonexistent/own"]
    assert diffs["/nonexistent/number"] == "5"


def test_a_secret_is_in_no_output_at_all(played, diffs):
    assert diffs["/nonexistent/password"] == "content of 30 bytes\n"
    assert "MARKER" not in played[0]


def test_paths_and_modes_are_not_masked(played):
    result = played[1]["rendered"]
    assert {"dest": "/nonexistent/password", "change": "created"} in result["files"]


def test_what_is_not_live_is_a_change_in_check_mode_and_in_the_diff(played):
    result = played[1]["not live"]
    assert (result["changed"], result["commands"]) == (True, ["load"])
    assert "kernel.hostname is " in result["outdated"][0] and "declared is nobody.example" in result["outdated"][0]
    assert {"prepared": "load: kernel.hostname is"} in [{"prepared": each.get("prepared", "")[:24]} for each in result["diff"]]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(played, mistake):
    assert MISTAKES[mistake][1] in played[1][mistake]["msg"]
