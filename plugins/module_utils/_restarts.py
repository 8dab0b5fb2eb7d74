# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How often the engine has restarted a container lately.

The engine counts restarts, but keeps the time of the last start only, and its events in memory, 256 of all kinds. The journal keeps
every start and end: systemd's of the container's scope, dockerd's of its task, and the kernel's of what it killed for want of memory.
"""

from __future__ import annotations

import json
import subprocess

TIMEOUT = 10  # seconds
# systemd's "Started …", in any language and version.
STARTED = "39f53479d3a045ac8e11786248231fbf"
TASK_ENDED, MEMORY_RAN_OUT = "topic=/tasks/delete", "oom-kill:"


def recent(container_id, restarts):
    """Restarts of the last hour, and how often memory ran out. Of a container that was never restarted nothing is asked; null: not known."""
    if not restarts:
        return {"restarts_last_hour": 0, "out_of_memory": 0}
    scope = "docker-%s.scope" % container_id
    command = ["journalctl", "--quiet", "--no-pager", "--output=json", "--output-fields=MESSAGE,UNIT", "--since=-1h"]
    # What is within one group has to be so together; groups are alternatives.
    command += ["UNIT=%s" % scope, "MESSAGE_ID=%s" % STARTED, "+", "_SYSTEMD_UNIT=docker.service", "+", "_TRANSPORT=kernel"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {"restarts_last_hour": None, "out_of_memory": 0}
    if done.returncode:
        return {"restarts_last_hour": None, "out_of_memory": 0}
    return counted(done.stdout.splitlines(), container_id, scope, restarts)


def counted(lines, container_id, scope, restarts):
    starts = ends = out_of_memory = 0
    for line in lines:
        entry = json.loads(line) if container_id in line else {}
        message = entry.get("MESSAGE") or ""
        # A message that is no text comes as a list of numbers.
        if not isinstance(message, str):
            continue
        starts += entry.get("UNIT") == scope
        ends += TASK_ENDED in message and container_id in message
        out_of_memory += MEMORY_RAN_OUT in message and container_id in message
    found = max(starts, ends)
    # What a person or a release started is in the journal, too, but the engine does not count it.
    return {"restarts_last_hour": min(found, restarts) if found else 0, "out_of_memory": out_of_memory}


def cure(name, out_of_memory, variable):
    """What to do about restarts, in half a sentence."""
    if out_of_memory:
        return "memory ran out %s, raise %s" % ("once" if out_of_memory == 1 else "%d times" % out_of_memory, variable)
    return "docker logs --since 1h %s says why" % name


def memory_variable(service):
    return "%s_memory_mb" % service
