# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of a play gives its run's number to every module that changes a droplet, in the play and in its roles."""

from __future__ import annotations

import pytest
import yaml

from tests.support.playbooks import REPO, LocalPlay

GROUP = yaml.safe_load((REPO / "meta" / "runtime.yml").read_text())["action_groups"]["changing"]
# Has no module of its own: it hands the number on to container_release, which tests/unit/plugins/rollout/ sees.
ON_THE_CONTROL_NODE = ["rollout_step"]

PLAY = """    number: 1795550400
  module_defaults:
    group/litefarm.platform.changing: {run_number: "{{ number }}"}
  roles: [sample]
"""

TASKS = """
- name: config_files
  litefarm.platform.config_files: {name: sample}
- name: container_release
  litefarm.platform.container_release: {operation: commit, services: {}}
- name: container_service
  litefarm.platform.container_service: {name: no_such_service, state: absent}
- name: image_pull
  litefarm.platform.image_pull: {images: []}
- name: packages
  litefarm.platform.packages: {name: []}
- name: postgres_restore
  litefarm.platform.postgres_restore: {state: finished}
"""


@pytest.fixture(name="given", scope="module")
def fixture_given(tmp_path_factory):
    """The arguments with which each module was run, by name."""
    folder = tmp_path_factory.mktemp("play")
    tasks = folder / "roles" / "sample" / "tasks" / "main.yml"
    tasks.parent.mkdir(parents=True)
    tasks.write_text(TASKS)
    done, results = LocalPlay(folder, PLAY).results("--check", "-vvv")
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: result["invocation"]["module_args"] for name, result in results.items()}


@pytest.mark.parametrize("name", [name for name in GROUP if name not in ON_THE_CONTROL_NODE])
def test_the_group_reaches(name, given):
    assert given[name]["run_number"] == 1795550400


@pytest.mark.parametrize("path", sorted((REPO / "plugins" / "modules").glob("*.py")), ids=lambda path: path.stem)
def test_the_group_holds_the_modules_that_have_the_option(path):
    assert ("run_number.OPTION" in path.read_text()) == (path.stem in GROUP and path.stem not in ON_THE_CONTROL_NODE)
