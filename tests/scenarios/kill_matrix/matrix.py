# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All cells of one kind of harm at once: every service waits at its own step, then one harm meets them all, then one run follows."""

from __future__ import annotations

import dataclasses
import time

from . import cells
from .droplet import AT_ONCE, Droplet, Run
from .users import Answer, Users

# A bad release answers its probes well so often before it turns bad at the first request: long enough to be switched to.
WELL = "2"


@dataclasses.dataclass
class Seen:
    """What one cell saw.

    Attributes:
        versions: role (older, old, new) to its version.
        before: the service when its step had been reached and the harm had been done, before anybody went on. None if not looked at.
        after: the service at the end.
        serves: who answered between harm and going on, in the order of appearance (old, new, nobody).
        during: the answers from the beginning of the release until everything was over.
        outage: the longest time, in seconds, in which nobody answered.
        next_began: seconds from the beginning to the next run.
        served_next: who answered while the next run worked.
        alone: what the interrupted run said in the end, if it could go on.
        next_run: what the next run said.
        last: who answers at the end.
    """

    versions: dict[str, str]
    reached: bool = True
    before: dict | None = None
    after: dict | None = None
    serves: list[str] = dataclasses.field(default_factory=list)
    during: list[Answer] = dataclasses.field(default_factory=list)
    outage: float = 0.0
    next_began: float = 0.0
    served_next: list[str] = dataclasses.field(default_factory=list)
    alone: dict | None = None
    next_run: dict | None = None
    last: list[str] = dataclasses.field(default_factory=list)

    def role(self, version: str | None) -> str:
        return next((role for role, known in self.versions.items() if known == version), f"version {version}") if version else "nobody"

    def roles(self, answers: list[Answer]) -> list[str]:
        """Who answered, each once, in the order of appearance."""
        return list(dict.fromkeys(self.role(answer.version) for answer in answers))

    @property
    def failures(self) -> list[Answer]:
        return [answer for answer in self.during if answer.error]

    def evidence(self) -> dict[str, str]:
        """What stands in a row of the protocol."""
        return evidence(self, self.before or {"containers": [], "upstream": []})


def evidence(seen: Seen, found: dict) -> dict[str, str]:
    """The service in the words of the protocol's tables."""
    by_name = {one["name"].partition(".")[2].partition(".")[0]: one for one in found["containers"]}
    previous = sorted((one for one in found["containers"] if ".previous." in one["name"]), key=lambda one: one["number"])
    by_port = {one["port"]: seen.role(one["version"]) for one in found["containers"] if one not in previous or one["state"] == "running"}

    def shown(one):
        return f"{seen.role(one['version'])} {one['state']} {one['policy']}" if one else "-"

    return {
        "current": shown(by_name.get("")),
        "next": shown(by_name.get("next")),
        "previous": ", ".join(seen.role(one["version"]) for one in previous) or "-",
        "upstream": ", else ".join(by_port.get(port, "nobody") for port in found["upstream"]) or "-",
    }


class Matrix:
    """The services of all rows on one droplet, and what became of them under each kind of harm."""

    def __init__(self, droplet: Droplet, rows: list[cells.Row]):
        self.droplet = droplet
        self.rows = rows
        self.seen: dict[str, dict[cells.Row, Seen]] = {}
        self.seconds: dict[str, float] = {}
        self._broken: dict[str, str] = {}
        self._version = 0
        self._now: dict[cells.Row, tuple[str, str]] = {}
        self._prepared = False

    def of(self, kind: str) -> dict[cells.Row, Seen]:
        """The cells of a kind; the harm is done when the first of them is asked for."""
        if kind in self._broken:
            raise RuntimeError(f"The harm '{kind}' could not be done: {self._broken[kind]}")
        if kind not in self.seen:
            began = time.monotonic()
            try:
                self._bring_to_old()
                with Users(self.droplet.address, [row.service for row in self.rows]) as users:
                    self.seen[kind] = self._harm(kind, users)
            except Exception as error:
                # Once for all cells: each of them would try it again.
                self._broken[kind] = str(error)
                raise
            self.seconds[kind] = time.monotonic() - began
        return self.seen[kind]

    # -- the beginning ---------------------------------------------------------------------------------------------------------

    def _next_version(self) -> str:
        self._version += 1
        return str(self._version)

    def _bring_to_old(self) -> None:
        """`old` serves and `older` is retained. A cell that ended well left just that."""
        if not self._prepared:
            self.droplet.prepare(self.rows)
            self._prepared = True
        found = self.droplet.look()
        wrong = [row for row in self.rows if not self._stands(row, found.get(row.service))]
        if not wrong:
            return
        older, old = self._next_version(), self._next_version()
        self.droplet.release({row: {"VERSION": "0"} for row in wrong}, state="absent").wait()
        for version in (older, old):
            run = self.droplet.release({row: {"VERSION": version} for row in wrong})
            run.wait()
            failed = {service: result["msg"] for service, result in run.results().items() if result["failed"]}
            if failed or run.process.returncode:
                raise RuntimeError(f"The matrix has nothing to begin with: {failed or run.log.read_text()[-4000:]}")
        self._now.update(dict.fromkeys(wrong, (older, old)))

    def _stands(self, row: cells.Row, found: dict | None) -> bool:
        """Whether the service stands where a cell begins. What the next release would prune is pruned here."""
        if row not in self._now or not found:
            return False
        older, old = self._now[row]
        for one in list(found["containers"]):
            if ".previous." in one["name"] and one["version"] not in (older, old):
                self.droplet.run("docker", "rm", one["id"])
                found["containers"].remove(one)
        seen = Seen({"older": older, "old": old})
        first = cells.rows()[0] if row.update == "rolling" else next(row for row in self.rows if row.update == "recreate")
        return evidence(seen, found) == {column: first[column] for column in ("current", "next", "previous", "upstream")}

    # -- the harm --------------------------------------------------------------------------------------------------------------

    def _harm(self, kind: str, users: Users) -> dict[cells.Row, Seen]:
        new = self._next_version()
        declared = {row: {"VERSION": new, **({"BAD": WELL} if row.bad else {})} for row in self.rows}
        seen = {row: Seen(dict(zip(("older", "old"), self._now[row], strict=True), new=new)) for row in self.rows}
        time.sleep(1)
        began = time.monotonic()
        runs = []
        for wave in waves(self.rows) if kind == cells.MODULE else parts_of(waves(self.rows), AT_ONCE):
            run = self.droplet.release({row: declared[row] for row in wave}, fault="kill" if kind == cells.MODULE else "wait")
            runs.append(run)
            if kind == cells.MODULE:
                run.wait()
                late = set(run.results())
            else:
                late = self.droplet.wait_for_steps(wave, run)
            for row in wave:
                seen[row].reached = row.service not in late
        went_on, harmed = self._do(kind, runs, users, seen)
        following = self.droplet.release(declared)
        following.wait()
        over = time.monotonic()
        time.sleep(1)
        end = time.monotonic()
        self._gather(seen, users, (began, harmed, went_on, over, end), runs, following)
        return seen

    def _do(self, kind: str, runs: list[Run], users: Users, seen: dict[cells.Row, Seen]) -> tuple[float, float]:
        """Does the harm and looks at what it left; when the modules that live on went on, and from when on the harm was done."""
        if kind == cells.CONTROLLER:
            killed = kill(runs)
            # The main process, and for each service at least its worker and its connection.
            if killed < len(runs) + 2 * sum(one.reached for one in seen.values()):
                raise RuntimeError(f"Only {killed} processes of {len(runs)} controllers were there to be killed.")
        elif kind == cells.RESTARTED:
            self.droplet.restart_engine()
        elif kind == cells.KILLED:
            self.droplet.kill_engine()
        elif kind in (cells.REBOOTED, cells.CUT):
            (self.droplet.reboot if kind == cells.REBOOTED else self.droplet.cut_power)()
            kill(runs)
            # Whoever starts by himself has done so when nothing has changed for some seconds.
            self._wait_until_quiet(users)
        harmed = time.monotonic()
        time.sleep(1.5)
        found = self.droplet.look()
        for row in self.rows:
            seen[row].before = found.get(row.service)
        went_on = time.monotonic()
        self.droplet.go_on()
        if kind in (cells.RESTARTED, cells.KILLED):
            for run in runs:
                run.wait()
        return went_on, harmed

    def _wait_until_quiet(self, users: Users, seconds: float = 3.0, longest: float = 60.0) -> None:
        deadline = time.monotonic() + longest
        before, since = None, time.monotonic()
        while time.monotonic() < deadline and time.monotonic() - since < seconds:
            time.sleep(0.3)
            now = time.monotonic()
            serving = {row: [answer.version for answer in users.between(row.service, now - 2, now)][-1:] for row in self.rows}
            if serving != before:
                before, since = serving, now

    def _gather(self, seen: dict[cells.Row, Seen], users: Users, times: tuple, runs: list[Run], following: Run) -> None:
        began, harmed, went_on, over, end = times
        found, next_run = self.droplet.look(), following.results()
        alone = {service: result for run in runs for service, result in run.results().items()}
        for row, one in seen.items():
            one.during = users.between(row.service, began, end)
            one.serves = one.roles(users.between(row.service, harmed, went_on))
            one.served_next = one.roles(users.between(row.service, went_on, over))
            one.last = one.roles(users.between(row.service, over, end))
            one.outage, one.next_began = outage(one.during), went_on - began
            one.alone, one.next_run, one.after = alone.get(row.service), next_run.get(row.service), found.get(row.service)
            older, old = self._now[row]
            self._now[row] = (older, old) if row.bad else (old, one.versions["new"])


def waves(rows: list[cells.Row]) -> list[list[cells.Row]]:
    """Who releases at the same time. All services share one nginx, and the reload of one makes the upstream files of all effective.

    So who waits where nginx has not been reloaded yet comes last, and among these first the undone ones, which have reloaded it once before.
    """
    unread = [row for row in rows if row.update == "rolling" and row["upstream"].split(",")[0] != row["serves"]]
    parts = [[row for row in rows if row not in unread], [row for row in unread if row.bad], [row for row in unread if not row.bad]]
    return [part for part in parts if part]


def parts_of(groups: list[list[cells.Row]], size: int) -> list[list[cells.Row]]:
    return [group[begin : begin + size] for group in groups for begin in range(0, len(group), size)]


def kill(runs: list[Run]) -> int:
    """How many processes were killed."""
    return sum(run.kill() for run in runs)


def outage(answers: list[Answer]) -> float:
    """The longest time, in seconds, in which nobody answered."""
    longest, since = 0.0, None
    for answer in answers:
        if answer.error is None:
            since = None
            continue
        since = answer.began if since is None else since
        longest = max(longest, answer.ended - since)
    return longest
