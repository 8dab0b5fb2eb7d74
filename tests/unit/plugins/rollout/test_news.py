# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sentence that a chat shows of an event."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.news import sentence

NOTHING = {"version": "", "commit": ""}
ONE = {"version": "v1", "commit": "a" * 40}
TWO = {"version": "v2", "commit": "b" * 40}


@pytest.mark.parametrize(
    ("event", "record", "expected"),
    [
        ("before", {}, "production: the release of v2 (bbbbbbb), instead of v1 (aaaaaaa), begins (deploy by anna)."),
        ("before", {"from": NOTHING}, "production: the release of v2 (bbbbbbb) begins (deploy by anna)."),
        ("before", {"migrations": ["one"]}, "production: the release of v2 (bbbbbbb), instead of v1 (aaaaaaa), with 1 migration, begins (deploy by anna)."),
        ("after", {}, "production: v2 (bbbbbbb) is released, instead of v1 (aaaaaaa) (deploy by anna)."),
        ("after", {"kind": "rollback", "from": TWO, "to": ONE}, "production: v1 (aaaaaaa) is released, instead of v2 (bbbbbbb) (rollback by anna)."),
        ("after", {"from": TWO}, "production: v2 (bbbbbbb) is released (deploy by anna)."),
        (
            "after",
            {"result": "partial", "message": "jobs stays on v1 (aaaaaaa)"},
            "production: v2 (bbbbbbb) is released on some droplets only: jobs stays on v1 (aaaaaaa) (deploy by anna).",
        ),
        ("failure", {"result": "failed", "message": "api ended with exit code 1"}, "production: the release of v2 (bbbbbbb) failed: api ended with exit code 1 (deploy by anna)."),
    ],
)
def test_the_sentence(event, record, expected):
    assert sentence(event, {"kind": "deploy", "from": ONE, "to": TWO, "migrations": [], "result": "ok", "message": "", **record}, "production", "anna") == expected
