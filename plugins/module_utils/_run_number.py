# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The highest number of a run that has changed this droplet: a run with a lower one has lost the deploy lock and changes nothing."""

from __future__ import annotations

import os

from ._atomic_files import write_atomically
from ._locking import lock

PATH = "/var/lib/litefarm/run_number"
OPTION = dict(run_number=dict(type="int", default=0))


class RunRefused(Exception):
    """What a person reads: the run is older than what this droplet has seen, or that cannot be known."""


def seen(path=None):
    """The highest number so far."""
    path = path or PATH
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read().strip()
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    # isdigit() alone accepts digits that int() does not.
    if not (text.isascii() and text.isdigit()):
        raise unreadable(path, "it is empty or full of zeroes" if not text.strip("\0") else "it says '%s'" % text[:40])
    return int(text)


def unreadable(path, reason):
    return RunRefused(
        "%s does not hold the number of a run (%s): nothing was changed here. "
        "Make sure with playbooks/status.yml that no run is under way, delete the file, then run again." % (path, reason)
    )


def require(number, check_mode=False):
    """Refuse a run that is older than another that was here, and write a newer one down. 0 is a run without a number: nothing is checked."""
    if not number:
        return
    if number > seen() and not check_mode:
        advance(number)
    highest = seen()
    if number < highest:
        raise RunRefused(
            "A newer run (number %d) has changed this droplet, or run %d was ended with unlock.yml: nothing was changed here. "
            "See playbooks/status.yml, then run again." % (highest, number)
        )


def refuse(number, check_mode=False, path=None):
    """From now on this run and older ones are refused; returns whether this one was not before."""
    news = seen(path) <= number
    if news and not check_mode:
        advance(number + 1, path)
    return news


def advance(number, path=None):
    """Write down a number, unless a higher one has been written meanwhile. Either the old number or the new one is on the disk."""
    path = path or PATH
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        descriptor = os.open(path + ".lock", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            lock(descriptor)
            if number > seen(path):
                write_atomically(path, "%d\n" % number, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        message = "The number of this run cannot be written to %s (%s): nothing was changed here." % (path, error.strerror or error)
        raise RunRefused(message) from error
