# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions, segments and timelines of PostgreSQL's write-ahead log (WAL), as the names of its files say them."""

from __future__ import annotations

import json
import re

SEGMENT = re.compile(r"[0-9A-F]{24}")
HISTORY = re.compile(r"([0-9A-F]{8})\.history")


def position(text):
    """A position that PostgreSQL writes as C(0/16B3748), as a number."""
    high, slash, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def timeline(name):
    """The timeline that a segment or a history file belongs to."""
    return int(name[:8], 16)


def segment_begin(name, segment_bytes):
    """The position at which a segment begins."""
    return (int(name[8:16], 16) << 32) + int(name[16:24], 16) * segment_bytes


def segment_at(where, line, segment_bytes):
    """The name of the segment that has this position."""
    return "%08X%08X%08X" % (line, where >> 32, (where & 0xFFFFFFFF) // segment_bytes)


def parse_history(text):
    """The timelines that one descends from, each with the position at which it was left."""
    found = {}
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) >= 2 and fields[0].strip().isdigit():
            found[int(fields[0])] = position(fields[1].strip())
    return found


def archive_folder(info):
    """Where the WAL of the current major version is in the repository, from the answer of C(pgbackrest info --output=json)."""
    stanza = json.loads(info, strict=False)[0]
    newest = max(one["id"] for one in stanza["db"])
    return [one["id"] for one in stanza.get("archive") or [] if one["database"]["id"] == newest][-1]


def backup_ends(info):
    """The position that each backup needs to be consistent, by its label."""
    stanza = json.loads(info, strict=False)[0]
    return {one["label"]: position((one.get("lsn") or {}).get("stop") or "0/0") for one in stanza.get("backup") or []}


def controldata(text):
    """The lines of C(pg_controldata), name to value."""
    return {name.strip(): value.strip() for name, colon, value in (line.partition(":") for line in text.splitlines()) if colon}
