# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cells of the matrix: every row of the tables in docs/release-protocol.md, with every kind of harm."""

from __future__ import annotations

import dataclasses
import re

from tests.unit.plugins.container_service.protocol import DOCUMENT, tables

CONTROLLER, MODULE, RESTARTED, KILLED, REBOOTED, CUT = "controller-killed", "module-killed", "dockerd-restarted", "dockerd-killed", "rebooted", "power-cut"
KINDS = {
    CONTROLLER: "controller killed",
    MODULE: "remote module killed",
    RESTARTED: "dockerd restarted",
    KILLED: "dockerd killed",
    REBOOTED: "droplet rebooted",
    CUT: "droplet's power cut",
}
# How each table is brought about: the way of updating, and whether the new release is a bad one.
TABLES = {
    "rolling": ("rolling", False),
    "rolling undo": ("rolling", True),
    "recreate": ("recreate", False),
    "recreate undo": ("recreate", True),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One row, which is one service of the matrix: it is brought to this step again and again."""

    table: str
    number: int
    row: tuple[tuple[str, str], ...]

    def __getitem__(self, column: str) -> str:
        return dict(self.row)[column]

    @property
    def service(self) -> str:
        return f"km_{self.table.replace(' ', '_')}_{self['step']}"

    @property
    def update(self) -> str:
        return TABLES[self.table][0]

    @property
    def bad(self) -> bool:
        return TABLES[self.table][1]

    @property
    def ports(self) -> list[int]:
        """Below those that the kernel gives to clients."""
        first = 21000 + 2 * self.number
        return [first, first + 1] if self.update == "rolling" else [first]

    def id(self, kind: str) -> str:
        return f"{self.table.replace(' ', '_')}-{self['step']}-{kind}"


def rows(document: str | None = None, found: dict | None = None) -> list[Row]:
    """All rows of the protocol.

    Raises:
        ValueError: there is a table that the matrix cannot bring about; to leave it out silently would be a lie.
    """
    document = DOCUMENT.read_text(encoding="utf-8") if document is None else document
    found = tables() if found is None else found
    marked = re.findall(r"<!-- *table: *(.*?) *-->", document)
    if sorted(marked) != sorted(found) or set(found) != set(TABLES):
        raise ValueError(f"docs/release-protocol.md has the tables {', '.join(marked)}, and the kill matrix knows {', '.join(TABLES)}: teach it the others.")
    every = [(table, row) for table in TABLES for row in found[table]]
    made = [Row(table, number, tuple(row.items())) for number, (table, row) in enumerate(every)]
    if len({row.service for row in made}) < len(made):
        raise ValueError("A step stands twice in one table of docs/release-protocol.md: the fault point would be the first one only.")
    return made
