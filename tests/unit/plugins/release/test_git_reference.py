# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.plugin_utils.git_reference import GitError, Repository, commit_of, last_line, without_password

from tests.support.release import GitFolder


@pytest.fixture(name="folder", scope="module")
def fixture_folder(tmp_path_factory):
    return GitFolder(tmp_path_factory.mktemp("git") / "repo")


def test_tags_branches_and_commits_are_found(folder):
    repository = Repository(str(folder.path))
    assert repository.resolve("light") == folder.first
    assert repository.resolve("v1.0.0") == folder.first
    assert repository.resolve("integration") == folder.second
    assert repository.resolve("HEAD") == folder.second
    assert repository.resolve(folder.first) == folder.first


def test_a_tag_outranks_a_branch_of_its_name():
    references = {"refs/heads/one": "b" * 40, "refs/tags/one": "c" * 40, "refs/tags/one^{}": "d" * 40}
    assert commit_of(references, "one") == "d" * 40


def test_a_name_is_not_matched_by_its_end(folder):
    folder.git("branch", "fix/deep")
    with pytest.raises(GitError, match="no tag, branch or commit 'deep'"):
        Repository(str(folder.path)).resolve("deep")


def test_an_unknown_reference_is_told(folder):
    with pytest.raises(GitError) as failure:
        Repository(str(folder.path)).resolve("v9")
    assert str(failure.value) == "there is no tag, branch or commit 'v9' in %s" % folder.path


def test_a_short_commit_is_told(folder):
    with pytest.raises(GitError, match="must be given in full"):
        Repository(str(folder.path)).resolve(folder.first[:8])


def test_a_commit_is_looked_for_without_a_clone(folder):
    repository = Repository(str(folder.path))
    assert repository.has_commit(folder.first)
    assert not repository.has_commit("0" * 40)


def test_an_unreachable_repository_is_told_without_its_password(tmp_path):
    missing = tmp_path / "nothing"
    with pytest.raises(GitError, match="the git repository %s cannot be reached .fatal: .*nothing.*" % missing):
        Repository(str(missing)).resolve("main")
    assert without_password("https://user:secret@git.example.org/a.git") == "https://git.example.org/a.git"


def test_the_line_that_says_why_is_shown():
    assert last_line("fatal: no repository\n\nPlease make sure you have the rights\n") == "fatal: no repository"
    assert last_line("") == "git gave no reason"
