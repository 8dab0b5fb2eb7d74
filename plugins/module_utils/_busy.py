# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that is too busy to answer is asked again, after longer and longer pauses."""

from __future__ import annotations

# Seconds before each further question.
PAUSES = (0.5, 1, 2, 4)
# The most that a server may have a run wait by Retry-After.
LONGEST_PAUSE = 10
# 503 SlowDown and 429 are the object storage's own words; the others come from what stands before a busy server.
BUSY = (429, 500, 502, 503, 504)


def pause_after(status, headers, pauses):
    """Seconds until the same question is asked again, or None if this answer counts. C(pauses) is an iterator over those that are left."""
    pause = next(pauses, None) if status in BUSY else None
    return None if pause is None else max(pause, _retry_after(headers))


def _retry_after(headers):
    """Seconds that the server asks for, within reason. It may also name a date, which is not worth its clock."""
    text = headers.get("Retry-After") or ""
    return min(int(text), LONGEST_PAUSE) if text.isdecimal() else 0
