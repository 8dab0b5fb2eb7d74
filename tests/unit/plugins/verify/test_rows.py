# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of verify.yml."""

from __future__ import annotations

from ansible_collections.litefarm.platform.plugins.action.verify import lines_of, unabridged
from ansible_collections.litefarm.platform.plugins.module_utils._verification import rows


def test_the_table_is_aligned_and_ends_with_the_failures():
    given = [rows.row("a", "one", "1", "2", False), rows.row("long name", "one", "1", "1", True)]
    assert lines_of(given) == ["CHECK      WHERE  EXPECTED  SEEN  RESULT", "long name  one    1         1     ok", "a          one    1         2     FAIL"]


def test_the_table_is_as_wide_as_the_terminal_and_what_failed_is_told_in_full_below():
    seen = "the certificate is not trusted, because " + "it was issued by another authority, and " * 5
    given = [
        rows.row("certificate", "litefarmapp app.litefarm.org", "trusted, 30 days left", seen, False),
        rows.row("page", "litefarmapp https://app.litefarm.org/", "200", seen, True),
        rows.warning("releases", "litefarmapp", "one", "two"),
    ]
    for width in (80, 100, 140):
        lines = lines_of(given, width)
        assert max(len(line) for line in lines) == width
        assert [line.split()[-1] for line in lines] == ["RESULT", "ok", "WARN", "FAIL"]
        assert unabridged(given, width) == [
            ("FAIL: certificate, litefarmapp app.litefarm.org: expected trusted, 30 days left, seen " + seen, "FAIL")
        ]
    # What is short stays whole, and what is needed only is taken from the widest column.
    assert "  two                " in lines_of(given, 140)[2] and "https://app.litefarm.org/" in lines_of(given, 140)[1]
    assert unabridged(given, 1000) == [] == unabridged(given, 0)
    assert lines_of(given, 1000) == lines_of(given)


def test_a_table_that_does_not_fit_keeps_its_columns():
    given = [rows.row("a check with a long name", "one droplet", "a number", "another number", False)]
    assert lines_of(given, 20)[1] == "a check with a long name  one dropl…  a number  another n…  FAIL"


def test_durations():
    assert [rows.duration(seconds) for seconds in (90, 150, 8000, 200000)] == ["90 s", "2 min", "2 h", "2 d"]


def test_a_text_for_the_table_is_one_short_line():
    assert rows.shortened("two\n lines", 20) == "two lines"
    assert rows.shortened("x" * 30, 10) == "x" * 9 + "…"


def test_during_maintenance_what_it_closes_is_a_warning_and_only_that():
    names = ["beta.litefarm.org", "api.beta.litefarm.org"]
    told = [
        dict(rows.row("maintenance", "a", "off", "on since 2026-01-02 03:04 UTC", False), closed=names),
        rows.row("page", "a https://beta.litefarm.org/", "200", "503", False),
        rows.row("api alive", "a https://api.beta.litefarm.org/", "200", "503, 'closed'", False),
        rows.row("scheduler's API", "b export_scheduler", "reached", "the API at https://api.beta.litefarm.org answers 503", False),
        rows.row("export", "a farm", "arrives", "the API: 503, {}", False),
        rows.row("unknown file", "b https://image.beta.litefarm.org/x", "404", "503", False),
        rows.row("page in the app", "a https://beta.litefarm.org/x", "200", "502", False),
        rows.row("redirect", "a http://beta.litefarm.org/", "308", "308", True),
    ]
    assert [each["result"] for each in rows.during_maintenance(told)] == ["FAIL", "WARN", "WARN", "WARN", "WARN", "FAIL", "FAIL", "ok"]
    assert rows.during_maintenance(told)[1]["seen"] == "503 (maintenance)"
    assert [each["result"] for each in rows.during_maintenance(told[1:])] == ["FAIL"] * 6 + ["ok"]
