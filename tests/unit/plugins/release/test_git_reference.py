# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.plugin_utils._git_reference import GitError, Repository, commit_of, completed, last_line, without_password

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


def test_a_commit_is_found_by_its_first_digits(tmp_path):
    """Status and history show seven. No tag and no tip of a branch is this commit."""
    folder = GitFolder(tmp_path / "repo")
    commit = folder.commit("third")
    folder.commit("fourth")
    repository = Repository(str(folder.path))
    for digits in (7, 12, 39):
        assert repository.resolve(commit[:digits]) == commit
        assert repository.resolve(commit[:digits].upper()) == commit


def test_digits_that_begin_no_commit_are_told(folder):
    with pytest.raises(GitError, match="no tag, branch or commit '0000000'"):
        Repository(str(folder.path)).resolve("0000000")


def test_digits_that_begin_several_commits_are_told():
    with pytest.raises(GitError) as failure:
        completed(["abcdef1" + "2" * 33, "abcdef1" + "3" * 33, "b" * 40], "abcdef1", "repo")
    assert str(failure.value) == "'abcdef1' begins 2 commits of repo (abcdef1%s, abcdef1%s): more digits are needed" % ("2" * 33, "3" * 33)
    assert completed(["b" * 40], "abcdef1", "repo") is None


def test_a_tag_of_seven_digits_outranks_a_commit(folder):
    name = folder.second[:7]
    folder.git("tag", name, folder.first)
    try:
        assert Repository(str(folder.path)).resolve(name) == folder.first
    finally:
        folder.git("tag", "--delete", name)


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
