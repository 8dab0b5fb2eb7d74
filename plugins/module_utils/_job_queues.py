# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs that have failed, and queues that are paused, as a program in a service's container reports them."""

from __future__ import annotations

import json

from ._container_service.engine import Engine
from ._container_service.model import ServiceError
from ._verification.rows import duration, shortened

TIMEOUT = 20  # seconds
RESUME = "if no run is at work, resume them: maintenance.yml -e litefarm_state=off"
TAKE = "the export scheduler takes none, so restart it there: sudo docker restart export_scheduler"
LIST = "sudo litefarm-queues failed lists them"


def ask(service, command, stdin, engine=None):
    """What the program reports on the droplet, or C(problem) in a sentence."""
    engine = engine or Engine()
    try:
        running = [container for container in engine.containers(service) if container.running]
        if not running:
            return {"problem": "its container does not run"}
        code, said, errors = engine.execute(running[0].id, command, TIMEOUT, None, stdin)
    except ServiceError as error:
        return {"problem": error.message}
    lines = [line for line in (said or errors).splitlines() if line.strip()] or ["the command ended with exit code %d" % code]
    if code:
        return {"problem": shortened(lines[-1], 200)}
    try:
        return dict(json.loads(lines[-1]), problem="")
    except ValueError:
        return {"problem": "it says %s" % shortened(lines[-1], 200)}


def failed_lately(found):
    return sum(queue["failed_last_day"] for queue in found["queues"].values())


def failed(found):
    """How many jobs have failed, in half a sentence."""
    queues, oldest = found["queues"], found["oldest"]
    total = sum(queue["failed"] for queue in queues.values())
    if not total:
        return "none"
    parts = ["%d in 24 h%s" % (failed_lately(found), _by_queue(queues, "failed_last_day")), "%d in all%s" % (total, _by_queue(queues, "failed"))]
    if oldest:
        parts.append("the oldest %s old (%s %s: %s)" % (duration(oldest["age"]), oldest["queue"].strip(), oldest["id"], shortened(oldest["reason"], 120)))
    return ", ".join(parts)


def _by_queue(queues, key):
    counted = ["%s %d" % (name.strip(), queue[key]) for name, queue in queues.items() if queue[key]]
    return " (%s)" % ", ".join(counted) if counted else ""


def paused(found):
    """Which queues a release has paused, in half a sentence; empty if it has paused none."""
    names = [name.strip() for name, queue in found["queues"].items() if queue["paused_by"] == "a release"]
    return "paused by a release: %s" % ", ".join(names) if names else ""


def untaken(found):
    """In which queues jobs wait that nobody takes, in half a sentence; empty if there are none."""
    # Of an earlier version's program there is no such number.
    waits = {name.strip(): queue for name, queue in found["queues"].items() if queue.get("untaken")}
    parts = ["%s %d" % (name, queue["waiting"]) for name, queue in waits.items()]
    return "%s, the oldest for %s" % (", ".join(parts), duration(max(queue["untaken"] for queue in waits.values()))) if parts else ""
