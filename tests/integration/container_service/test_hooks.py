# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands around the stop of a real container."""

from __future__ import annotations

import pytest

# Says in a folder of the host which version it runs in. What is paused there is resumed by the next version.
PROGRAM = """
import os, sys
verb, path = sys.argv[1], "/state/paused"
if verb == "pause": open(path, "w").write(os.environ["VERSION"])
if verb == "resume": print(open(path).read()); os.unlink(path)
if verb == "warn": print("warning: 2 jobs are cut off")
"""


@pytest.fixture
def hooks(service):
    """hooks("pause", "resume"): the options for a service."""
    service.recreate(mounts=[{"source": str(service.folder / "jobs"), "target": "/state", "owner": "1000:1000"}])
    program = service.engine.images.get(service.images["1"]).attrs["Config"]["Entrypoint"][0]

    def options(before, after="nothing"):
        made = {key: {"command": [program, "-", verb], "stdin": PROGRAM, "timeout": 20} for key, verb in (("before_stop", before), ("after_start", after))}
        return {**made, "image": service.images["2"]}

    return options


def test_the_old_one_pauses_and_the_new_one_resumes(service, hooks):
    # Created without: the program comes with the release that replaces it.
    service.good()
    service.good(**hooks("pause", "resume"))
    assert service.get() == (200, "version 2")
    assert not (service.folder / "jobs" / "paused").exists()
    assert not service.good(**hooks("pause", "resume"))["changed"]


def test_a_run_that_is_killed_between_the_two_is_ended_by_the_next(service, hooks):
    service.good()
    service.killed(fault="before_stop", **hooks("pause", "resume"))
    due = service.folder / "state" / "container_service" / f"{service.name}.after_start_due"
    assert (service.folder / "jobs" / "paused").read_text() == "1" and due.exists()
    back = {**hooks("pause", "resume"), "image": service.images["1"]}
    assert service.good(check=True, **back)["changed"] and service.good(**back)["changed"]
    assert not (service.folder / "jobs" / "paused").exists() and not due.exists()
    assert service.get() == (200, "version 1")


def test_what_the_command_warns_of_is_shown(service, hooks):
    service.good()
    assert f"{service.name}: 2 jobs are cut off" in service.good(**hooks("warn"))["output"]
