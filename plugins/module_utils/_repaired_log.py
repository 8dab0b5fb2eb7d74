# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies of damaged logs that Redis' container has repaired at a start (start.sh of the role redis). A person who needs none removes it."""

from __future__ import annotations

import calendar
import os
import re
import time

from ._verification.rows import duration

NAME = re.compile(r"^([0-9]{8}T[0-9]{6}Z)-([0-9]+)-bytes\.aof$")


def look(folder, now=None):
    """Repairs, the oldest first: C(path) of the copy, C(bytes) that were cut, and their C(age) in seconds."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    found = []
    for match in filter(None, map(NAME.match, names)):
        try:
            moment = calendar.timegm(time.strptime(match[1], "%Y%m%dT%H%M%SZ"))
        except ValueError:
            continue
        age = max(0, int((time.time() if now is None else now) - moment))
        found.append({"path": os.path.join(folder, match[0]), "bytes": int(match[2]), "age": age})
    return found


def words(repairs):
    """What was done, and what a person does about it."""
    each = ("%d damaged bytes were cut from the end of its log %s ago (copy: %s)" % (it["bytes"], duration(it["age"]), it["path"]) for it in repairs)
    return "%s; remove the copy when nobody needs it" % ", ".join(each)
