# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fault points, for tests of the release protocol only: a run dies, or waits for harm from outside, right after a step.

Three variables of the module's environment, which nothing else reads:

- C(LITEFARM_FAULT_POINT): the step, as docs/release-protocol.md calls it, or C(<service>:<step>) where several services share an environment.
- C(LITEFARM_FAULT_ACTION): C(kill) (the default) is SIGKILL to the module itself; C(wait) stops there until the file is removed.
- C(LITEFARM_FAULT_FILE): the file in which C(wait) says that it is there.
"""

from __future__ import annotations

import functools
import os
import signal
import time

LONGEST_WAIT = 240  # seconds
PAUSE = 0.02  # seconds


def reached(step, service=""):
    """A step is done. Nothing happens, unless the environment names it."""
    wanted = os.environ.get("LITEFARM_FAULT_POINT")
    if not wanted or wanted not in (step, "%s:%s" % (service, step)):
        return
    action = os.environ.get("LITEFARM_FAULT_ACTION", "kill")
    if action == "wait":
        _wait(step, os.environ["LITEFARM_FAULT_FILE"])
    elif action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        raise ValueError("LITEFARM_FAULT_ACTION is '%s': it must be kill or wait." % action)


def of(service):
    """The same for one service among several."""
    return functools.partial(reached, service=service)


def _wait(step, path):
    # Whoever looks for the file must never find it empty.
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(step)
    os.replace(path + ".new", path)
    limit = time.monotonic() + LONGEST_WAIT
    while os.path.exists(path) and time.monotonic() < limit:
        time.sleep(PAUSE)
