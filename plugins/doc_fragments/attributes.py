# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules have in common, said once."""

from __future__ import annotations


class ModuleDocFragment:
    """C(litefarm.platform.attributes.asks): it looks and answers, so a check run does what any run does."""

    ASKS = r"""
options: {}
attributes:
  check_mode:
    description: Nothing is ever changed, so it does the same in check mode.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
  platform:
    description: Where it runs.
    support: full
    platforms: posix
"""
