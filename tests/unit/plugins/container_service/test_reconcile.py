# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that bring what a running container holds to what is declared."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import EngineMissing
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.plan import would_change, would_reconcile

from . import fakes

BOTH = pytest.mark.parametrize("update", ["rolling", "recreate"])
CREATED = (0, "changed: role app is created\nnot a change\n", "changed: only a notice\n")


def planned(droplet, update, image, state="present", engine_missing=False):
    """What check mode finds out."""
    made = fakes.release(droplet, update, image, state=state)
    if engine_missing:

        def missing(name, label="service"):
            raise EngineMissing("The container engine does not answer")

        made.engine.containers = missing
    made.changed, seen = would_change(made)
    would_reconcile(made, engine_there=seen is not None)
    return made


@BOTH
def test_commands_run_in_the_declared_release_whether_or_not_it_was_changed(update):
    droplet = fakes.Droplet(update == "rolling")
    for image in ("a:1", "a:1", "b:1"):
        fakes.run(droplet, update, image)
    assert droplet.asked == [(image, ["roles"], "SELECT") for image in ("a:1", "a:1", "b:1")]


@BOTH
def test_changes_are_lines_of_standard_output(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "a:1")
    droplet.says = CREATED
    made = fakes.run(droplet, update, "a:1")
    assert made.reconciled == [{"name": "roles", "changes": ["changed: role app is created"]}]
    assert made.changes() == ["changed: role app is created"]
    assert not made.changed and made.result()["phase"] == "current"


@BOTH
def test_a_failure_takes_nothing_back_and_what_was_changed_before_it_is_known(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "a:1")
    droplet.says = (3, "changed: role app is created\n", "ERROR: no such database\n")
    made = fakes.release(droplet, update, "b:1")
    with pytest.raises(ServiceError) as failure:
        made.present()
    assert failure.value.message == "The release b:1 of web runs, but 'roles' is not reconciled: the command ended with exit code 3."
    assert failure.value.details["log"] == ["changed: role app is created", "ERROR: no such database"]
    assert made.changes() == ["changed: role app is created"]
    assert droplet.serving() == "b:1" and droplet.named("web.next") is None
    droplet.says = (0, "", "")
    assert not fakes.run(droplet, update, "b:1").changed


def test_the_commands_after_one_that_failed_do_not_run():
    droplet = fakes.Droplet(False)
    droplet.says = (1, "", "")
    commands = [{"name": name, "command": [name], "stdin": None} for name in ("first", "second")]
    with pytest.raises(ServiceError, match="'first' is not reconciled"):
        fakes.run(droplet, "recreate", "a:1", reconcile=commands)
    assert [command for image, command, stdin in droplet.asked] == [["first"]]


def test_a_container_that_stops_meanwhile_is_not_said_to_run():
    droplet = fakes.Droplet(False)
    made = fakes.release(droplet, "recreate", "a:1")

    def dies(container_id, *unused):
        droplet.containers[container_id].state = "exited"
        raise ServiceError("The command 'roles' was cut off before it ended.")

    made.engine.execute = dies
    with pytest.raises(ServiceError, match="The release a:1 of web stopped, and 'roles' is not reconciled: .* was cut off"):
        made.present()


@BOTH
def test_a_release_that_is_refused_is_not_reconciled(update):
    droplet = fakes.Droplet(update == "rolling")
    droplet.unwell.add("bad:1")
    with pytest.raises(ServiceError):
        fakes.run(droplet, update, "bad:1")
    assert droplet.asked == []


@BOTH
def test_of_the_phases_only_commit_reconciles(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "a:1")
    droplet.asked.clear()
    for operation in ("stage", "switch"):
        fakes.run(droplet, update, "b:1", operation=operation)
        assert droplet.asked == []
    fakes.run(droplet, update, "b:1", operation="commit")
    fakes.run(droplet, update, "b:1", operation="commit")
    assert [image for image, command, stdin in droplet.asked] == ["b:1", "b:1"]
    fakes.run(droplet, update, "b:1", operation="revert")
    assert len(droplet.asked) == 2 and droplet.serving() == "a:1"


@BOTH
def test_check_mode_asks_the_release_that_runs(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "a:1")
    droplet.asked.clear()
    droplet.says = CREATED
    unchanged = planned(droplet, update, "a:1")
    assert not unchanged.changed and unchanged.changes() == ["changed: role app is created"]
    replaced = planned(droplet, update, "b:1")
    assert replaced.changed and replaced.changes() == ["changed: role app is created"]
    assert [image for image, command, stdin in droplet.asked] == ["a:1", "a:1"]


@pytest.mark.parametrize("engine_missing", [True, False])
def test_check_mode_says_what_nobody_can_be_asked_yet(engine_missing):
    droplet = fakes.Droplet(False)
    made = planned(droplet, "recreate", "a:1", engine_missing=engine_missing)
    assert made.changed and made.changes() == ["changed: roles would be reconciled"]
    assert droplet.asked == [] and droplet.containers == {}


def test_check_mode_asks_no_container_that_does_not_run():
    droplet = fakes.Droplet(False)
    fakes.run(droplet, "recreate", "a:1")
    fakes.Engine(droplet).stop(droplet.named("web").id, 1)
    droplet.asked.clear()
    made = planned(droplet, "recreate", "a:1")
    assert made.changed and made.changes() == ["changed: roles would be reconciled"] and droplet.asked == []


def test_in_check_mode_a_failure_counts_only_in_a_release_that_would_stay():
    droplet = fakes.Droplet(False)
    fakes.run(droplet, "recreate", "a:1")
    droplet.says = (3, "", "ERROR: no such file")
    assert planned(droplet, "recreate", "b:1").changes() == ["changed: roles would be reconciled"]
    with pytest.raises(ServiceError, match="'roles' is not reconciled"):
        planned(droplet, "recreate", "a:1")


@pytest.mark.parametrize("state", ["stage", "switch", "revert", "absent"])
def test_check_mode_of_what_does_not_reconcile(state):
    droplet = fakes.Droplet(False)
    fakes.run(droplet, "recreate", "a:1")
    droplet.asked.clear()
    assert planned(droplet, "recreate", "a:1", state=state).reconciled == [] and droplet.asked == []
