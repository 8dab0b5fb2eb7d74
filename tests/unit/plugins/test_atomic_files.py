# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A path has its old content or its new one at every moment, and the owner and mode that belong to it."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import stat
import sys

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _atomic_files as atomic_files


@pytest.fixture(name="calls")
def fixture_calls(monkeypatch):
    """What is asked of the kernel, in order: the call, and the name of the file or folder."""
    made = []

    def noted(name, subject):
        real = getattr(os, name)

        def call(*arguments):
            made.append((name, os.path.basename(subject(*arguments))))
            return real(*arguments)

        monkeypatch.setattr(os, name, call)

    for name in ("fchown", "fchmod", "utime", "fsync"):
        noted(name, lambda handle, *_rest: os.readlink("/proc/self/fd/%d" % handle))
    noted("rename", lambda _source, target: target)
    return made


def test_owner_mode_and_content_are_on_the_disk_before_the_file_is_visible(tmp_path, calls):
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    atomic_files.write_atomically(str(path), "content\n", 0o640, (os.getuid(), os.getgid()), 1234.5)
    draft = ".file.litefarm-new"
    assert calls == [("fchown", draft), ("fchmod", draft), ("utime", draft), ("fsync", draft), ("rename", "file"), ("fsync", "folder")]
    seen = path.stat()
    assert (path.read_text(), stat.S_IMODE(seen.st_mode), seen.st_mtime) == ("content\n", 0o640, 1234.5)
    assert os.listdir(path.parent) == ["file"]


def test_without_an_owner_it_is_this_process_and_no_other_file_is_followed(tmp_path, calls):
    target, path = tmp_path / "target", tmp_path / "file"
    target.write_text("other")
    path.symlink_to(target)
    (tmp_path / ".file.litefarm-new").symlink_to(target)
    atomic_files.write_atomically(str(path), b"\xff", 0o600)
    assert not path.is_symlink() and path.read_bytes() == b"\xff" and target.read_text() == "other"
    assert [name for name, _subject in calls] == ["fchmod", "fsync", "rename", "fsync"]


@pytest.mark.parametrize("failing", ["fchmod", "fsync", "rename"])
def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch, failing):
    path = tmp_path / "file"
    path.write_text("old")

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(OSError, match="No space left"):
        atomic_files.write_atomically(str(path), "new", 0o600)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_a_draft_can_have_a_name_of_its_own(tmp_path, calls):
    atomic_files.write_atomically(str(tmp_path / "file"), "", 0o600, temporary=str(tmp_path / ".draft"))
    assert calls[0] == ("fchmod", ".draft") and os.listdir(tmp_path) == ["file"]


def test_a_link_replaces_a_file(tmp_path, calls):
    path = tmp_path / "link"
    path.write_text("file")
    atomic_files.link_atomically(str(path), "nowhere")
    assert os.readlink(path) == "nowhere" and os.listdir(tmp_path) == ["link"]
    assert calls == [("rename", "link"), ("fsync", tmp_path.name)]


REPO = pathlib.Path(__file__).resolve().parents[3]
# Programs of roles, which are copied to droplets alone and so cannot use the module: file, and how it writes a state file.
WRITERS = {
    "file_backups/files/litefarm_files.py": lambda module, path: module.write_json(path, {"a": 1}),
    "postgres/files/backup.py": lambda module, path: module.record("full", {"a": 1}, path.parent),
    "postgres/files/guard.py": lambda module, path: module.write_text(str(path), "a", durable=True),
}


@pytest.mark.parametrize("program", WRITERS)
def test_state_files_of_the_roles_programs_are_on_the_disk_before_they_are_visible(tmp_path, calls, monkeypatch, program):
    spec = importlib.util.spec_from_file_location("program_of_a_role", REPO / "roles" / program)
    module = importlib.util.module_from_spec(spec)
    # dataclass looks for it there.
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append(("replace", os.path.basename(paths[1]))), replace(*paths)))
    WRITERS[program](module, tmp_path / "backup-full.json")
    made = [name for name, _subject in calls if name in ("fsync", "replace")]
    assert made[:2] == ["fsync", "replace"] and os.listdir(tmp_path) == ["backup-full.json"]
    # A page that is lost altogether is put up again by the guard.
    assert made[2:] == ([] if "guard" in program else ["fsync"])
