# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of verify.yml."""

from __future__ import annotations

from ansible_collections.litefarm.platform.plugins.module_utils.verification import rows


def test_the_table_is_aligned_and_ends_with_the_failures():
    given = [rows.row("a", "one", "1", "2", False), rows.row("long name", "one", "1", "1", True)]
    assert rows.table(given) == ["CHECK      WHERE  EXPECTED  SEEN  RESULT", "long name  one    1         1     ok", "a          one    1         2     FAIL"]


def test_durations():
    assert [rows.duration(seconds) for seconds in (90, 150, 8000, 200000)] == ["90 s", "2 min", "2 h", "2 d"]


def test_a_text_for_the_table_is_one_short_line():
    assert rows.shortened("two\n lines", 20) == "two lines"
    assert rows.shortened("x" * 30, 10) == "x" * 9 + "…"
