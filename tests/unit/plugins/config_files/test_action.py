# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin and module together, as a playbook runs them on this machine in check mode."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ lookup('env', 'TEST_PYTHON') }}"
    colour: green
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

MISTAKES = {
    "wrong type": ("{dest: /x, content: {a: 1}}", "to_nice_json"),
    "missing template": ("{dest: /x, template: no.j2}", "template of /x"),
    "undefined variable": ("{dest: /x, template: undefined.j2}", "no_such_variable"),
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
def played(tmp_path_factory, repo):
    """The whole output with everything that -vvv and --diff show, and the results by name of task."""
    folder = tmp_path_factory.mktemp("play")
    role = folder / "roles/sample"
    tasks = TASKS + "".join(MISTAKE % (name, entry) for name, (entry, _) in MISTAKES.items())
    for name, text in {"tasks/main.yml": tasks, **{f"templates/{name}": text for name, text in TEMPLATES.items()}}.items():
        (role / name).parent.mkdir(parents=True, exist_ok=True)
        (role / name).write_text(text)
    (folder / "play.yml").write_text(PLAY)
    (folder / "ansible.cfg").write_text("[defaults]\nstdout_callback = ansible.posix.json\n")
    environment = dict(
        os.environ,
        ANSIBLE_CONFIG=str(folder / "ansible.cfg"),
        ANSIBLE_COLLECTIONS_PATH=str(repo / "collections"),
        ANSIBLE_LOCAL_TEMP=str(folder / "tmp"),
        TEST_PYTHON=sys.executable,
    )
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "--check", "--diff", "-vvv", str(folder / "play.yml")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    output = json.loads(done.stdout[done.stdout.index("{\n") :])
    tasks = {task["task"]["name"].split(" : ")[-1]: task["hosts"].get("localhost") for task in output["plays"][0]["tasks"]}
    return done.stdout + done.stderr, tasks


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


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(played, mistake):
    assert MISTAKES[mistake][1] in played[1][mistake]["msg"]
