# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies inside a real container is brought to what is declared, by the run that declares the container."""

from __future__ import annotations

import pytest

# What is wanted comes on standard input; what is there is a file in memory, so it ends with its container.
RECONCILE = """
import os, sys
action, wanted = sys.stdin.read().split(" ")
there = open("/roles/one").read() if os.path.exists("/roles/one") else ""
if action == "refuse": sys.exit("version " + os.environ["VERSION"] + " refuses")
if wanted != there: print("changed: the role is", action + "d", flush=True)
if action == "declare": open("/roles/one", "w").write(wanted)
"""


@pytest.fixture
def reconcile(service):
    """The option for a service, with a command that is told what to do."""
    service.recreate(tmpfs={"/roles": "size=1m,mode=1777"})
    program = service.engine.images.get(service.images["1"]).attrs["Config"]["Entrypoint"][0]
    return lambda words: [{"name": "the role", "command": [program, "-c", RECONCILE], "stdin": words}]


def test_every_run_reconciles_and_says_what_differed(service, reconcile):
    first = service.good(reconcile=reconcile("declare owner-of-farms"), diff=True)
    assert first["changed"] and first["msg"] == "changed: the role is declared"
    assert first["diff"]["before"] == "" and first["diff"]["prepared"] == "changed: the role is declared\n"
    again = service.good(reconcile=reconcile("declare owner-of-farms"), diff=True)
    assert not again["changed"] and "diff" not in again and again["reconciled"] == [{"name": "the role", "changes": []}]
    other = service.good(reconcile=reconcile("declare reader-of-farms"), diff=True)
    assert other["changed"] and other["diff"] == {"prepared": "changed: the role is declared\n"}
    assert other["release"]["spec"] == first["release"]["spec"] and service.containers() == {"": "running"}
    for result in (first, again, other):
        assert "of-farms" not in result["output"]


def test_a_command_that_fails_leaves_the_new_release_and_the_next_run_tries_again(service, reconcile):
    service.good()
    result = service.bad(image=service.images["2"], reconcile=reconcile("refuse it"))
    assert "runs, but 'the role' is not reconciled: the command ended with exit code 1." in result["msg"].splitlines()[0]
    assert result["log"] == ["version 2 refuses"] and result["changed"]
    assert service.get() == (200, "version 2")
    assert service.bad(image=service.images["2"], reconcile=reconcile("refuse it"))["changed"] is False
    assert service.good(image=service.images["2"], reconcile=reconcile("declare it"))["changed"]


def test_a_run_killed_before_or_after_it_is_made_good_by_the_next(service, reconcile):
    service.good()
    new = {"image": service.images["2"], "reconcile": reconcile("declare it")}
    service.killed(fault="name", **new)
    assert service.good(**new)["msg"] == "changed: the role is declared"
    service.killed(fault="reconcile", **new)
    assert not service.good(**new)["changed"]


def test_check_mode_describes_what_the_command_would_do(service, reconcile):
    fresh = service.good(check=True, diff=True, reconcile=reconcile("describe it"))
    assert fresh["msg"] == "changed: the role would be reconciled" and fresh["diff"]["prepared"] == fresh["msg"] + "\n"
    service.good()
    for change in ({}, {"image": service.images["2"]}):
        planned = service.good(check=True, reconcile=reconcile("describe it"), **change)
        assert planned["changed"] and planned["msg"] == "changed: the role is described"
    assert service.get() == (200, "version 1")
    service.good(reconcile=reconcile("declare it"))
    assert not service.good(check=True, reconcile=reconcile("describe it"))["changed"]
