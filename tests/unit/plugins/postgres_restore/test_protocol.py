# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/restore-protocol.md, row by row: the module is killed after each step, and run again."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _postgres_restore as postgres_restore
from ansible_collections.litefarm.platform.plugins.module_utils._postgres_restore import STEPS, RestoreError

from . import fakes

PAGE = pathlib.Path(__file__).resolve().parents[4] / "docs" / "restore-protocol.md"
TARGETS = ["latest", "2026-11-27 11:30:00 UTC", "before-v2"]


def rows():
    lines = PAGE.read_text().split("<!-- table: restore -->\n")[1].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


ROWS = rows()


@pytest.fixture(name="droplet")
def fixture_droplet(tmp_path):
    return fakes.Droplet(tmp_path)


def killed(droplet, step, to="latest"):
    with pytest.raises(fakes.Killed):
        droplet.restore(to, fault=step).restore()


def seen(droplet):
    """The evidence, in the words of the table."""
    server = droplet.seen.get(postgres_restore.SERVER)
    live = droplet.seen["postgres"]
    return {
        "server in place": "%s %s" % (live["state"], droplet.policies["postgres"]),
        "pgdata": droplet.content("pgdata"),
        "pgdata.restored": droplet.content("pgdata.restored"),
        "pgdata.before": droplet.before,
        "restored server": server["state"] if server else "-",
        "answers": droplet.content("pgdata") if live["state"] == "running" else "nobody",
    }


def ended(droplet):
    assert droplet.content("pgdata") == "new"
    assert droplet.before == "old"
    assert not (droplet.root / "pgdata.restored").exists()
    assert set(droplet.seen) == {"postgres"}, "no container of the restore is left"


def test_the_page_has_the_steps_of_the_module():
    assert tuple(row["step"] for row in ROWS) == STEPS


@pytest.mark.parametrize("to", TARGETS)
def test_steps_happen_in_the_order_of_the_table(droplet, to):
    plan = droplet.restore(to).restore()
    assert tuple(droplet.log) == STEPS
    assert plan["target"] == to
    ended(droplet)


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["step"])
def test_what_a_killed_run_leaves(droplet, row, to):
    killed(droplet, row["step"], to)
    droplet.seen.pop(postgres_restore.TOOL, None)
    assert seen(droplet) == {key: row[key] for key in seen(droplet)}


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["step"])
def test_the_next_run_ends_it(droplet, row, to):
    killed(droplet, row["step"], to)
    droplet.log.clear()
    again = droplet.restore(to)
    again.restore()
    expected = {"starts over": STEPS, "resumes": STEPS[STEPS.index(row["step"]) + 1 :], "nothing": ()}[row["next run"]]
    assert tuple(droplet.log) == expected
    assert again.resumed == (row["next run"] != "starts over")
    ended(droplet)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["step"])
def test_after_a_reboot(droplet, row):
    """Containers without a restart policy stay down."""
    killed(droplet, row["step"])
    for name, container in droplet.seen.items():
        container["state"] = "running" if droplet.policies[name] == "unless-stopped" else "exited"
    live = droplet.seen["postgres"]["state"] == "running"
    assert (droplet.content("pgdata") if live else "nobody") == row["after a reboot"]
    droplet.restore().restore()
    ended(droplet)


@pytest.mark.parametrize("row", ROWS[:-2], ids=lambda row: row["step"])
def test_giving_up_lets_the_old_server_answer_again(droplet, row):
    killed(droplet, row["step"])
    assert droplet.restore().abandon() is True
    assert droplet.content("pgdata") == "old" and droplet.before == "-"
    assert droplet.seen["postgres"]["state"] == "running" and droplet.policies["postgres"] == "unless-stopped"
    assert not (droplet.root / "pgdata.restored").exists() and set(droplet.seen) == {"postgres"}
    assert not droplet.restore().journal.step


def test_what_is_half_in_place_is_not_given_up(droplet):
    killed(droplet, "aside")
    with pytest.raises(RestoreError, match="run the restore again"):
        droplet.restore().abandon()


def test_what_is_in_place_is_not_touched_by_giving_up(droplet):
    killed(droplet, "swap")
    assert droplet.restore().abandon() is True
    assert droplet.content("pgdata") == "new"


@pytest.mark.parametrize("step", ["promote", "aside"])
def test_another_target_waits_for_what_is_about_to_be_in_place(droplet, step):
    killed(droplet, step)
    with pytest.raises(RestoreError, match="run again with -e \"litefarm_to='latest'\" first"):
        droplet.restore("before-v2").restore()


def test_another_target_starts_over_before_that(droplet):
    killed(droplet, "replay")
    droplet.log.clear()
    droplet.restore("before-v2").restore()
    assert tuple(droplet.log) == STEPS
    ended(droplet)


def test_a_server_that_was_started_meanwhile_has_written_more(droplet):
    killed(droplet, "replay")
    droplet.seen["postgres"]["state"] = "running"
    droplet.log.clear()
    droplet.restore().restore()
    assert tuple(droplet.log) == STEPS
    ended(droplet)


def test_a_server_that_was_promoted_before_the_journal_said_so(droplet, monkeypatch):
    """Killed within the step: it has left recovery, and cannot replay again."""
    stop = droplet.stop

    def killed_before_it_stops(name, timeout):
        if name == postgres_restore.SERVER:
            raise fakes.Killed
        stop(name, timeout)

    monkeypatch.setattr(droplet, "stop", killed_before_it_stops)
    with pytest.raises(fakes.Killed):
        droplet.restore().restore()
    monkeypatch.undo()
    # A reboot has ended it.
    droplet.seen[postgres_restore.SERVER]["state"] = "exited"
    droplet.log.clear()
    droplet.restore().restore()
    assert tuple(droplet.log) == ("promote", "aside", "swap")
    ended(droplet)


def test_between_the_two_renames(droplet, monkeypatch):
    """Killed after the first rename, and before the journal says so."""
    killed(droplet, "promote")
    before = droplet.restore().journal.data["before"]
    (droplet.root / "pgdata").rename(droplet.root / before)
    droplet.restore().restore()
    ended(droplet)


def test_an_empty_droplet(droplet):
    droplet.lose()
    plan = droplet.restore().restore()
    assert plan["cluster"] == fakes.CLUSTER and not plan["in_place"] and not plan["running"]
    assert droplet.content("pgdata") == "new" and droplet.before == "-" and not droplet.seen


def test_the_journal_is_closed_when_the_archive_knows_the_timeline(droplet):
    droplet.restore().restore()
    (droplet.root / "pgdata" / "pg_wal" / "archive_status" / "00000002.history.done").touch()
    restore = droplet.restore()
    restore.finish()
    assert restore.journal.step == "finished" and not restore.warnings
    droplet.seen["postgres"]["state"] = "running"
    droplet.log.clear()
    droplet.restore(clock=fakes.Clock(fakes.NOON + 60)).restore()
    assert tuple(droplet.log) == STEPS, "the same words later are another restore"


def test_an_archive_that_does_not_know_the_timeline_yet_is_told(droplet):
    droplet.restore().restore()
    (droplet.root / "pgdata" / "pg_wal" / "archive_status" / "00000002.history.ready").touch()
    restore = droplet.restore()
    restore.finish()
    assert "does not know the new timeline yet" in restore.warnings[0]
