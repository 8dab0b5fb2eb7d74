# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kill matrix: every step of docs/release-protocol.md, with every kind of harm, really done. Names are `<table>-<step>-<kind>`."""

from __future__ import annotations

from . import verdict


def test_cell(cell, matrix, record_property):
    row, kind = cell
    fresh = kind not in matrix.seen
    seen = matrix.of(kind)[row]
    if fresh:
        record_property(kind, f"{matrix.seconds[kind]:.0f} s")
    assert verdict.problems(row, kind, seen) == []
