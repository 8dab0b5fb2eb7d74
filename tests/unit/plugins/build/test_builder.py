# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module says on a builder that lacks something. It runs in a process of its own, as on the builder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[4]
PROGRAM = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.litefarm.platform.plugins.modules import image_build
with patch_module_args(json.loads(sys.argv[1])):
    image_build.main()
"""


def build(tmp_path, **environment):
    arguments = {"repo": "/nowhere", "commit": "0" * 40, "dockerfile": "Dockerfile", "name": "registry.example.org/api", "tag": "one"}
    given = json.dumps({**arguments, "cache": str(tmp_path / "cache")})
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, given],
        env={**os.environ, "PYTHONPATH": str(REPO / "collections"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in answer.stderr
    return json.loads(answer.stdout)


@pytest.mark.parametrize("host", ["unix://{path}/docker.sock", "tcp://127.0.0.1:1", "nonsense"])
def test_an_engine_that_does_not_answer_is_one_sentence(tmp_path, host):
    answer = build(tmp_path, DOCKER_HOST=host.format(path=tmp_path))
    assert answer["failed"] is True
    assert answer["msg"].startswith("No Docker engine answers on the builder (")
    assert answer["msg"].endswith("): start one there, or set DOCKER_HOST to its socket if it has another one than /var/run/docker.sock.")


def test_a_missing_git_is_one_sentence(tmp_path):
    assert build(tmp_path, PATH=str(tmp_path))["msg"] == "The program git is missing on the builder: install it there."
