# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that modules of a rollout have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """What is released, and what was released before."""

    SERVICES = r"""
options:
  services:
    description: Services of the release, which are names of groups.
    type: list
    elements: str
    required: true
"""

    HISTORY = r"""
options:
  history:
    description: The records of the environment, as M(litefarm.platform.deployment) returns them.
    type: list
    elements: dict
    required: true
"""
