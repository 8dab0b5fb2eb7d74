# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a busy server is waited for, and when its answer counts."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._busy import PAUSES, pause_after


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_given_longer_and_longer_pauses_and_then_up(status):
    pauses = iter(PAUSES)
    assert [pause_after(status, {}, pauses) for _again in range(6)] == [0.5, 1, 2, 4, None, None]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 501])
def test_an_answer_that_counts(status):
    assert pause_after(status, {"Retry-After": "1"}, iter(PAUSES)) is None


@pytest.mark.parametrize(("said", "pause"), [("3", 3), ("3600", 10), ("0", 0.5), ("Fri, 27 Nov 2026 14:00:00 GMT", 0.5), (None, 0.5)])
def test_how_long_a_server_wants_the_pause_to_be(said, pause):
    assert pause_after(503, {"Retry-After": said} if said else {}, iter(PAUSES)) == pause
