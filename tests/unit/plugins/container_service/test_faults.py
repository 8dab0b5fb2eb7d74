# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fault points: a process dies or waits at the step that its environment names, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._container_service import faults

PROGRAM = "import runpy, sys; reached = runpy.run_path(sys.argv[1])['of']('api'); reached('write'); print('went on')"


def start(**environment):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LITEFARM_FAULT_")}
    command = [sys.executable, "-c", PROGRAM, faults.__file__]
    return subprocess.Popen(command, env={**inherited, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("point", ["write", "api:write"])
def test_killed_at_its_step(point):
    process = start(LITEFARM_FAULT_POINT=point)
    assert process.communicate(timeout=20)[0] == ""
    assert process.returncode == -9


@pytest.mark.parametrize("point", ["", "reload", "webapp:write", "api:reload", ":write", "api:"])
def test_other_points_do_nothing(point):
    process = start(LITEFARM_FAULT_POINT=point)
    assert process.communicate(timeout=20)[0] == "went on\n"
    assert process.returncode == 0


def test_waits_until_the_file_is_gone(tmp_path):
    file = tmp_path / "flag"
    process = start(LITEFARM_FAULT_POINT="api:write", LITEFARM_FAULT_ACTION="wait", LITEFARM_FAULT_FILE=str(file))
    deadline = time.monotonic() + 20
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert file.read_text() == "write"
    time.sleep(0.3)
    assert process.poll() is None
    file.unlink()
    assert process.communicate(timeout=20)[0] == "went on\n"
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_action_is_an_error():
    process = start(LITEFARM_FAULT_POINT="write", LITEFARM_FAULT_ACTION="hang")
    assert "LITEFARM_FAULT_ACTION is 'hang'" in process.communicate(timeout=20)[1]
