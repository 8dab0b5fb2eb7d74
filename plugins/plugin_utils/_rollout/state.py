# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollout has reached, has to take back, and has come to: all of it concluded from the journal of its run.

docs/release-protocol.md, "Several droplets", is the table of which this is the program.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from .journal import ALL_STAGED, COMMIT, FAILED, LIST, LOCK_LOST, MIGRATE, PLAN, REVERT, STAGE, Event
from .migrations import OLDER_THAN_DATABASE, OLDER_THAN_DATABASE_MEANS, Listed, listed

OK, PARTIAL, FAILED_RESULT = "ok", "partial", "failed"
# Phases of a release that a run has brought to a droplet, and that is not committed yet.
BEGUN = ("staged", "switched")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run is going to do. Everything in it is known when the lock has been taken.

    Attributes:
        kind: `deploy`, `site`, `rollback` or `restore`.
        release: `version` and `commit` of the release.
        images: service to the reference of its image.
        before: `version` and `commit` of the release that the environment ran last; empty strings if there is none.
        hosts: the droplets of the run, in their order.
        pending: migrations that the database lacks, in their order.
        leftovers: droplet to service to the image that an interrupted run has left there and the environment did not run last.
        behind: droplets that have services of the release and are not part of the run, with the release on which they stay.
    """

    kind: str
    release: dict[str, str]
    images: dict[str, str]
    before: dict[str, str]
    hosts: tuple[str, ...]
    pending: tuple[str, ...] = ()
    leftovers: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    behind: dict[str, str] = dataclasses.field(default_factory=dict)

    def record(self) -> dict:
        """What the history says of the run, as far as it is intended: the plan of the lock, and the first half of the record."""
        return {"kind": self.kind, "from": self.before, "to": self.release, "images": self.images, "migrations": list(self.pending), "hosts": list(self.hosts)}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run has come to.

    Attributes:
        result: `ok`, `partial` or `failed`.
        reasons: why it failed, one sentence each; what stays behind, if it is partial.
        services: the services that were replaced, in the order of the release.
        migrations: those that ran or may have run.
        not_reverted: droplet to why it could not go back.
        noteworthy: whether the history gets a record of it.
        notes: what a person should know besides, one sentence each.
    """

    result: str
    reasons: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    migrations: tuple[str, ...] = ()
    not_reverted: dict[str, str] = dataclasses.field(default_factory=dict)
    noteworthy: bool = False
    notes: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        return "; ".join(self.reasons + self.notes)


class Rollout:
    """A run, as far as its journal goes."""

    def __init__(self, events: Iterable[Event]):
        self.events = list(events)
        plans = self._of(PLAN)
        self.plan = Plan(**{key: tuple(value) if isinstance(value, list) else value for key, value in plans[-1].details.items()}) if plans else None

    def _of(self, *steps: str, host: str | None = None) -> list[Event]:
        return [event for event in self.events if event.step in steps and host in (None, event.host)]

    # -- what was reached --------------------------------------------------------------------------------------------------------------

    def staged(self, host: str) -> dict[str, str]:
        """Service to the hash of the declaration that this run has staged on a droplet, in the order of staging."""
        found = {}
        for event in self._of(STAGE, host=host):
            found.update({service: spec for service, spec in event.services.items() if event.details[service]["phase"] in BEGUN})
        return found

    def hosts_with_releases(self) -> list[str]:
        return [host for host in self.plan.hosts if self.staged(host)] if self.plan else []

    def services(self) -> list[str]:
        """Services that this run replaces on any droplet."""
        found = {service for host in self.hosts_with_releases() for service in self.staged(host)}
        return [service for service in self.plan.images if service in found] if self.plan else []

    def unstaged(self, groups: dict[str, list[str]]) -> list[str]:
        """Droplets of the run of which a service was neither staged nor found in place: they must not be left out silently.

        Args:
            groups: service to the droplets of the environment that have it.
        """
        lacking = []
        for host in self.plan.hosts:
            seen = {service for event in self._of(STAGE, host=host) for service in event.services}
            if any(host in groups.get(service, []) and service not in seen for service in self.plan.images):
                lacking.append(host)
        return lacking

    def listed(self) -> Listed | None:
        """What the database has had done to it and lacks, as it was asked last; None if it was not asked or did not say."""
        events = [event for event in self._of(LIST) if event.ok]
        return listed(events[-1].details["output"]) if events else None

    def migrations(self) -> tuple[str, ...]:
        """The migrations that this run has run. Where nobody could ask afterwards, those that it may have run."""
        begun = self._of(MIGRATE)
        if not begun or self.plan is None:
            return ()
        if begun[-1].ok:
            return self.plan.pending
        after = [event for event in self.events[self.events.index(begun[-1]) :] if event.step == LIST and event.ok]
        left = listed(after[-1].details["output"]).pending if after else ()
        return tuple(each for each in self.plan.pending if each not in left)

    # -- going back --------------------------------------------------------------------------------------------------------------------

    @property
    def lock_lost(self) -> bool:
        return bool(self._of(LOCK_LOST))

    def to_revert(self, host: str) -> dict[str, str]:
        """Service to the hash of the declaration that must not run on a droplet any more: what this run has brought there, and what the interrupted
        run left that it resumes. What neither has touched stays as it is."""
        if self.plan is None or self.lock_lost:
            return {}
        leftovers = self.plan.leftovers.get(host, {})
        found = {}
        for event in self._of(STAGE, host=host):
            for service, spec in event.services.items():
                seen = event.details[service]
                if seen["phase"] in BEGUN or (seen["phase"] == "current" and leftovers.get(service) == seen["image"]):
                    found[service] = spec
        return found

    def not_reverted(self) -> dict[str, str]:
        """Droplet to why it could not go back."""
        found = {}
        for host in self.plan.hosts if self.plan else ():
            events = self._of(REVERT, host=host)
            if events and not events[-1].ok:
                found[host] = first_line(events[-1].error)
            elif not events and self.to_revert(host):
                found[host] = "it could not be asked"
        return found

    # -- the outcome -------------------------------------------------------------------------------------------------------------------

    def succeeded(self) -> bool:
        """Only what is known to be in place counts: every droplet has staged its services or had them, has committed what it staged, and nothing
        failed."""
        if self.plan is None or not self._of(ALL_STAGED) or any(not event.ok for event in self.events) or self._of(REVERT):
            return False
        return all(set(self.staged(host)) <= self._committed(host) for host in self.plan.hosts)

    def _committed(self, host: str) -> set[str]:
        return {service for event in self._of(COMMIT, host=host) if event.ok for service in event.services}

    def notes(self) -> tuple[str, ...]:
        """The first sentence of each."""
        found = [note.partition(". ")[0].rstrip(".") for event in self.events for note in event.details.get("notes", [])]
        return tuple(dict.fromkeys(found))

    def outcome(self) -> Outcome:
        replaced = tuple(self.services())
        if self.succeeded():
            behind = self.plan.behind
            moved = self.plan.before.get("commit") != self.plan.release["commit"]
            reasons = tuple("%s stays on %s" % each for each in behind.items())
            return Outcome(PARTIAL if behind else OK, reasons, replaced, self.migrations(), noteworthy=bool(replaced) or moved, notes=self.notes())
        stuck = self.not_reverted()
        reasons = ["%s could not go back (%s)" % each for each in stuck.items()]
        if self.lock_lost:
            reasons.append("this run lost the deploy lock, so it changed nothing more and left what it had begun; see playbooks/status.yml")
        reasons += self.reasons()
        # Every droplet that is still part of the run has been asked to go back.
        asked = {event.host for event in self._of(REVERT)}
        reasons += ["%s could not be reached" % host for host in (self.plan.hosts if self.plan else ()) if host not in asked and host not in stuck]
        why = tuple(dict.fromkeys(reasons)) or ("it did not come to its end",)
        return Outcome(FAILED_RESULT, why, replaced, self.migrations(), stuck, noteworthy=self.plan is not None, notes=self.notes())

    def reasons(self) -> list[str]:
        """Why it failed: the first line of each error, once. What failed for want of something else is told only if that is not known."""
        errors = [event for event in self.events if not event.ok and event.step not in (REVERT, LOCK_LOST)]
        errors = [event for event in errors if event.step != FAILED] or errors
        found = [OLDER_THAN_DATABASE_MEANS if OLDER_THAN_DATABASE in event.error else first_line(event.error) for event in errors]
        return list(dict.fromkeys(found))


def given_up(task_vars: dict) -> list[str]:
    """Droplets of the play that Ansible goes on without: unreachable ones, and failed ones that nothing has rescued."""
    return [host for host in task_vars["ansible_play_hosts_all"] if host not in task_vars["ansible_play_hosts"]]


def first_line(text: str) -> str:
    return (text or "it failed").strip().partition("\n")[0].rstrip(".")
