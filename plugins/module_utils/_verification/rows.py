# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Expectations and what was seen, as rows of one table."""

from __future__ import annotations

import socket
import ssl


def row(check, where, expected, seen, good):
    return {"check": check, "where": where, "expected": expected, "seen": seen, "result": "ok" if good else "FAIL"}


def warning(check, where, expected, seen):
    return dict(row(check, where, expected, seen, True), result="WARN")


def during_maintenance(rows):
    """The rows of an environment: what answers 503 because of maintenance is a warning, and only the maintenance itself has failed."""
    names = {name for each in rows for name in each.get("closed") or []}
    return [dict(each, seen="%s (maintenance)" % each["seen"], result="WARN") if _is_closed(each, names) else each for each in rows]


def _is_closed(each, names):
    said = "%s %s" % (each["where"], each["seen"])
    ours = any("://%s" % name in said for name in names) or bool(names) and each["seen"].startswith("the API: 503")
    return ours and each["result"] == "FAIL" and "503" in each["seen"]


def reason_of(error):
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate not trusted: %s" % error.verify_message
    if isinstance(error, (TimeoutError, socket.timeout)):
        return "no answer"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def duration(seconds):
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return "%d %s" % (seconds // size, unit)
    return "%d s" % seconds


def days(seconds):
    """Time left in whole days, or in hours where few are left."""
    return "%d days" % (seconds // 86400) if seconds >= 2 * 86400 else "%d h" % (max(0, seconds) // 3600)


def shortened(text, length):
    """One line, as the table needs it."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else "%s…" % line[: length - 1]
