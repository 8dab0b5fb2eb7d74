# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands around a planned stop: nothing is stopped at work, and no pause outlives the release that began it."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._container_service import model, staged
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.plan import would_change

from . import fakes
from .protocol import tables

HOOKS = {
    "before_stop": {"command": ["pause"], "stdin": "a program", "timeout": 80},
    "after_start": {"command": ["resume"], "stdin": "a program", "timeout": 20},
}
TABLES = tables()
STEPS = [row["step"] for row in TABLES["recreate"]]
UNDO_STEPS = [row["step"] for row in TABLES["recreate undo"]]


class Queues:
    """What the commands pause and resume. It outlives every container."""

    def __init__(self, droplet):
        self.droplet = droplet
        self.paused = False
        self.said = []
        self.answers = {}
        droplet.obey = self.obey
        droplet.stopped = Stops(self)

    def obey(self, container, command):
        if command == ["roles"]:
            return None
        self.said.append((container.body["Image"], command[0]))
        answer = self.answers.get(command[0])
        if answer is None or answer[0] == 0:
            self.paused = command == ["pause"]
        return answer or (0, "ok\n", "")

    @property
    def resumed_by_the_droplet(self):
        """Whether a unit that sees that `after_start` is due could end the pause."""
        return self.droplet.due


class Stops(list):
    """Who was stopped, each with whether the queues were paused then."""

    def __init__(self, queues):
        super().__init__()
        self.queues = queues

    def append(self, stop):
        super().append((stop[0], self.queues.paused))


def droplet_with(*images):
    droplet = fakes.Droplet(False)
    for image in images:
        fakes.run(droplet, "recreate", image, **HOOKS)
    return droplet, Queues(droplet)


def run(droplet, image, **more):
    return fakes.run(droplet, "recreate", image, **{**HOOKS, **more})


def kill_after(droplet, step, image="new:1", **more):
    with pytest.raises(fakes.Killed):
        run(droplet, image, fault=step, **more)


def at_rest(droplet, queues, image):
    assert (droplet.serving(), queues.paused, droplet.due) == (image, False, False)
    assert all(paused for _image, paused in droplet.stopped), droplet.stopped
    assert not run(droplet, image).changed


def test_the_old_one_is_paused_before_it_stops_and_the_new_one_resumes():
    droplet, queues = droplet_with("old:1")
    made = run(droplet, "new:1")
    assert queues.said == [("old:1", "pause"), ("new:1", "resume")]
    assert made.warnings == made.notes == []
    at_rest(droplet, queues, "new:1")
    assert len(queues.said) == 2


def test_the_commands_get_their_input():
    droplet, _queues = droplet_with("old:1")
    droplet.asked.clear()
    run(droplet, "new:1")
    assert droplet.asked[:2] == [("old:1", ["pause"], "a program"), ("new:1", ["resume"], "a program")]


def test_a_first_release_has_nothing_to_pause():
    droplet, queues = droplet_with()
    run(droplet, "new:1")
    assert queues.said == []


def test_a_container_that_does_not_run_has_nothing_to_pause():
    droplet, queues = droplet_with("old:1")
    droplet.named("web").state = "exited"
    run(droplet, "new:1")
    assert queues.said == []
    assert droplet.serving() == "new:1"


def test_a_release_that_was_deployed_without_the_commands_is_paused_all_the_same():
    droplet = fakes.Droplet(False)
    fakes.run(droplet, "recreate", "old:1")
    queues = Queues(droplet)
    run(droplet, "new:1")
    assert queues.said == [("old:1", "pause"), ("new:1", "resume")]


@pytest.mark.parametrize("step", STEPS)
class TestKilled:
    def test_a_pause_is_known_to_the_droplet(self, step):
        droplet, queues = droplet_with("older:1", "old:1")
        kill_after(droplet, step)
        assert queues.paused == (step in STEPS[STEPS.index("before_stop") : STEPS.index("after_start")])
        assert queues.resumed_by_the_droplet == queues.paused

    @pytest.mark.parametrize("image", ["new:1", "third:1", "old:1"])
    def test_the_next_run_ends_it(self, step, image):
        droplet, queues = droplet_with("older:1", "old:1")
        kill_after(droplet, step)
        run(droplet, image)
        at_rest(droplet, queues, image)

    def test_a_revert_ends_it(self, step):
        droplet, queues = droplet_with("older:1", "old:1")
        kill_after(droplet, step)
        run(droplet, "new:1", operation="revert")
        at_rest(droplet, queues, "old:1")

    def test_a_next_run_that_is_killed_too_leaves_no_pause_that_nobody_ends(self, step):
        droplet, queues = droplet_with("older:1", "old:1")
        kill_after(droplet, step)
        for second in STEPS:
            made = fakes.release(droplet, "recreate", "third:1", fault=second, **HOOKS)
            try:
                made.present()
            except fakes.Killed:
                assert droplet.due or not queues.paused
        run(droplet, "third:1")
        at_rest(droplet, queues, "third:1")


@pytest.mark.parametrize("bad_at", ["probe", "settle"])
def test_a_bad_release_goes_back_and_resumes(bad_at):
    droplet, queues = droplet_with("old:1")
    if bad_at == "probe":
        droplet.unwell.add("new:1")
        expected = [("old:1", "pause"), ("old:1", "resume")]
    else:
        droplet.clock.at_sleep.append(lambda: ("new:1", "resume") in queues.said and droplet.unwell.add("new:1"))
        expected = [("old:1", "pause"), ("new:1", "resume"), ("new:1", "pause"), ("old:1", "resume")]
    with pytest.raises(ServiceError):
        run(droplet, "new:1")
    assert queues.said == expected
    droplet.unwell.clear()
    at_rest(droplet, queues, "old:1")


@pytest.mark.parametrize("step", UNDO_STEPS)
def test_a_going_back_that_is_killed_leaves_no_pause_that_nobody_ends(step):
    droplet, queues = droplet_with("older:1", "old:1")
    kill_after(droplet, "settle")
    droplet.unwell.add("new:1")
    kill_after(droplet, step)
    assert droplet.due and queues.paused
    run(droplet, "old:1")
    at_rest(droplet, queues, "old:1")


def test_a_committed_release_that_is_taken_back_is_paused_too():
    droplet, queues = droplet_with("old:1")
    run(droplet, "new:1")
    queues.said.clear()
    run(droplet, "new:1", operation="revert")
    assert queues.said == [("new:1", "pause"), ("old:1", "resume")]
    at_rest(droplet, queues, "old:1")


def test_what_the_command_warns_of_is_shown():
    droplet, queues = droplet_with("old:1")
    queues.answers["pause"] = (0, "warning: 2 jobs are cut off\n2 jobs\n", "")
    assert run(droplet, "new:1").notes == ["web: 2 jobs are cut off"]
    at_rest(droplet, queues, "new:1")


def test_a_pause_that_fails_keeps_nobody_from_mending_what_keeps_it():
    droplet, queues = droplet_with("old:1")
    queues.answers["pause"] = (1, "Redis refuses the password\n", "")
    (note,) = run(droplet, "new:1").notes
    assert note == (
        "before_stop of web failed, so it was stopped without: the command ended with exit code 1. Its last line: Redis refuses the password"
    )
    # It may have paused something before it failed.
    assert queues.said == [("old:1", "pause"), ("new:1", "resume")]


def test_a_release_that_cannot_resume_goes_back():
    droplet, queues = droplet_with("old:1")
    droplet.obey = lambda container, command: queues.obey(container, command) if container.body["Image"] == "old:1" else (1, "no bull\n", "")
    with pytest.raises(ServiceError) as failure:
        run(droplet, "new:1")
    assert failure.value.message.startswith("The release new:1 of web failed: after_start failed: the command ended with exit code 1. Its last line: no bull")
    assert "The previous release (old:1) is back and serves" in failure.value.message
    droplet.obey = queues.obey
    at_rest(droplet, queues, "old:1")


def test_a_pause_that_nobody_could_end_is_ended_by_the_next_run():
    droplet, queues = droplet_with("old:1")
    droplet.unwell.add("new:1")
    queues.answers["resume"] = (1, "Redis is not reachable\n", "")
    made = fakes.release(droplet, "recreate", "new:1", **HOOKS)
    with pytest.raises(ServiceError):
        made.present()
    assert made.warnings == [
        "The previous release of web runs, but after_start failed: the command ended with exit code 1. Its last line: Redis is not reachable"
        " The next run tries it again."
    ]
    assert droplet.due and droplet.serving() == "old:1"
    with pytest.raises(ServiceError, match="It is the declared release, so there is nothing to go back to"):
        run(droplet, "old:1")
    queues.answers.clear()
    at_rest_after = run(droplet, "old:1")
    assert at_rest_after.changed
    at_rest(droplet, queues, "old:1")


@pytest.mark.parametrize("operation", ["present", "stage"])
def test_an_unchanged_run_ends_a_pause_that_was_left(operation):
    droplet, queues = droplet_with("old:1")
    kill_after(droplet, "before_stop")
    fakes.run(droplet, "recreate", "old:1", operation=operation, **HOOKS)
    assert (queues.paused, droplet.due, droplet.serving()) == (False, False, "old:1")


def test_check_mode_tells_of_it():
    droplet, _queues = droplet_with("old:1")
    droplet.due = True
    for state in ("present", "stage"):
        assert would_change(fakes.release(droplet, "recreate", "old:1", state=state, **HOOKS))[0]


def test_phases_of_their_own_pause_and_resume_while_the_release_is_switched():
    droplet, queues = droplet_with("old:1")
    spec = run(droplet, "new:1", operation="stage", reconcile=[]).spec
    host = fakes.Host(droplet)
    for operation in ("switch", "settle", "commit"):
        service = staged.declared("web", spec, host.declaration(spec), operation)
        made = staged.StagedRelease(spec, service, fakes.Engine(droplet), host, fakes.Prober(droplet), droplet.clock)
        assert staged.carry(operation, [made]) == []
        assert queues.said == [("old:1", "pause"), ("new:1", "resume")]
    at_rest(droplet, queues, "new:1")


def test_what_was_staged_by_an_earlier_version_is_released_without():
    droplet, queues = droplet_with("old:1")
    spec = run(droplet, "new:1", operation="stage", reconcile=[]).spec
    host = fakes.Host(droplet)
    kept = {key: value for key, value in host.declaration(spec).items() if key not in HOOKS}
    service = staged.declared("web", spec, kept, "switch")
    assert staged.carry("switch", [staged.StagedRelease(spec, service, fakes.Engine(droplet), host, fakes.Prober(droplet), droplet.clock)]) == []
    assert queues.said == [] and droplet.serving() == "new:1"


def test_a_service_that_is_removed_leaves_nothing_due():
    droplet, _queues = droplet_with("old:1")
    kill_after(droplet, "before_stop")
    run(droplet, "new:1", operation="absent")
    assert not droplet.due


def test_the_commands_are_no_part_of_the_hash():
    with_hooks, without = (model.Service(fakes.parameters("recreate", "a:1", **more)) for more in (HOOKS, {}))
    assert with_hooks.spec("sha256:1") == without.spec("sha256:1")


@pytest.mark.parametrize(
    ("update", "more", "problem"),
    [
        ("rolling", HOOKS, "before_stop and after_start need update: recreate"),
        ("recreate", {**HOOKS, "after_start": None}, "before_stop and after_start belong together"),
    ],
)
def test_what_makes_no_sense_is_refused(update, more, problem):
    assert problem in model.Service(fakes.parameters(update, "a:1", **more)).problems()
