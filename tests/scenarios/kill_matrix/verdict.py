# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cell promises, compared with what it saw; and the same as a page for people."""

from __future__ import annotations

from . import cells
from .cells import Row
from .matrix import Seen, evidence

ENGINE, REBOOT = (cells.RESTARTED, cells.KILLED), (cells.REBOOTED, cells.CUT)
# Seconds. While a starting engine writes its rules anew, published ports refuse connections: half a second on an idle machine.
ENGINE_OUTAGE = 3.0


def problems(row: Row, kind: str, seen: Seen) -> list[str]:
    """What is not as it should be, in sentences."""
    if not seen.reached:
        return [f"The step {row['step']} was never reached: {(seen.alone or {}).get('msg') or 'the module said nothing'}"]
    return [*_left(row, kind, seen), *_served(row, kind, seen), *_requests(row, kind, seen), *_next_run(row, kind, seen), *_end(row, kind, seen)]


def allowed(row: Row, kind: str) -> set[str]:
    """Who may serve after the harm."""
    if kind in REBOOT:
        return {row["after a reboot"]}
    if kind == cells.MODULE:
        return {row["serves"]}
    # The engine starts what has the policy "always" whenever it starts itself.
    return {row["serves"]} if row["serves"] != "nobody" else {"nobody", row["after a reboot"]}


def _left(row: Row, kind: str, seen: Seen) -> list[str]:
    """What the step left is what the protocol says."""
    columns = ("current", "next", "previous", "upstream") if kind in (cells.CONTROLLER, cells.MODULE) or row.update == "rolling" else ("previous", "upstream")
    if kind in REBOOT:
        columns = ("previous", "upstream")
    found = seen.evidence()
    left = seen.before or {}
    if left.get("paused") and not left.get("due"):
        return ["It is paused, and the droplet does not know that after_start is due."]
    return [f"{column} is '{found[column]}', and the protocol says '{row[column]}'." for column in columns if found[column] != row[column]]


def _served(row: Row, kind: str, seen: Seen) -> list[str]:
    if seen.serves and set(seen.serves) <= allowed(row, kind):
        return []
    return [f"{' and '.join(seen.serves) or 'nobody'} served after the harm, and the protocol says {' or '.join(sorted(allowed(row, kind)))}."]


def _requests(row: Row, kind: str, seen: Seen) -> list[str]:
    """A rolling service drops nothing when the machinery dies that releases it. What dies with the droplet or the engine is bounded."""
    strangers = {seen.role(answer.version) for answer in seen.during if not answer.error} - {"old", "new"}
    found = [f"{' and '.join(sorted(strangers))} answered."] if strangers else []
    if row.update == "rolling" and kind in (cells.CONTROLLER, cells.MODULE) and seen.failures:
        when = ", ".join(f"{answer.error} after {answer.began - seen.during[0].began:.1f} s ({answer.ended - answer.began:.1f} s long)" for answer in seen.failures[:3])
        found.append(f"{len(seen.failures)} of {len(seen.during)} requests failed: {when}; the next run began after {seen.next_began:.1f} s.")
    if row.update == "rolling" and kind in ENGINE and seen.outage > ENGINE_OUTAGE:
        found.append(f"Nobody answered for {seen.outage:.1f} s, and {ENGINE_OUTAGE:g} s are allowed.")
    return found


def _next_run(row: Row, kind: str, seen: Seen) -> list[str]:
    result = seen.next_run
    if result is None:
        return ["The next run said nothing."]
    if row.bad:
        return [] if result["failed"] else ["The next run took the bad release."]
    if result["failed"]:
        return [f"The next run failed: {result['msg']}"]
    # Only a module that was killed leaves exactly what its row says; all others went on, or came back in other states.
    if kind != cells.MODULE:
        return []
    what = continued(seen)
    return [f"The next run {what}, and the protocol says '{row['next run']}'."] if what != row["next run"] else []


def continued(seen: Seen) -> str:
    """What the next run did, in the words of the protocol."""
    left = {one["id"] for one in (seen.before or {"containers": []})["containers"] if seen.role(one["version"]) == "new"}
    now = {one["id"] for one in seen.after["containers"] if seen.role(one["version"]) == "new"}
    if not seen.next_run["changed"]:
        return "nothing"
    return "resumes" if left & now else "starts over"


def _end(row: Row, kind: str, seen: Seen) -> list[str]:
    """One release serves, one is retained, and nothing else is left."""
    serving, retained = ("old", "older") if row.bad else ("new", "old")
    if not seen.after:
        return ["Nothing is left of the service."]
    # After "name" the next run leaves the pruning to the next release.
    unpruned = kind in (cells.MODULE, *REBOOT) and row["next run"] == "nothing"
    found, expected = evidence(seen, seen.after), {
        "current": f"{serving} running unless-stopped",
        "next": "-",
        "previous": row["previous"] if unpruned else retained,
        "upstream": serving if row.update == "rolling" else "-",
    }  # fmt: skip
    wrong = [f"In the end {column} is '{found[column]}' instead of '{text}'." for column, text in expected.items() if found[column] != text]
    if seen.last != [serving]:
        wrong.append(f"In the end {' and '.join(seen.last) or 'nobody'} answers instead of {serving}.")
    if seen.after["paused"] or seen.after["due"]:
        wrong.append("In the end it is still paused, or after_start is due.")
    if seen.after["init_commands"]:
        wrong.append(f"Init commands are left: {seen.after['init_commands']}.")
    specs = {one["spec"] for one in seen.after["containers"]}
    if set(seen.after["with_secrets"]) - specs:
        wrong.append(f"Files of releases that are gone are left: {sorted(set(seen.after['with_secrets']) - specs)}.")
    return wrong


# -- the page ------------------------------------------------------------------------------------------------------------------

HEAD = """# The kill matrix

Written by `tests/scenarios/kill_matrix`, which does what it says: on a droplet of the lab every step of [the protocol](release-protocol.md) is reached by a
real release behind the droplet's own nginx, while users ask; then the controller (`ansible-playbook` and its connections) or the module on the
droplet is killed, dockerd is restarted or killed, the droplet is rebooted or loses its power; then the same release is run again.

A cell says who answered between the harm and the next run; how many requests failed from the first run's begin to the second one's end, and for how long
at most nobody answered; and what the next run did. Tables with "undo" are about a release that turned bad when it served, so there the next run refuses it again,
and the old one serves. A killed controller leaves a module that goes on by itself, which the next run waits for. A droplet that is down answers nobody.
"""


def page(matrix: dict[str, dict[Row, Seen]]) -> str:
    """docs/kill-matrix.md."""
    text = [HEAD]
    rows = list(next(iter(matrix.values())))
    for table in cells.TABLES:
        text.append(f"\n## {table.capitalize()}\n\n| step | {' | '.join(cells.KINDS[kind] for kind in matrix)} |\n|---|{'---|' * len(matrix)}\n")
        text += [f"| {row['step']} | {' | '.join(_cell(row, kind, matrix[kind][row]) for kind in matrix)} |\n" for row in rows if row.table == table]
    return "".join(text)


def _cell(row: Row, kind: str, seen: Seen) -> str:
    found = problems(row, kind, seen)
    if found:
        return f"**wrong**: {found[0]}"
    failed = f"{len(seen.failures)} of {len(seen.during)} failed" + (f", {seen.outage:.1f} s" if seen.failures else "")
    return f"{', '.join(seen.serves)}; {failed}; {_did(row, seen)}"


def _did(row: Row, seen: Seen) -> str:
    if row.bad:
        return "refuses it, old serves"
    what = continued(seen)
    return {"nothing": "nothing to do, new serves", "resumes": "resumes, new serves", "starts over": "starts over, new serves"}[what]
