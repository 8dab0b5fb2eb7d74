# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real rollout playbook over three droplets of which one fails or is lost, after each step of docs/release-protocol.md, "Several droplets"."""

from __future__ import annotations

import pytest

from tests.support import environment_table

from .simulated import Simulation

ROWS = environment_table.rows()
MESSAGE = {"unreachable": "other could not go back", "revert": "first could not go back"}


@pytest.fixture(name="environment")
def fixture_environment(tmp_path):
    environment = Simulation(tmp_path)
    first = environment.run("old")
    assert first.returncode == 0, first.stdout
    assert environment.history()[-1]["result"] == "ok"
    return environment


def everywhere(release):
    return {"first api": release, "first webapp": release, "other api": release, "jobs export_scheduler": release}


def serves_but(environment, droplet):
    return {place: release for place, release in environment.serves().items() if not place.startswith(droplet + " ")}


def finish(environment):
    """The droplet is well again, and the release is tried once more."""
    environment.heal()
    again = environment.run("new")
    assert again.returncode == 0, again.stdout
    assert environment.serves() == everywhere("new") and environment.leftovers() == []
    assert not environment.locked() and environment.history()[-1]["result"] == "ok"


@pytest.mark.parametrize("row", ROWS, ids=environment_table.ids(ROWS))
@pytest.mark.parametrize("column", ["unreachable", "revert"])
def test_a_run_that_goes_on_after(row, column, environment):
    task = environment_table.task_after(row, "first", "other")
    harm = {"unreachable": "down/other", "revert": "fails/other fails-to-revert/first"}[column]
    run = environment.run("new", after=task, harm=harm)
    expected = row[{"unreachable": "droplet unreachable", "revert": "revert fails"}[column]]
    assert (run.returncode == 0) == (expected == "ok"), run.stdout
    assert not environment.locked(), run.stdout
    record = environment.history()[-1]
    if expected == "ok":
        assert environment.serves() == everywhere("new") and record["result"] == "ok"
        return
    assert "is not released" in run.stdout
    assert record["to"]["version"] == "old" or record["result"] == "failed"
    assert (MESSAGE[column] in run.stdout) == (expected == "fails, named"), run.stdout
    if expected == "fails, named":
        assert (record["result"], MESSAGE[column] in record["message"]) == ("failed", True)
        assert set(serves_but(environment, MESSAGE[column].split()[0]).values()) == {"old"}
    else:
        assert environment.serves() == everywhere("old") and environment.leftovers() == []
    assert bool(environment.migrated()) == (record["migrations"] != [] and record["result"] == "failed"), record
    finish(environment)
