# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The upgrade scenario: where the earlier collection comes from, which inventory it has, and what may differ after it."""

from __future__ import annotations

import re

import pytest

from tests.support import earlier, lab
from tests.support.release import GitFolder


def test_files_of_a_commit_are_unpacked_with_their_links(tmp_path):
    repository = GitFolder(tmp_path / "repository")
    (repository.path / "link").symlink_to("file")
    repository.git("add", "link")
    commit, folder = repository.commit("earlier"), tmp_path / "checkout"
    repository.commit("later")
    earlier.unpack(commit, folder, repository.path)
    earlier.unpack(commit, folder, repository.path)
    assert (folder / "link").is_symlink() and (folder / "link").read_text() == "earlier"


def test_commit_that_a_shallow_clone_lacks_is_explained(tmp_path):
    origin = GitFolder(tmp_path / "origin")
    origin.git("clone", "--quiet", "--depth=1", f"file://{origin.path}", str(tmp_path / "clone"))
    with pytest.raises(RuntimeError, match=rf"{origin.first}, named in molecule/upgrade/from.yml, .*run git fetch --unshallow"):
        earlier.unpack(origin.first, tmp_path / "checkout", tmp_path / "clone")
    assert not (tmp_path / "checkout").exists()


def test_inventory_has_the_earlier_files_and_those_that_the_lab_wrote(tmp_path):
    own, present, written, folder = (tmp_path / name for name in ("own", "present", "written", "folder"))
    for path in (own / "hosts.yml", present / "hosts.yml", present / "new.yml", written / "group_vars" / "vault.yml"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.relative_to(tmp_path).parts[0])
    for path in present.iterdir():
        (written / path.name).symlink_to(path)
    earlier.link_inventory(own, written, folder)
    earlier.link_inventory(own, written, folder)
    assert {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.yml")} == {"hosts.yml": "own", "group_vars/vault.yml": "written"}


def test_changes_of_a_run_are_the_names_of_its_tasks():
    output = "TASK [a : One] ****\nok: [x]\nchanged: [y]\n\nTASK [Two] ****\nok: [x]\n\nRUNNING HANDLER [Three] ****\nchanged: [x] => (item=1)\n"
    assert lab.Run(output, 0, 1.0).changes == {"a : One", "Three"}


def test_whatever_an_upgrade_does_is_announced():
    changelog = " ".join((lab.PROJECT / "CHANGELOG.md").read_text().split())
    # A word may be anywhere; a sentence has been written for this.
    quotes = [quote for kind in ("before", "recreated", "changed", "inventory") for quote in earlier.UPGRADE[kind].values()]
    assert [quote for quote in quotes if " ".join(quote.split()) not in changelog or len(quote) < 20] == []
    assert re.fullmatch(r"[0-9a-f]{40}", earlier.UPGRADE["commit"])
