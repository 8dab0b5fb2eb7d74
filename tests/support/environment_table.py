# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table "environment" of docs/release-protocol.md, which tests of whole rollouts are generated from."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.night import NIGHT

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "release-protocol.md"


def rows() -> list[dict[str, str]]:
    """Column to cell, one dict a step, in their order."""
    table = re.search(r"<!-- environment -->\n((?:\|.*\n)+)", DOCUMENT.read_text(encoding="utf-8"))[1].splitlines()
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def played(*sample: str) -> list[dict[str, str]]:
    """All rows at night, otherwise those of some steps."""
    return [row for row in rows() if NIGHT or row["step"] in sample]


def ids(found: list[dict[str, str]]) -> list[str]:
    """Names of tests."""
    return [row["step"].replace(" ", "-") for row in found]


def task_after(row: dict[str, str], first: str, other: str) -> str:
    """The name of the task that ends a row's step, of which some are described instead of named.

    Args:
        first: the droplet on which the API is switched first.
        other: the one on which it is switched last.
    """
    described = {
        "preflight.yml": "Report every problem",
        "Switch API traffic on the first droplet": f"Switch API traffic on {first}",
        "Switch API traffic on the other droplets": f"Switch API traffic on {other}",
    }
    return described.get(row["tasks"], row["tasks"])
