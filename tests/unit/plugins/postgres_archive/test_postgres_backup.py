# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module postgres_backup, run as Ansible runs it, with a program in place of the droplet's."""

from __future__ import annotations

import json
import pathlib

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.litefarm.platform.plugins.modules import postgres_backup

ANSWERS = json.loads((pathlib.Path(__file__).parent / "answers_2_55.json").read_text(encoding="utf-8"))["cases"]


@pytest.fixture(name="program")
def fixture_program(play, tmp_path):
    """A function that writes the program, which keeps its arguments."""

    def write(lines):
        path = tmp_path / "backup"
        path.write_text('#!/bin/sh\nprintf "%%s\\n" "$@" > %s/arguments\n%s\n' % (tmp_path, lines))
        path.chmod(0o755)
        return path

    return write


@pytest.fixture(name="play")
def fixture_play(capsys):
    """A function that runs the module and returns its result."""

    def run(program, **options):
        with patch_module_args({"program": str(program), **options}), pytest.raises(SystemExit):
            postgres_backup.main()
        return json.loads(capsys.readouterr().out)

    return run


def test_type_and_name_reach_the_program(program, play):
    path = program("echo 'The full backup took 3 s.'")
    result = play(path, type="full", name="before v4")
    assert result["changed"] and result["seconds"] >= 0
    assert (path.parent / "arguments").read_text().splitlines() == ["full", "--name", "before v4"]


def test_without_a_name_it_is_incremental(program, play):
    path = program("")
    play(path)
    assert (path.parent / "arguments").read_text().splitlines() == ["incr"]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("check wrong key", "The encryption key does not fit this archive"),
        ("verify missing path", "There is no archive of this cluster under this encryption key"),
    ],
)
def test_a_failure_has_its_sentence(program, play, answer, sentence):
    (program("").parent / "said").write_text(ANSWERS[answer]["stderr"] or ANSWERS[answer]["stdout"])
    path = program('echo "<3>The incr backup failed: $(tr "\\n" " " < %s/said)" >&2; exit 1' % program("").parent)
    result = play(path)
    assert result["failed"] and result["msg"].startswith("No backup was taken. " + sentence)


def test_a_check_run_takes_none(program, play):
    path = program("")
    assert play(path, _ansible_check_mode=True)["changed"]
    assert not (path.parent / "arguments").exists()


def test_a_droplet_without_an_archive(play, tmp_path):
    assert "run site.yml, which installs it" in play(tmp_path / "missing")["msg"]
