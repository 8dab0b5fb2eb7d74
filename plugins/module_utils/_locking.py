# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks of the kernel (flock): held until the file is closed or its process ends, however it ends."""

from __future__ import annotations

import fcntl
import time


def lock(file):
    """Take the lock of an open file, however long that takes."""
    fcntl.flock(file, fcntl.LOCK_EX)


def try_lock(file):
    """Take the lock, or return False if another process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(file, timeout, pause, clock=time):
    """Try every `pause` seconds to take the lock, or return False after `timeout` seconds."""
    limit = clock.monotonic() + timeout
    while not try_lock(file):
        if clock.monotonic() >= limit:
            return False
        clock.sleep(pause)
    return True
