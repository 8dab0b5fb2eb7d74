# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests and Molecule's playbooks run the lab of this checkout, wherever they are started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import lab, playbooks

REFUSED = "lab: LITEFARM_LAB is "


@pytest.fixture
def wrong_name(monkeypatch):
    """The lab refuses it before it looks for an engine."""
    monkeypatch.setenv("LITEFARM_LAB", "Wrong")
    monkeypatch.delenv("LITEFARM_LAB_KEEP", raising=False)


def test_command_is_that_of_this_checkout_in_a_folder_with_another_lab(tmp_path, monkeypatch):
    (tmp_path / "lab").mkdir()
    for name in ("__init__", "__main__"):
        (tmp_path / "lab" / f"{name}.py").write_text("raise SystemExit('the other one')\n")
    monkeypatch.chdir(tmp_path)
    assert lab.lab("status", "--help").startswith("usage: python -m lab status")


def test_failed_command_is_an_error_with_its_reason(wrong_name):
    with pytest.raises(RuntimeError, match=f"python -m lab status ended with 1:\n{REFUSED}"):
        lab.lab("status")


@pytest.mark.parametrize("name", ["create", "destroy"])
def test_playbooks_of_molecule_run_the_lab_of_this_checkout(wrong_name, tmp_path, name):
    program, path = Path(sys.executable).with_name("ansible-playbook"), lab.PROJECT / "molecule" / "shared" / f"{name}.yml"
    done = subprocess.run([program, "--connection=local", "--inventory=localhost,", path], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and REFUSED in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("environment", "limited", "groups", "found"),
    [
        ("beta", "", [], ["liteformbeta", "export-beta"]),
        ("beta", "", ["redis"], ["export-beta"]),
        ("beta", "", ["nginx", "redis"], ["export-beta"]),
        ("beta", "", ["imaginary"], []),
        ("beta", "liteformbeta", ["redis"], []),
        ("production beta", "", ["postgres"], ["litefarmapp", "liteformbeta"]),
        ("scaled", "", ["api"], ["litefarmapp", "litefarmapi"]),
    ],
)
def test_droplets_of_groups_are_those_of_their_inventory(monkeypatch, environment, limited, groups, found):
    monkeypatch.setattr(lab, "INVENTORIES", playbooks.INVENTORIES)
    monkeypatch.setenv("LITEFARM_ENVIRONMENTS", environment)
    monkeypatch.setenv("LITEFARM_LIMIT", limited)
    assert lab.droplets(*groups) == found


def test_group_that_no_inventory_has_is_named(monkeypatch):
    monkeypatch.setattr(lab, "INVENTORIES", playbooks.INVENTORIES)
    monkeypatch.setenv("LITEFARM_ENVIRONMENTS", "beta")
    monkeypatch.setenv("LITEFARM_LIMIT", "")
    with pytest.raises(ValueError, match="The inventory of beta has no group postgre: there are api, .*postgres"):
        lab.droplets("postgre")
