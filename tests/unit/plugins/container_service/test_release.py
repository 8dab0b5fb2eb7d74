# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.plan import would_change

from . import fakes

BOTH = pytest.mark.parametrize("update", ["rolling", "recreate"])


def fails(droplet, update, image, **more):
    with pytest.raises(ServiceError) as failure:
        fakes.run(droplet, update, image, **more)
    return failure.value


def succeeds_without_refusals(droplet, image):
    droplet.refuses.clear()
    fakes.run(droplet, "rolling", image)
    assert droplet.serving() == image and droplet.running() == ["web"]


@BOTH
@pytest.mark.parametrize("kind", ["broken", "unwell"])
def test_bad_first_release_leaves_nothing(update, kind):
    droplet = fakes.Droplet(update == "rolling")
    getattr(droplet, kind).add("bad:1")
    error = fails(droplet, update, "bad:1")
    assert "nothing serves" in error.message
    assert droplet.containers == {} and droplet.file is None
    assert error.details["log"] == ["the log of bad:1"]
    assert error.details["probes"] == ([] if kind == "broken" else ["liveness: bad, fake"])
    assert all(folder["files"] == [] for folder in droplet.folders.values())


@BOTH
@pytest.mark.parametrize("kind", ["broken", "unwell", "failing_shots"])
def test_bad_release_leaves_the_old_one(update, kind):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "good:1")
    getattr(droplet, kind).add("bad:1")
    error = fails(droplet, update, "bad:1")
    assert "good:1" in error.message
    assert droplet.serving() == "good:1" and len(droplet.containers) == 1
    assert not fakes.run(droplet, update, "good:1").changed


def test_first_release_that_fails_while_settling_takes_its_upstream_file_away():
    droplet = fakes.Droplet(True)
    droplet.clock.at_sleep.append(lambda: droplet.loaded and droplet.unwell.add("bad:1"))
    error = fails(droplet, "rolling", "bad:1")
    assert "stopped answering" in error.message
    assert droplet.file is None and droplet.containers == {}


def test_crash_while_settling_goes_back():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "good:1")

    def crash():
        if droplet.loaded[:1] == [15001]:
            droplet.named("web.next").state = "exited"
        assert droplet.serving() == "good:1"

    droplet.clock.at_sleep.append(crash)
    error = fails(droplet, "rolling", "bad:1")
    assert "does not stay up" in error.message
    assert droplet.serving() == "good:1" and list(droplet.running()) == ["web"]


def test_refused_upstream_file_is_restored_without_a_reload():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "good:1")
    before = droplet.file
    droplet.refuses.add("validate")
    error = fails(droplet, "rolling", "new:1")
    assert "validate says no" in error.message
    assert droplet.file == before and droplet.serving() == "good:1" and droplet.running() == ["web"]


def test_new_one_stays_if_it_is_unknown_whom_nginx_asks():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "good:1")
    droplet.refuses.add("reload")
    error = fails(droplet, "rolling", "new:1")
    assert "Going back failed too" in error.message
    assert sorted(droplet.running()) == ["web", "web.next"]
    succeeds_without_refusals(droplet, "new:1")


def test_a_reload_that_does_not_take_effect_leaves_the_old_one_serving_and_the_file_as_nginx_has_it():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "good:1")
    before = droplet.file
    droplet.refuses |= {"reload", "explain"}
    for _twice in range(2):
        error = fails(droplet, "rolling", "new:1")
        assert "reload says no\nexplain says no" in error.message
        assert (droplet.file, droplet.serving()) == (before, "good:1")
        assert "web" in droplet.running() and droplet.named("web.previous.1") is None
    succeeds_without_refusals(droplet, "new:1")


def test_a_refused_file_does_not_remove_what_nginx_may_have_loaded_in_an_earlier_run():
    """The earlier run was killed while it went back: nginx asks the new one, the file names the old one."""
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "old:1")
    for operation in ("stage", "switch", "settle"):
        fakes.run(droplet, "rolling", "new:1", operation=operation)
    droplet.unwell.add("new:1")
    with pytest.raises(fakes.Killed):
        fakes.run(droplet, "rolling", "new:1", operation="commit", fault="unwrite")
    droplet.unwell.clear()
    assert (droplet.serving(), fakes.ports_of(droplet.file)) == ("new:1", [15000])
    droplet.refuses.add("validate")
    fails(droplet, "rolling", "new:1")
    assert droplet.serving() == "new:1" and fakes.ports_of(droplet.file) == [15000]


def test_what_nginx_has_not_read_is_not_unchanged():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "good:1")
    wanted, droplet.file, droplet.loaded = droplet.file, "server 127.0.0.1:9;\n", [9]
    droplet.refuses.add("reload")
    for _twice in range(2):
        assert "reload says no" in fails(droplet, "rolling", "good:1").message
    droplet.refuses.clear()
    assert fakes.run(droplet, "rolling", "good:1").changed
    assert (droplet.file, droplet.serving()) == (wanted, "good:1")
    assert not fakes.run(droplet, "rolling", "good:1").changed


def test_absent_is_tried_again_where_nginx_was_not_reloaded():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "good:1")
    droplet.refuses.add("reload")
    fails(droplet, "rolling", "good:1", operation="absent")
    assert droplet.serving() == "good:1"
    droplet.refuses.clear()
    fakes.run(droplet, "rolling", "good:1", operation="absent")
    assert droplet.loaded == [] and droplet.file is None


def settling(droplet, update, **more):
    """How long the release under way is watched while it serves, in the run that follows."""
    times = {}
    made = fakes.release(droplet, update, "b:1", settle=50, **more)
    made.reached = lambda step: times.setdefault(step, droplet.clock.seconds)
    made.present()
    return times["settle"] - times["reload" if update == "rolling" else "probe"]


@pytest.mark.parametrize(("update", "step"), [("rolling", "write"), ("rolling", "reload"), ("rolling", "settle"), ("rolling", "alone"), ("recreate", "start"), ("recreate", "settle")])
def test_a_release_settles_for_its_full_time_after_a_resume(update, step):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "a:1")
    with pytest.raises(fakes.Killed):
        fakes.run(droplet, update, "b:1", settle=50, fault=step)
    droplet.clock.sleep(3600)
    assert settling(droplet, update) >= 50


def test_a_release_that_dies_after_a_resume_is_taken_back():
    """Settling is what finds it: it dies after the time that is left if the hour before counts."""
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    with pytest.raises(fakes.Killed):
        fakes.run(droplet, "rolling", "b:1", settle=50, fault="write")
    droplet.clock.sleep(3600)
    dies = droplet.clock.seconds + 20
    droplet.clock.at_sleep.append(lambda: droplet.unwell.add("b:1") if droplet.clock.seconds > dies else None)
    assert "stopped answering" in fails(droplet, "rolling", "b:1", settle=50).message
    assert droplet.serving() == "a:1"


def test_time_since_the_switch_of_the_same_run_counts_and_that_of_an_earlier_one_does_not():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    waits = []
    for pause in (30, 3600):
        for operation in ("stage", "switch"):
            fakes.run(droplet, "rolling", "b:1", operation=operation)
        began = droplet.clock.seconds
        droplet.clock.sleep(30)
        if pause == 30:
            with pytest.raises(fakes.Killed):
                fakes.run(droplet, "rolling", "b:1", operation="settle", settle=50, fault="settle")
        else:
            fakes.run(droplet, "rolling", "b:1", operation="settle", settle=50)
        waits.append(droplet.clock.seconds - began)
        droplet.clock.sleep(3600)
    assert all(50 <= waited < 60 for waited in waits), waits


@pytest.mark.parametrize("operation", ["settle", "commit"])
def test_what_nginx_has_not_been_told_is_not_settled(operation):
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    fakes.run(droplet, "rolling", "b:1", operation="stage")
    with pytest.raises(fakes.Killed):
        fakes.run(droplet, "rolling", "b:1", operation="switch", fault="write")
    assert "run state: switch first" in fails(droplet, "rolling", "b:1", operation=operation).message
    assert droplet.serving() == "a:1"
    for phase in ("switch", operation):
        fakes.run(droplet, "rolling", "b:1", operation=phase)
    assert droplet.serving() == "b:1"


@BOTH
def test_an_interrupted_release_that_crashed_once_does_not_fail_the_next_one(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "v1:1")
    for operation in ("stage", "switch"):
        fakes.run(droplet, update, "v2:1", operation=operation)
    droplet.named("web.next").restarts = 1
    fakes.run(droplet, update, "v3:1")
    assert droplet.serving() == "v3:1" and droplet.running() == ["web"]
    assert sorted(c.body["Image"] for c in droplet.containers.values()) == ["v1:1", "v3:1"]


NEW_PORTS = [{"container": 8080, "address": "10.0.0.5", "host": [16000, 16001]}]


def test_a_retained_release_is_judged_and_asked_where_it_is_when_the_ports_have_changed():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "old:1", probes=[])
    before = droplet.file
    new = {"ports": NEW_PORTS, "probes": [{"name": "new", "kind": "http", "port": 8080}]}
    made = fakes.run(droplet, "rolling", "new:1", **new)
    assert "server 10.0.0.5:16000 max_fails=0;" in droplet.file
    asked, droplet.judged[:] = [], []
    made = fakes.release(droplet, "rolling", "new:1", **new)
    made.host.connections = lambda address, port, besides: asked.append((address, port)) or 0
    made.revert()
    assert droplet.file == before and droplet.serving() == "old:1"
    assert set(asked) == {("10.0.0.5", 16000)}
    assert {name for name, _declaration in droplet.judged} == {"web.previous.1"}
    assert all(declaration["probes"] == [] for _name, declaration in droplet.judged)


@BOTH
def test_stopped_current_release_is_started(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "good:1")
    fakes.Engine(droplet).stop(droplet.named("web").id, 1)
    made = fakes.run(droplet, update, "good:1")
    assert made.changed and made.init_commands == [] and droplet.serving() == "good:1"
    assert not fakes.run(droplet, update, "good:1").changed


@BOTH
def test_current_release_that_does_not_answer_is_reported_and_left_alone(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "good:1")
    droplet.unwell.add("good:1")
    error = fails(droplet, update, "good:1")
    assert "was not healthy" in error.message and "nothing was removed" in error.message
    assert droplet.running() == ["web"]


@BOTH
@pytest.mark.parametrize("operation", ["present", "stage"])
def test_damaged_files_of_a_healthy_release_are_repaired_without_a_restart(update, operation):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "good:1")
    before, droplet.damaged = vars(droplet.named("web")).copy(), ["release.json", "/etc/a"]
    assert would_change(fakes.release(droplet, update, "good:1"))[0] and droplet.damaged
    made = fakes.release(droplet, update, "good:1")
    for change in ("start", "stop", "remove", "create", "set_policy"):
        setattr(made.engine, change, None)
    getattr(made, operation)()
    assert made.changed and droplet.damaged == [] and vars(droplet.named("web")) == before
    assert not fakes.run(droplet, update, "good:1", operation).changed


@BOTH
def test_a_release_that_failed_for_want_of_its_files_is_started_again_when_they_are_repaired(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "good:1")
    first, droplet.damaged = droplet.named("web").id, ["/etc/a"]
    droplet.unwell.add("good:1")
    made, started = fakes.release(droplet, update, "good:1"), []

    def start(container_id):
        started.append(container_id)
        droplet.unwell.clear()
        fakes.Engine.start(made.engine, container_id)

    made.engine.start = start
    made.present()
    assert made.changed and started == [first] and droplet.serving() == "good:1"
    assert not fakes.run(droplet, update, "good:1").changed


@BOTH
def test_one_bad_answer_of_the_current_release_changes_nothing(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "good:1")
    before = vars(droplet.named("web")).copy()
    droplet.unwell.add("good:1")
    droplet.clock.at_sleep.append(droplet.unwell.clear)
    made = fakes.release(droplet, update, "good:1")
    for change in ("start", "stop", "remove", "create", "set_policy"):
        setattr(made.engine, change, None)
    waited = droplet.clock.seconds
    made.present()
    assert not made.changed and vars(droplet.named("web")) == before
    assert droplet.clock.seconds - waited < made.params["start_timeout"]


def test_upstream_file_of_somebody_else_is_written_again():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "good:1")
    droplet.file = "server 127.0.0.1:9;\n"
    made = fakes.run(droplet, "rolling", "good:1")
    assert made.changed and "max_fails=0" in droplet.file and droplet.serving() == "good:1"


@BOTH
def test_phases_one_by_one(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "old:1")
    assert fakes.run(droplet, update, "new:1", operation="stage").result()["phase"] == "staged"
    assert droplet.serving() == "old:1"
    assert "switch first" in fails(droplet, update, "new:1", operation="commit").message
    assert fakes.run(droplet, update, "new:1", operation="switch").result()["phase"] == "switched"
    assert droplet.serving() == "new:1"
    committed = fakes.run(droplet, update, "new:1", operation="commit").result()
    assert committed["phase"] == "committed" and committed["previous"]["image"] == "old:1"
    for operation in ("stage", "switch", "commit", "present"):
        assert not fakes.run(droplet, update, "new:1", operation=operation).changed


@BOTH
@pytest.mark.parametrize("state", ["stage", "switch", "commit"])
def test_revert_from(update, state):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "old:1")
    for operation in ("stage", "switch", "commit"):
        fakes.run(droplet, update, "new:1", operation=operation)
        if operation == state:
            break
    made = fakes.run(droplet, update, "new:1", operation="revert")
    assert made.changed and made.result()["phase"] == "reverted"
    assert droplet.serving() == "old:1" and droplet.running() == ["web"]
    assert not fakes.run(droplet, update, "new:1", operation="revert").changed


@BOTH
def test_revert_to_a_release_that_is_bad_by_now(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "old:1")
    fakes.run(droplet, update, "new:1")
    droplet.unwell.add("old:1")
    error = fails(droplet, update, "new:1", operation="revert")
    assert "new:1" in error.message
    assert droplet.serving() == "new:1" and droplet.running() == ["web"]
    assert droplet.named("web.previous.1").state == "exited"


@BOTH
def test_switch_needs_a_staged_release(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "old:1")
    assert "run state: stage" in fails(droplet, update, "new:1", operation="switch").message


@BOTH
def test_nothing_to_revert_to(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "old:1")
    assert "no retained release" in fails(droplet, update, "old:1", operation="revert").message


@BOTH
@pytest.mark.parametrize("retain", [0, 1, 3])
def test_retention(update, retain):
    droplet = fakes.Droplet(update == "rolling")
    for number in range(1, 8):
        fakes.run(droplet, update, "v:%d" % number, retain=retain)
    kept = ["sha256:v:%d" % n for n in range(7 - retain, 8)]
    assert sorted(droplet.image(c.body["Image"]) for c in droplet.containers.values()) == kept
    assert droplet.removed_images == ["sha256:v:%d" % n for n in range(1, 7 - retain)]
    assert len(droplet.folders) == retain + 1


def test_retained_is_what_served_last_not_what_was_built_last():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    fakes.run(droplet, "rolling", "b:1")
    fakes.run(droplet, "rolling", "b:1", operation="revert")
    fakes.run(droplet, "rolling", "c:1")
    fakes.run(droplet, "rolling", "c:1", operation="revert")
    assert droplet.serving() == "a:1"


@BOTH
def test_the_image_that_is_wanted_outlives_the_end_of_an_earlier_run(update):
    """A run that is killed while its release serves is finished by the next one, which then may want what retention has no room for any more."""
    droplet = fakes.Droplet(update == "rolling")
    for number in (1, 2):
        fakes.run(droplet, update, "v:%d" % number, retain=1)
    for operation in ("stage", "switch"):
        fakes.run(droplet, update, "v:3", operation=operation, retain=1)
    fakes.run(droplet, update, "v:1", retain=1)
    assert droplet.serving() == "v:1"
    assert "sha256:v:1" not in droplet.removed_images


def test_images_that_somebody_else_uses_stay():
    droplet = fakes.Droplet(False)
    fakes.run(droplet, "recreate", "shared:1", retain=0)
    engine = fakes.Engine(droplet)
    engine.create("other", {"Image": "shared:1", "Labels": {}, "Env": []})
    fakes.run(droplet, "recreate", "own:1", retain=0)
    assert droplet.removed_images == []


def test_init_command_left_running_is_waited_for_not_repeated():
    droplet = fakes.Droplet(False)
    made = fakes.release(droplet, "recreate", "new:1")
    made.resolve()
    engine = fakes.Engine(droplet)
    shot = made.params["init_commands"][0]
    left = engine.create("web.shot.migrate", made.service.init_command_body(shot, made.image_id, "/x"))
    droplet.containers[left].state = "running"
    made.present()
    assert droplet.ran_shots == [] and made.init_commands[0]["exit_code"] == 0


def test_init_command_left_by_another_release_is_removed():
    droplet = fakes.Droplet(False)
    other = fakes.release(droplet, "recreate", "other:1")
    other.resolve()
    engine = fakes.Engine(droplet)
    left = engine.create("web.shot.migrate", other.service.init_command_body(other.params["init_commands"][0], other.image_id, "/x"))
    droplet.containers[left].state = "running"
    fakes.run(droplet, "recreate", "new:1")
    assert droplet.ran_shots == ["new:1"] and len(droplet.containers) == 1


@BOTH
def test_absent(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "a:1")
    fakes.run(droplet, update, "b:1")
    assert fakes.run(droplet, update, "b:1", operation="absent").changed
    assert droplet.containers == {} and droplet.folders == {} and droplet.file is None and droplet.loaded == []
    assert not fakes.run(droplet, update, "b:1", operation="absent").changed


def test_drain_gives_up_at_its_limit_and_says_so():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    made = fakes.release(droplet, "rolling", "b:1", drain_timeout=5)
    droplet.connected = {15000: 2}
    made.present()
    assert "2 connections" in made.warnings[0] and droplet.running() == ["web"]


def test_the_old_release_is_left_in_peace_after_its_last_answer():
    """Long enough for what it has confirmed and not done yet."""
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    made = fakes.release(droplet, "rolling", "b:1", drain_quiet=3)
    began = made.clock.monotonic()
    made.host.connections = lambda address, port, besides: 1 if made.clock.monotonic() < began + 20 else 0
    stop, stopped = made.engine.stop, []
    made.engine.stop = lambda *arguments: stopped.append(made.clock.monotonic()) or stop(*arguments)
    made.present()
    assert stopped[0] >= began + 20 + 3 - 0.4


def test_quiet_time_before_the_last_look_counts():
    """The old release is not asked any more while the new one settles: nobody has to wait twice."""
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    began = droplet.clock.monotonic()
    fakes.run(droplet, "rolling", "b:1", success_threshold=1, settle=5, drain_quiet=3)
    assert droplet.clock.monotonic() - began < 5 + 2


def test_event_streams_are_not_waited_for():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    upstream = dict(fakes.parameters("rolling", "b:1")["upstream"], stream_source="127.0.0.2")
    fakes.run(droplet, "rolling", "b:1", upstream=upstream)
    assert droplet.left_out == "127.0.0.2"


def test_phases_one_by_one():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    assert [fakes.run(droplet, "rolling", "b:1", operation=phase).phase for phase in ("stage", "switch", "settle")] == ["staged", "switched", "settled"]
    assert droplet.serving() == "b:1" and fakes.ports_of(droplet.file) == [15001]
    assert sorted(droplet.running()) == ["web", "web.next"]
    began = droplet.clock.monotonic()
    made = fakes.release(droplet, "rolling", "b:1", settle=100)
    made.commit(settled=True)
    assert made.phase == "committed" and droplet.running() == ["web"]
    assert droplet.clock.monotonic() - began < 3
    for phase in ("switch", "settle", "commit"):
        assert not fakes.run(droplet, "rolling", "b:1", operation=phase).changed


def test_what_was_not_settled_is_watched_before_it_is_committed():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    fakes.run(droplet, "rolling", "b:1", operation="stage")
    fakes.run(droplet, "rolling", "b:1", operation="switch")
    began = droplet.clock.monotonic()
    fakes.release(droplet, "rolling", "b:1", settle=50).commit(settled=True)
    assert droplet.clock.monotonic() - began >= 50


@BOTH
def test_settle_takes_a_bad_one_back(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "a:1")
    fakes.run(droplet, update, "b:1", operation="stage")
    fakes.run(droplet, update, "b:1", operation="switch")
    droplet.unwell.add("b:1")
    error = fails(droplet, update, "b:1", operation="settle")
    assert "stopped answering" in error.message and droplet.serving() == "a:1" and droplet.running() == ["web"]


@BOTH
def test_a_crash_between_two_phases_is_not_forgotten(update):
    """The engine has started it again, and it answers: a release that dies now and then is a bad one."""
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "a:1")
    fakes.run(droplet, update, "b:1", operation="stage")
    fakes.run(droplet, update, "b:1", operation="switch")
    droplet.named("web.next").restarts = 1
    assert "does not stay up" in fails(droplet, update, "b:1", operation="settle").message
    assert droplet.serving() == "a:1" and droplet.running() == ["web"]


def out_of_memory(droplet, names, back_after=4):
    """While the new release settles, memory runs out once in these containers; they answer again after some seconds."""
    began = []

    def watcher():
        if droplet.loaded[:1] != [15001]:
            return
        began.append(droplet.clock.monotonic())
        for name in names if len(began) == 1 else []:
            droplet.named(name).run_out_of_memory()
        for container in droplet.containers.values():
            if container.state == "restarting" and droplet.clock.monotonic() - began[0] >= back_after:
                container.state = "running"

    droplet.clock.at_sleep.append(watcher)


@pytest.mark.parametrize("names", [["web"], ["web", "web.next"]])
def test_memory_that_runs_out_in_the_old_one_does_not_count_against_the_new_one(names):
    """The same requests reach both while the release switches: where they kill both, it is not the release that is bad."""
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    out_of_memory(droplet, names)
    made = fakes.run(droplet, "rolling", "b:1")
    assert droplet.serving() == "b:1" and droplet.running() == ["web"]
    assert [bool("ran out of memory" in warning and "512 MB" in warning) for warning in made.warnings] == [True] * (len(names) - 1)


@pytest.mark.parametrize("operation", ["settle", "commit"])
def test_memory_that_ran_out_in_both_between_two_phases_does_not_count_either(operation):
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    fakes.run(droplet, "rolling", "b:1", operation="stage")
    fakes.run(droplet, "rolling", "b:1", operation="switch")
    for name in ("web", "web.next"):
        droplet.named(name).run_out_of_memory()
        droplet.named(name).state = "running"
    fakes.run(droplet, "rolling", "b:1", operation=operation)
    assert droplet.serving() == "b:1"


def test_the_engine_may_tell_late_why_both_have_ended():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    out_of_memory(droplet, ["web", "web.next"])
    told = []

    def later():
        # Not known when they have just ended.
        for container in droplet.containers.values():
            if container.restarts:
                told.append(droplet.clock.monotonic())
                container.deaths = ([137], told[-1] - told[0] >= 0.3)

    droplet.clock.at_sleep.append(later)
    fakes.run(droplet, "rolling", "b:1")
    assert droplet.serving() == "b:1"


def test_a_new_one_alone_that_runs_out_of_memory_goes_back():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    out_of_memory(droplet, ["web.next"])
    assert "does not stay up" in fails(droplet, "rolling", "b:1").message
    assert droplet.serving() == "a:1"


def test_a_new_one_that_also_ends_by_itself_goes_back():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    out_of_memory(droplet, ["web", "web.next"])
    droplet.clock.at_sleep.append(lambda: [c.deaths[0].append(1) for c in droplet.containers.values() if c.name == "web.next" and c.restarts])
    assert "does not stay up" in fails(droplet, "rolling", "b:1").message
    assert droplet.serving() == "a:1"


def test_a_new_one_that_does_not_come_back_after_its_memory_ran_out_goes_back():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    out_of_memory(droplet, ["web", "web.next"], back_after=60)
    assert "stopped answering" in fails(droplet, "rolling", "b:1").message


@BOTH
def test_settle_before_switch_is_refused(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "a:1")
    fakes.run(droplet, update, "b:1", operation="stage")
    assert "does not serve yet" in fails(droplet, update, "b:1", operation="settle").message
    assert droplet.serving() == "a:1"


def test_init_commands_alone_touch_no_container():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "a:1")
    shot = dict(fakes.parameters("rolling", "b:1")["init_commands"][0], keep_output=True)
    made = fakes.run(droplet, "rolling", "b:1", operation="run", init_commands=[shot])
    assert made.phase == "ran" and droplet.ran_shots[-1] == "b:1" and droplet.running() == ["web"] and droplet.serving() == "a:1"
    assert droplet.kept == [("web.migrate", ["the log of b:1"])] and made.init_commands[0]["file"] == "/outputs/web.migrate"
    fakes.run(droplet, "rolling", "a:1")
    assert [folder["files"] for folder in droplet.folders.values()] == [[], []]


def test_of_retained_releases_one_for_each_image_stays():
    droplet = fakes.Droplet(True)
    for number, image in enumerate(["a:1", "b:1", "c:1", "c:1", "c:1"]):
        fakes.run(droplet, "rolling", image, retain=2, env={"NUMBER": str(number)})
    kept = sorted(c.body["Image"] for c in droplet.containers.values() if c.name != "web")
    assert kept == ["b:1", "c:1"]
    assert droplet.removed_images == ["sha256:a:1"]


@BOTH
def test_container_removed_by_somebody_else(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "a:1")
    made = fakes.release(droplet, update, "b:1")
    reached = made.reached

    def remove(step):
        reached(step)
        if step == "probe":
            del droplet.containers[droplet.named("web.next").id]

    made.reached = remove
    made.engine.inspect = inspect_or_explain(made.engine)
    with pytest.raises(ServiceError) as failure:
        made.present()
    assert "removed by somebody else" in failure.value.message
    assert droplet.serving() == "a:1"
    fakes.run(droplet, update, "b:1")
    assert droplet.serving() == "b:1" and droplet.running() == ["web"]


def inspect_or_explain(engine):
    """As the real engine: what is not there any more is an error that says so."""
    inspect = engine.inspect

    def explain(container_id):
        if container_id not in engine.droplet.containers:
            raise ServiceError("Container %s was removed by somebody else during the release: run again." % container_id)
        return inspect(container_id)

    return explain


@BOTH
def test_full_disk_refuses_the_release(update):
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "a:1")
    made = fakes.release(droplet, update, "b:1")

    def full(*unused):
        raise ServiceError("Writing /var/lib/litefarm failed: No space left on device.")

    made.host.write_release = full
    with pytest.raises(ServiceError, match="No space left on device.*a:1"):
        made.present()
    assert droplet.serving() == "a:1" and droplet.running() == ["web"]
