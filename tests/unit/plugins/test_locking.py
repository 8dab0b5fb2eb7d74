# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks of the kernel, and the wait for one that another process holds."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _locking as locking


class Clock:
    """Time passes by sleeping only; `at` maps a second to what happens then."""

    def __init__(self, at=None):
        self.now, self.at, self.sleeps = 0.0, at or {}, []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.now += seconds
        self.at.get(self.now, lambda: None)()


@pytest.fixture(name="opened")
def fixture_opened(tmp_path):
    """The lock's file, opened by two: flock regards them as two processes."""
    with open(tmp_path / "lock", "a", encoding="utf-8") as first, open(tmp_path / "lock", "a", encoding="utf-8") as second:
        yield first, second


def test_one_holds_the_lock_until_its_file_is_closed(opened):
    first, second = opened
    assert locking.try_lock(first) and not locking.try_lock(second)
    first.close()
    assert locking.try_lock(second)


def test_a_lock_that_becomes_free_in_time_is_taken(opened):
    first, second = opened
    locking.lock(first)
    clock = Clock({1.0: first.close})
    assert locking.wait_for_lock(second, 2, 0.5, clock)
    assert clock.sleeps == [0.5, 0.5]


def test_the_wait_ends_after_its_timeout(opened):
    first, second = opened
    locking.lock(first)
    clock = Clock()
    assert not locking.wait_for_lock(second, 2, 0.5, clock)
    assert clock.now == 2


def test_without_a_timeout_it_asks_once(opened):
    first, second = opened
    clock = Clock()
    assert locking.wait_for_lock(first, 0, 0.5, clock) and not locking.wait_for_lock(second, 0, 0.5, clock)
    assert clock.sleeps == []
