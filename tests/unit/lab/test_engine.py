# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from lab import engine


@pytest.mark.parametrize(
    "name, state, runs",
    [
        ("dockerd", "S (sleeping)", True),
        ("containerd", "R (running)", True),
        # Killed, and never reaped.
        ("containerd", "Z (zombie)", False),
        # The number went to another process.
        ("sshd", "S (sleeping)", False),
    ],
)
def test_whether_a_pid_file_stands_for_an_engine(tmp_path, name, state, runs):
    (tmp_path / "77").mkdir()
    (tmp_path / "77" / "status").write_text(f"Name:\t{name}\nUmask:\t0022\nState:\t{state}\n")
    (tmp_path / "docker.pid").write_text("77\n")
    assert engine._runs_engine(tmp_path / "docker.pid", tmp_path) is runs


def test_pid_files_of_the_dead_and_missing_ones(tmp_path):
    (tmp_path / "docker.pid").write_text("78")
    assert engine._runs_engine(tmp_path / "docker.pid", tmp_path) is False
    assert engine._runs_engine(tmp_path / "missing.pid", tmp_path) is False
