# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images of a release are the same ones in each of the ways in which a playbook can be run."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import re

import pytest

from tests.support.ansible_run import ansible_playbook

REPO = pathlib.Path(__file__).resolve().parents[4]
RECIPE = "ARG BASE\nFROM ${BASE}\nRUN echo $HOME"
PROBE = """---
- name: What the images are is shown
  hosts: localhost
  gather_facts: false
  vars_files:
    - vars/images.yml
  tasks:
    - name: The images are shown
      ansible.builtin.debug:
        msg: "PROBE{{ litefarm_container_images | to_json | b64encode }}PROBE"
"""


@pytest.fixture(name="project", scope="module")
def fixture_project(tmp_path_factory):
    """The real list of images with a stand-in recipe, as a checkout that is installed as well."""
    root = tmp_path_factory.mktemp("project")
    parts = {
        "probe.yml": PROBE,
        "entry.yml": "---\n- name: The probe runs\n  ansible.builtin.import_playbook: probe.yml\n",
        "vars/images.yml": (REPO / "playbooks/vars/images.yml").read_text(),
        "files/export_scheduler.Dockerfile": RECIPE + "\n",
    }
    for name, text in parts.items():
        path = root / "playbooks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "site.yml").write_text("---\n- name: The probe runs\n  ansible.builtin.import_playbook: playbooks/entry.yml\n")
    (root / "elsewhere").mkdir()
    installed = root / "installed/ansible_collections/litefarm"
    installed.mkdir(parents=True)
    (installed / "platform").symlink_to(root)
    return root


@pytest.mark.parametrize("playbook", ["site.yml", "playbooks/entry.yml", "playbooks/probe.yml", "litefarm.platform.entry"])
def test_the_recipe_is_found(project, playbook):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment = dict(inherited, ANSIBLE_COLLECTIONS_PATH=str(project / "installed"), ANSIBLE_NOCOLOR="1", COLUMNS="500")
    target = str(project / playbook) if playbook.endswith(".yml") else playbook
    done = ansible_playbook(["-i", "localhost,", "-c", "local", target], cwd=project / "elsewhere", env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    images = json.loads(base64.b64decode(re.search(r"PROBE(.*)PROBE", done.stdout)[1]))
    assert images["export_scheduler"]["recipe"] == RECIPE
    assert images["export_scheduler"]["base"] in images
