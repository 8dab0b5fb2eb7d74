# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of docs/release-protocol.md as data."""

from __future__ import annotations

import pathlib
import re

DOCUMENT = pathlib.Path(__file__).parents[4] / "docs" / "release-protocol.md"
COLUMNS = ["step", "phase", "what it does", "current", "next", "previous", "upstream", "serves", "after a reboot", "next run"]


def tables():
    """Name of each marked table to its rows, each a dict by column."""
    found = {}
    for name, table in re.findall(r"<!-- table: ([a-z ]+) -->\n((?:\|.*\n)+)", DOCUMENT.read_text(encoding="utf-8")):
        lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.splitlines()]
        assert lines[0] == COLUMNS, name
        found[name] = [dict(zip(COLUMNS, line, strict=True)) for line in lines[2:]]
    return found
