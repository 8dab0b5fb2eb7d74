# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What release_info says of a droplet, after every step of docs/release-protocol.md: what serves, and what is committed."""

from __future__ import annotations

import time

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._container_service import info
from ansible_collections.litefarm.platform.plugins.module_utils._ledger import moment

from . import fakes
from .test_protocol import FORWARD, NAMES, UNDO, droplet_with_history, kill_after, killed_in_undo, seen


@pytest.fixture(name="look")
def fixture_look(monkeypatch):
    def look(droplet):
        monkeypatch.setattr(info, "Host", lambda name, state_directory, upstream=None: fakes.Host(droplet))
        return info.look("web", fakes.Engine(droplet), "/state", probe=False)

    return look


def check(found, row):
    # Whether nginx has read a file that was just written, only nginx knows.
    possible = {found["image"]} if found["upstream_read"] else {found["image"], found["beside"]}
    if row["serves"] == "nobody":
        assert (NAMES[found["image"]], found["state"]) == (row["current"].split()[0], "exited")
    else:
        assert row["serves"] in {NAMES[image] for image in possible} and found["state"] == "running"
    assert NAMES.get(found["committed_image"], "-") == row["current"].split()[0]
    assert found["under_way"] == (row["next"] != "-")
    assert found["copies"] == sum(" running " in row[each] for each in ("current", "next"))
    beside = {row["current"].split()[0], row["next"].split()[0]} - {NAMES[found["image"]], "-"}
    assert {NAMES[found["beside"]]} == beside if beside else found["beside"] == ""


@pytest.mark.parametrize(("update", "row"), FORWARD)
def test_what_serves_after_each_step(look, update, row):
    droplet = droplet_with_history(update)
    kill_after(droplet, update, row["step"])
    check(look(droplet), row)
    droplet.reboot()
    assert NAMES[look(droplet)["image"]] == row["after a reboot"] == seen(droplet, update)["serves"]


@pytest.mark.parametrize(("update", "row"), UNDO)
def test_what_serves_after_each_step_back(look, update, row):
    droplet = killed_in_undo(update, row["step"])
    check(look(droplet), row)
    droplet.reboot()
    assert NAMES[look(droplet)["image"]] == row["after a reboot"]


def test_only_a_file_that_was_not_read_leaves_a_doubt(look):
    doubtful = []
    for _update, row in (each.values for each in FORWARD if each.values[0] == "rolling"):
        droplet = droplet_with_history("rolling")
        kill_after(droplet, "rolling", row["step"])
        doubtful += [] if look(droplet)["upstream_read"] else [row["step"]]
    assert doubtful == ["write", "validate"]


def test_a_new_release_that_breaks_down_leaves_the_old_one_serving(look):
    droplet = droplet_with_history("rolling")
    kill_after(droplet, "rolling", "reload")
    droplet.named("web.next").state = "exited"
    found = look(droplet)
    assert (found["image"], found["beside"], found["state"]) == ("old:1", "new:1", "running")


def test_a_retained_release_on_its_way_back_serves(look):
    droplet = droplet_with_history("rolling")
    spec = {c.body["Image"]: c.body["Labels"]["litefarm.platform.spec"] for c in droplet.containers.values()}
    kill_after_revert = fakes.release(droplet, "rolling", "old:1", fault="settle")
    with pytest.raises(fakes.Killed):
        kill_after_revert.revert()
    found = look(droplet)
    assert (found["image"], found["beside"], found["committed_image"], found["spec"]) == ("older:1", "old:1", "old:1", spec["older:1"])
    assert found["under_way"]


@pytest.mark.parametrize("update", ["rolling", "recreate"])
def test_the_first_release_is_not_there_before_it_serves(look, update):
    droplet = fakes.Droplet(update == "rolling")
    assert look(droplet) is None
    kill_after(droplet, update, "create")
    assert look(droplet) is None
    kill_after(droplet, update, "settle")
    found = look(droplet)
    assert (found["image"], found["committed_image"], found["beside"], found["under_way"]) == ("new:1", "", "", True)


def test_a_release_whose_declaration_is_lost_is_the_current_one(look):
    droplet = droplet_with_history("rolling")
    droplet.folders.clear()
    found = look(droplet)
    assert (found["image"], found["update"], found["upstream_read"]) == ("old:1", "", True)


def test_the_droplet_tells_its_own_time(monkeypatch):
    monkeypatch.setattr(info, "Engine", lambda: None)
    answer = info.running([], [], False, "/state")
    assert abs(moment(answer["now"]) - time.time()) < 10
