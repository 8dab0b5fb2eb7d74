# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is forked from a process with Ansible in it is the same as one that starts from nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.support import ansible_run
from tests.support.ansible_run import ansible_playbook

PLAY = """
- hosts: all
  gather_facts: false
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{{ lookup('ansible.builtin.env', 'TEST_PYTHON') }}"
  tasks:
    - name: Show what a run is given
      ansible.builtin.debug:
        msg:
          late: "{{ lookup('ansible.builtin.env', 'PYTEST_CURRENT_TEST') }}"
          forks: "{{ lookup('ansible.builtin.config', 'DEFAULT_FORKS') }}"
          hash: "{{ lookup('ansible.builtin.config', 'DEFAULT_HASH_BEHAVIOUR') }}"
          folder: "{{ lookup('ansible.builtin.pipe', 'pwd') }}"
          merged: "{{ one }}"
          filters: "{{ 'one' | own | b64encode | upper }} {{ 'http://a/b' | urlsplit('path') }} {{ [3, 4] | max | quote }}"
          tests: "{{ 3 is odd_one and '/' is directory and 'x' is not search('y') }}"
    - name: Run a module of the folder beside the playbook
      sample:
      register: seen
    - ansible.builtin.debug:
        var: seen
    - ansible.builtin.assert:
        that: one == {}
"""
KILLED = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{ lookup('ansible.builtin.pipe', 'kill -KILL $(cut -d\\" \\" -f4 /proc/$PPID/stat)') }}"
"""
MODULE = """#!/usr/bin/python
import os, sys
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({}, supports_check_mode=True)
module.exit_json(check=module.check_mode, environment=sorted(name for name in os.environ if name.startswith("ANSIBLE")))
"""
FILTER = "class FilterModule:\n    def filters(self):\n        return {'own': lambda text: text + text, 'quote': lambda text: '<%s>' % text}\n"
TEST = "class TestModule:\n    def tests(self):\n        return {'odd_one': lambda number: number % 2 == 1}\n"
CONFIGURATION = """[defaults]
forks = 7
hash_behaviour = merge
stdout_callback = minimal
deprecation_warnings = False
"""


@pytest.fixture(name="folder", scope="module")
def fixture_folder(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("play")
    files = {"play.yml": PLAY, "library/sample.py": MODULE, "filter_plugins/own.py": FILTER, "test_plugins/own.py": TEST, "ansible.cfg": CONFIGURATION}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text("one: {a: 1}\n")
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "droplet.yml").write_text("one: {b: 2}\n")
    (tmp_path / "hosts").write_text("droplet\n")
    yield tmp_path
    ansible_run.close_servers()


@pytest.fixture(name="env")
def fixture_env(folder):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {**inherited, "ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_VERBOSITY": "1", "TEST_PYTHON": sys.executable, "LC_ALL": "C.UTF-8"}


def from_nothing(arguments, cwd, env):
    command = [sys.executable, "-m", "ansible", "playbook", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("options", [["play.yml"], ["play.yml", "--check", "-vvvv"], ["none.yml"], ["play.yml", "--no-such-option"]])
def test_output_and_status_are_those_of_a_run_from_nothing(folder, env, options):
    """With a configuration, a folder and variables that are not those of the tests.

    Names of temporary files and times change; a module is put together once, and the collection ansible.builtin is loaded by the server.
    """
    once = ("Including module_utils file", "Loading collection ansible.builtin from")
    changing = r"ansible-(?:local|tmp)-[\w.-]+|ansible_\w+_payload_\w+|0x[0-9a-f]+|\d+\.\d{3,}|/\S*tmp\w{8}"
    output = []
    for run in (from_nothing, ansible_playbook, ansible_playbook):
        process = run(["-i", "hosts", *options], cwd=folder, env=env)
        said = "%s\n%s\n%s" % (process.returncode, process.stdout, process.stderr)
        output.append("\n".join(re.sub(changing, "CHANGES", line) for line in said.splitlines() if not line.startswith(once)))
    assert output[0] == output[1] == output[2]
    assert '"forks": 7' in output[0] or options[0] != "play.yml" or "usage:" in output[0]


def test_configuration_and_variables_of_one_run_do_not_reach_another(folder, env):
    seen = []
    for settings in ({}, {"ANSIBLE_FORKS": "3", "ANSIBLE_HASH_BEHAVIOUR": "replace"}, {"PYTEST_CURRENT_TEST": "another"}):
        process = ansible_playbook(["-i", "hosts", "play.yml"], cwd=folder, env={**env, **settings})
        seen.append([re.search(r'"%s": "?([^",\n]+)' % name, process.stdout)[1] for name in ("forks", "hash", "late")])
    late = env["PYTEST_CURRENT_TEST"]
    assert seen == [["7", "merge", late], ["3", "replace", late], ["7", "merge", "another"]]


def test_standard_error_may_be_part_of_standard_output(folder, env):
    process = ansible_playbook(["-i", "hosts", "none.yml"], cwd=folder, env=env, merged=True)
    assert process.returncode == 1 and process.stderr is None
    assert "could not be found" in process.stdout


def test_a_run_that_is_killed_has_the_signal_as_its_status_and_the_next_one_is_not_harmed(folder, env):
    (folder / "killed.yml").write_text(KILLED)
    assert ansible_playbook(["-i", "hosts", "killed.yml"], cwd=folder, env=env).returncode == -signal.SIGKILL
    assert ansible_playbook(["-i", "hosts", "play.yml"], cwd=folder, env=env).returncode == 2


def test_a_run_that_takes_too_long_is_ended(folder, env):
    (folder / "long.yml").write_text("- hosts: localhost\n  gather_facts: false\n  tasks: [{ansible.builtin.pause: {seconds: 60}}]\n")
    with pytest.raises(subprocess.TimeoutExpired):
        ansible_playbook(["-i", "hosts", "long.yml"], cwd=folder, env=env, timeout=5)


def test_an_environment_in_which_ansible_does_not_start_is_told(folder, env):
    with pytest.raises(RuntimeError, match="Ansible cannot be imported"):
        ansible_playbook(["play.yml"], cwd=folder, env={**env, "ANSIBLE_FORKS": "many"})


def test_few_servers_are_kept(folder, env, monkeypatch):
    monkeypatch.setattr(ansible_run, "_servers", {})
    monkeypatch.setattr(ansible_run, "MOST_SERVERS", 1)
    first, second = (ansible_run._server(str(folder), {**env, "ANSIBLE_FORKS": number}) for number in ("1", "2"))
    assert list(ansible_run._servers.values()) == [second]
    assert first.process.returncode == 0 and second.process.poll() is None
    ansible_run.close_servers()
    assert second.process.returncode == 0
