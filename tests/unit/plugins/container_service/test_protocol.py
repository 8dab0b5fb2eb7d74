# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/release-protocol.md, row by row: the module is killed after each step, and run again."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import ServiceError

from . import fakes
from .protocol import tables

TABLES = tables()
NAMES = {"old:1": "old", "new:1": "new", "older:1": "older", "third:1": "third", "nobody": "nobody"}


def rows(*names):
    return [pytest.param(name.split()[0], row, id="%s-%s" % (name.replace(" ", "_"), row["step"])) for name in names for row in TABLES[name]]


FORWARD = rows("rolling", "recreate")
UNDO = rows("rolling undo", "recreate undo")


def droplet_with_history(update):
    """`old` serves, `older` is retained."""
    droplet = fakes.Droplet(update == "rolling")
    fakes.run(droplet, update, "older:1")
    fakes.run(droplet, update, "old:1")
    assert seen(droplet, update)["current"] == "old running unless-stopped"
    return droplet


def shown(container):
    return "%s %s %s" % (NAMES[container.body["Image"]], container.state, container.policy) if container else "-"


def seen(droplet, update):
    """The evidence, in the words of the table."""
    previous = sorted((c for c in droplet.containers.values() if c.name.startswith("web.previous.")), key=lambda c: c.id)
    assert all(c.state == "exited" and c.policy == "no" for c in previous)
    by_port = {fakes.port_of(c): NAMES[c.body["Image"]] for c in droplet.containers.values() if c not in previous}
    return {
        "current": shown(droplet.named("web")),
        "next": shown(droplet.named("web.next")),
        "previous": ", ".join(NAMES[c.body["Image"]] for c in previous) or "-",
        "upstream": ", else ".join(by_port[port] for port in fakes.ports_of(droplet.file)) or "-",
        "serves": NAMES[droplet.serving()],
    }


def kill_after(droplet, update, step, image="new:1", **more):
    with pytest.raises(fakes.Killed):
        fakes.run(droplet, update, image, fault=step, **more)


def killed_in_undo(update, step):
    """`new` was healthy, was switched to, and then turned bad."""
    droplet = droplet_with_history(update)
    kill_after(droplet, update, "reload" if update == "rolling" else "probe")
    droplet.unwell.add("new:1")
    kill_after(droplet, update, step)
    return droplet


def settled(droplet, update, image, retained):
    """Nothing is left but what should be."""
    expected = {"web": "running unless-stopped"}
    found = {c.name.split(".")[0] + ("." + c.name.split(".")[1] if "." in c.name else ""): "%s %s" % (c.state, c.policy) for c in droplet.containers.values()}
    assert found == dict(expected, **({"web.previous": "exited no"} if retained else {}))
    assert NAMES[droplet.serving()] == image
    assert set(droplet.folders) >= {c.body["Labels"]["litefarm.platform.spec"] for c in droplet.containers.values()}
    if update == "rolling":
        assert droplet.loaded == fakes.ports_of(droplet.file) == [fakes.port_of(droplet.named("web"))]


@pytest.mark.parametrize("update", ["rolling", "recreate"])
def test_steps_happen_in_the_order_of_the_table(update):
    droplet = droplet_with_history(update)
    fakes.run(droplet, update, "new:1")
    assert droplet.log == [row["step"] for row in TABLES[update]]


@pytest.mark.parametrize(("update", "row"), FORWARD)
def test_evidence(update, row):
    droplet = droplet_with_history(update)
    kill_after(droplet, update, row["step"])
    assert seen(droplet, update) == {key: row[key] for key in ("current", "next", "previous", "upstream", "serves")}


@pytest.mark.parametrize(("update", "row"), UNDO)
def test_evidence_of_undo(update, row):
    droplet = killed_in_undo(update, row["step"])
    assert seen(droplet, update) == {key: row[key] for key in ("current", "next", "previous", "upstream", "serves")}


@pytest.mark.parametrize(("update", "row"), FORWARD)
def test_after_a_reboot(update, row):
    droplet = droplet_with_history(update)
    kill_after(droplet, update, row["step"])
    droplet.reboot()
    assert NAMES[droplet.serving()] == row["after a reboot"]
    if update == "recreate":
        assert len(droplet.running()) <= 1
    fakes.run(droplet, update, "new:1")
    settled(droplet, update, "new", True)


@pytest.mark.parametrize(("update", "row"), UNDO)
def test_after_a_reboot_in_undo(update, row):
    droplet = killed_in_undo(update, row["step"])
    droplet.reboot()
    assert NAMES[droplet.serving()] == row["after a reboot"]
    with pytest.raises(ServiceError):
        fakes.run(droplet, update, "new:1")
    settled(droplet, update, "old", True)


def check_next_run(droplet, row, run):
    """What the table promises of the next run, `run`, about the container that the killed one left."""
    left = droplet.named("web.next") or droplet.named("web")
    shots = len(droplet.ran_shots)
    run()
    if row["next run"] == "nothing":
        assert droplet.log == ["reconcile"]
    elif row["next run"] == "resumes":
        assert "create" not in droplet.log and len(droplet.ran_shots) == shots
        return left
    else:
        assert row["next run"] == "starts over"
        assert "create" in droplet.log and len(droplet.ran_shots) == shots + 1
    return None


@pytest.mark.parametrize(("update", "row"), FORWARD)
def test_next_run_of_the_same_release(update, row):
    droplet = droplet_with_history(update)
    kill_after(droplet, update, row["step"])
    left = check_next_run(droplet, row, lambda: fakes.run(droplet, update, "new:1"))
    if left:
        assert droplet.named("web").id == left.id
    settled(droplet, update, "new", True)
    assert not fakes.run(droplet, update, "new:1").changed


@pytest.mark.parametrize(("update", "row"), UNDO)
def test_next_run_after_an_interrupted_undo(update, row):
    """The same bad release again: refused again, and the old one serves."""
    droplet = killed_in_undo(update, row["step"])

    def again():
        with pytest.raises(ServiceError) as failure:
            fakes.run(droplet, update, "new:1")
        assert "old:1" in failure.value.message

    check_next_run(droplet, row, again)
    settled(droplet, update, "old", True)


@pytest.mark.parametrize("image", ["third:1", "old:1"])
@pytest.mark.parametrize(("update", "row"), FORWARD)
def test_next_run_of_another_release(update, row, image):
    """Also back to the one before: whatever was left, the declared release ends up alone."""
    droplet = droplet_with_history(update)
    kill_after(droplet, update, row["step"])
    fakes.run(droplet, update, image)
    settled(droplet, update, image.split(":")[0], True)
    assert not fakes.run(droplet, update, image).changed


@pytest.mark.parametrize("image", ["third:1", "old:1"])
@pytest.mark.parametrize(("update", "row"), UNDO)
def test_another_release_after_an_interrupted_undo(update, row, image):
    droplet = killed_in_undo(update, row["step"])
    fakes.run(droplet, update, image)
    settled(droplet, update, image.split(":")[0], True)


@pytest.mark.parametrize(("update", "row"), FORWARD + UNDO)
def test_somebody_always_serves_while_the_next_run_works(update, row):
    """Rolling: at no moment nobody. Recreate: at no moment two."""
    undo = row in TABLES[update + " undo"]
    droplet = killed_in_undo(update, row["step"]) if undo else droplet_with_history(update)
    if not undo:
        kill_after(droplet, update, row["step"])
    droplet.unwell.clear()

    def look():
        if update == "rolling":
            assert droplet.serving() != "nobody"
        else:
            assert len(droplet.running()) <= 1

    droplet.clock.at_sleep.append(look)
    made = fakes.release(droplet, update, "third:1")
    reached = made.reached
    made.reached = lambda step: (reached(step), look())
    made.present()
    settled(droplet, update, "third", True)


@pytest.mark.parametrize(("update", "row"), FORWARD)
def test_revert_after_a_kill_at(update, row):
    """`revert` of the release that was under way: the old one serves, wherever it stopped; and again: nothing to do."""
    droplet = droplet_with_history(update)
    kill_after(droplet, update, row["step"])
    fakes.run(droplet, update, "new:1", operation="revert")
    assert NAMES[droplet.serving()] == "old"
    assert droplet.named("web.next") is None
    assert shown(droplet.named("web")) == "old running unless-stopped"
    assert not fakes.run(droplet, update, "new:1", operation="revert").changed


REVERT_STEPS = {
    "rolling": ["start", "probe", "keep", "write", "validate", "reload", "settle", "alone", "drain", "stop", "retire", "name", "prune"],
    "recreate": ["stop", "start", "probe", "settle", "retire", "name", "prune"],
}


@pytest.mark.parametrize("then", ["revert", "present"])
@pytest.mark.parametrize(("update", "step"), [(u, s) for u, steps in REVERT_STEPS.items() for s in steps])
def test_revert_killed_at(update, step, then):
    """A revert to the retained release is interrupted; the next run takes it up, or the declaration wins after all."""
    droplet = droplet_with_history(update)
    fakes.run(droplet, update, "new:1")
    kill_after(droplet, update, step, operation="revert")
    if update == "rolling":
        assert droplet.serving() != "nobody"
    fakes.run(droplet, update, "new:1", operation=then)
    settled(droplet, update, "old" if then == "revert" else "new", True)
