# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one run has done to its droplets, written down on the control node by the tasks that did it.

Ansible's own memory of it does not suffice: a registered result outlives its pass, a droplet that becomes unreachable has none, and a task
that runs once leaves it on one droplet of many. A journal belongs to one run, and goes away with the process.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re

from ansible import constants

# Steps of events. Those of a droplet's containers are the operations of container_service and container_release.
PLAN, LIST, MIGRATE, STAGE, ALL_STAGED, COMMIT, REVERT = "plan", "list", "migrate", "stage", "all staged", "commit", "revert"
LOCK_LOST, FAILED = "lock lost", "failed"


@dataclasses.dataclass(frozen=True)
class Event:
    """One task on one droplet.

    Attributes:
        host: the droplet, as the inventory names it; empty for the run as a whole.
        step: one of the steps above, or another operation of container_release.
        ok: whether the task did what it was to do.
        error: why it did not; the first line is a sentence.
        services: service to the hash of its declaration, as far as the task was about releases.
        details: what else the step has to say: the plan, the lines that list migrations, the phase and image of each service, or C(notes),
            which are sentences for the record.
    """

    host: str
    step: str
    ok: bool = True
    error: str = ""
    services: dict[str, str] = dataclasses.field(default_factory=dict)
    details: dict = dataclasses.field(default_factory=dict)


class Journal:
    """The events of one run, oldest first.

    Args:
        run: the id of the run, which no other pass of the same process has.
        folder: a folder of this process.
    """

    def __init__(self, run: str, folder: str | None = None):
        self.path = os.path.join(folder or constants.DEFAULT_LOCAL_TMP, "rollout-%s.jsonl" % re.sub(r"[^\w-]", "_", run))

    def append(self, event: Event) -> None:
        """Write one line with one call, so that the processes of several droplets do not mix theirs."""
        line = json.dumps(dataclasses.asdict(event)) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def events(self) -> list[Event]:
        try:
            with open(self.path, encoding="utf-8") as file:
                return [Event(**json.loads(line)) for line in file]
        except FileNotFoundError:
            return []


def journal_of(task_vars: dict) -> Journal | None:
    """The journal of the run that a task belongs to, or None if it is part of none."""
    run = (task_vars.get("litefarm_release") or {}).get("run")
    return Journal(run) if run else None
