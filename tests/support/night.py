# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that take too long for every change are left to `make nightly`: those with the marker `nightly`, which pyproject.toml describes."""

from __future__ import annotations

import os
import typing as t

import pytest

NIGHT = bool(os.environ.get("LITEFARM_NIGHTLY"))


def sample(values: t.Sequence[t.Any], by_day: int = 1) -> list[t.Any]:
    """Parameters of a test: the first ones as they are, and the others for the night."""
    others = [value if isinstance(value, tuple) else (value,) for value in values[by_day:]]
    return [*values[:by_day], *(pytest.param(*value, marks=pytest.mark.nightly) for value in others)]


def is_for_the_night(item: pytest.Item) -> bool:
    """Whether a test is marked so, without names of droplets or with that of its own."""
    parameters = getattr(item, "callspec", None)
    own = parameters.params.get("droplet") if parameters else None
    return any(not marker.args or own in marker.args for marker in item.iter_markers("nightly"))
