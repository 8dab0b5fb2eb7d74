# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes that several modules have in common."""

from __future__ import annotations


def attributes(check_mode, diff_mode, shows_diff="none", platforms="posix"):
    return f"""
options: {{}}
attributes:
  check_mode:
    description: {check_mode}
    support: full
  diff_mode:
    description: {diff_mode}
    support: {shows_diff}
  platform:
    description: Where it runs.
    support: full
    platforms: {platforms}
"""


READ_ONLY = {"check_mode": "Nothing is ever changed, so it does the same in check mode.", "diff_mode": "There is nothing to compare."}
PREDICTION = "Says whether it would change something, and changes nothing."


class ModuleDocFragment:
    """Whether a module changes anything, and where it runs. What a module says itself takes precedence."""

    # Annotated, because ansible-test takes a plain assignment for literal YAML.
    ASKS: str = attributes(**READ_ONLY)
    ASKS_ON_DROPLET: str = attributes(**READ_ONLY, platforms="debian, ubuntu")
    ASKS_ANYWHERE: str = attributes(**READ_ONLY, platforms="all")
    CHANGES: str = attributes(PREDICTION, "There is no text to compare.")
    CHANGES_WITH_DIFF: str = attributes(PREDICTION, "Shows what changes.", shows_diff="full")
