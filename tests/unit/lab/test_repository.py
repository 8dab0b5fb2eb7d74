# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess

import pytest
from lab.errors import LabError
from lab.repository import SampleRepository, copy_local


def make_sample(folder):
    for package in ("api", "webapp"):
        path = folder / "packages" / package / "release.json"
        path.parent.mkdir(parents=True)
        path.write_text('{"version": "1.0.0", "behaviour": "ok"}\n')
    (folder / "packages" / "api" / "node_modules").mkdir()
    (folder / "packages" / "api" / "node_modules" / "junk.js").write_text("x")
    (folder / "README.md").write_text("sample\n")
    return folder


@pytest.fixture
def repository(tmp_path):
    found = SampleRepository(tmp_path / "git", make_sample(tmp_path / "sample"))
    found.ensure()
    return found


def show(repository, name):
    return subprocess.run(
        ["git", f"--git-dir={repository.path}", "show", name], capture_output=True, text=True, check=True
    ).stdout


def test_the_same_files_have_the_same_commit_everywhere(repository, tmp_path):
    other = SampleRepository(tmp_path / "elsewhere", make_sample(tmp_path / "copy"))
    other.ensure()
    assert other.commit_of("v1.0.0") == repository.commit_of("v1.0.0")


def test_what_a_build_leaves_in_the_sample_is_not_released(repository):
    assert "junk" not in show(repository, "v1.0.0")


def test_it_can_be_cloned(repository, tmp_path):
    subprocess.run(["git", "clone", "-q", "--branch", "v1.0.0", str(repository.path), str(tmp_path / "clone")], check=True, capture_output=True)
    assert (tmp_path / "clone" / "README.md").read_text() == "sample\n"


def test_ensuring_again_changes_nothing(repository):
    repository.release("v1.1.0", [])
    repository.ensure()
    assert repository.releases() == ["v1.0.0", "v1.1.0"]


def test_a_changed_sample_starts_releases_anew(repository):
    before = repository.commit_of("v1.0.0")
    repository.release("v1.1.0", [])
    (repository.source / "README.md").write_text("changed\n")
    repository.ensure()
    assert repository.releases() == ["v1.0.0"]
    assert repository.commit_of("v1.0.0") != before


def test_a_release_has_its_version_and_settings(repository):
    commit = repository.release("v1.1.0", ["api.behaviour=unready", "colour=green"])
    assert repository.commit_of("v1.1.0") == commit
    api = json.loads(show(repository, "v1.1.0:packages/api/release.json"))
    webapp = json.loads(show(repository, "v1.1.0:packages/webapp/release.json"))
    assert api == {"version": "1.1.0", "behaviour": "unready", "colour": "green"}
    assert webapp == {"version": "1.1.0", "behaviour": "ok", "colour": "green"}


def test_the_same_release_again_is_the_same_commit(repository):
    assert repository.release("v1.1.0", ["a=b"]) == repository.release("v1.1.0", ["a=b"])


def test_a_release_is_never_moved(repository):
    repository.release("v1.1.0", ["a=b"])
    with pytest.raises(LabError, match="v1.1.0 exists"):
        repository.release("v1.1.0", ["a=c"])


@pytest.mark.parametrize("setting", ["behaviour", "db.behaviour=ok"])
def test_settings_that_make_no_sense(repository, setting):
    with pytest.raises(LabError, match="--set"):
        repository.release("v1.1.0", [setting])


def test_a_repository_of_this_machine_is_served_with_what_it_has_now(repository, tmp_path):
    served = copy_local(str(repository.path), tmp_path / "served")
    repository.release("v1.1.0", [])
    assert copy_local(str(repository.path), tmp_path / "served") == served
    tags = subprocess.run(["git", f"--git-dir={served}", "tag"], capture_output=True, text=True, check=True).stdout.split()
    assert tags == ["v1.0.0", "v1.1.0"]
