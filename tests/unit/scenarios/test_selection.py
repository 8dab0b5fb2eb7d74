# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests a Molecule scenario runs: the folders that its molecule.yml names, and of these what the markers choose."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.playbooks import INVENTORIES

REPO = Path(__file__).resolve().parents[3]
TESTS = REPO / "tests" / "scenarios"
SCENARIOS = sorted(path.parent.name for path in REPO.glob("molecule/*/molecule.yml"))
# Run by tools/test.py itself, after all scenarios of a lane.
KILL_MATRIX = "kill_matrix"
# pytest, for which the lab's inventories are those of the unit tests.
PYTEST = f"""
import pathlib, sys
sys.path.insert(0, {str(REPO)!r})
from tests.support import lab
lab.INVENTORIES = pathlib.Path({str(INVENTORIES)!r})
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


def configuration(name):
    """The scenario's verifier, the folders of each `verify`, and its environment, as Molecule merges its file into the common one."""
    common, own = (yaml.safe_load(path.read_text()) for path in (REPO / ".config/molecule/config.yml", REPO / "molecule" / name / "molecule.yml"))
    verifier = {**common["verifier"], **own.get("verifier", {})}
    sequence = own.get("scenario", common["scenario"])["test_sequence"]
    return verifier, [step.split()[1:] for step in sequence if step.split()[0] == "verify"], own["ansible"]["env"]


def folder(name, path):
    return (REPO / "molecule" / name / path).resolve()


def collected(name, *folders, nightly=""):
    """File names of the tests that pytest collects in these folders for a scenario, in their order, and what it says at the end."""
    files = sorted(str(path) for each in folders for path in (TESTS / each).glob("test_*.py"))
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("LITEFARM_")}
    environment = {**inherited, **configuration(name)[2], "LITEFARM_NIGHTLY": nightly}
    command = [sys.executable, "-c", PYTEST, "--quiet", "--collect-only", *files]
    listed = subprocess.run(command, cwd=REPO / "molecule" / name, env=environment, capture_output=True, text=True, check=True).stdout
    tests = re.findall(r"(test_\w+)\.py::(\S+)", listed)
    return list(dict.fromkeys(file for file, _test in tests)), tests


def test_every_folder_of_tests_is_run_by_some_scenario():
    """Molecule runs only the folders that a scenario names, so tests in another one would be forgotten, also in molecule/."""
    run = {folder(name, path) for name in SCENARIOS for paths in configuration(name)[1] for path in paths}
    there = {path.parent for root in (TESTS, REPO / "molecule") for path in root.rglob("test_*.py")}
    assert run | {TESTS / KILL_MATRIX} == there


@pytest.mark.parametrize("name", SCENARIOS)
def test_molecule_verify_alone_runs_tests_of_the_scenario(name):
    verifier, steps, _environment = configuration(name)
    # An entry without a folder would run the verifier's.
    assert all(steps)
    assert folder(name, verifier["directory"]) in {folder(name, path) for paths in steps for path in paths}


@pytest.mark.parametrize(
    ("scenario", "droplet", "files"),
    [
        ("litefarm_imaginary", "litefarm-imaginary", ["test_files", "test_pictures", "test_redis", "test_scheduler"]),
        ("liteformbeta", "liteformbeta", ["test_database", "test_sites"]),
    ],
)
def test_a_droplet_gets_the_tests_of_its_groups(scenario, droplet, files):
    found, tests = collected(scenario, "services")
    assert found == files
    of_droplets = [test for _file, test in tests if test.startswith(("test_a_backup_can_be_taken", "test_without_a_password"))]
    assert [test.partition("[")[2] for test in of_droplets] == [f"{droplet}]"]


BY_DAY = ["test_deploy", "test_drain", "test_lost_run", "test_failed_restore", "test_restore"]
BY_NIGHT = [*BY_DAY[:4], "test_read_only_bucket", "test_restore", "test_lost_droplet"]


@pytest.mark.parametrize(("nightly", "there"), [("", []), ("1", ["litefarm-imaginary"])])
def test_some_tests_are_left_to_the_night_on_one_droplet_and_not_on_another(nightly, there):
    name = "test_what_is_not_live_is_shown_and_repaired"
    for scenario, droplets in (("litefarm_imaginary", there), ("export_beta", ["export-beta"])):
        _files, tests = collected(scenario, "droplet", nightly=nightly)
        assert [test for _file, test in tests if test.startswith(name)] == [f"{name}[{droplet}]" for droplet in droplets]


@pytest.mark.parametrize(("nightly", "files"), [("", BY_DAY), ("1", BY_NIGHT)])
def test_long_tests_are_left_to_the_night_and_those_that_replace_droplets_are_last(nightly, files):
    found, _tests = collected("default", "release", "restore", nightly=nightly)
    assert found == files
