#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback_target
short_description: Find the release to go back to
version_added: 0.1.0
description:
  - The newest release in the history of an environment that ended well, is not the one that runs, and is not marked bad; or the one that is
    named. Runs on the control node.
  - A release is marked bad by a failed attempt, or by a rollback from it, until it is released well again.
options:
  history:
    description: The records of the environment, as M(litefarm.platform.deployment) returns them.
    type: list
    elements: dict
    required: true
  wanted:
    description: Version or commit of the release, or at least seven digits of the commit; empty for the last one before the one that runs.
    type: str
    default: ""
  force:
    description: Whether one that is marked bad will do.
    type: bool
    default: false
extends_documentation_fragment:
  - litefarm.platform.attributes.asks
attributes:
  platform:
    platforms: all
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: litefarm.platform.deployment
"""

EXAMPLES = r"""
- name: The release to go back to is known
  litefarm.platform.rollback_target:
    history: "{{ rollback_ledger.history }}"
  register: litefarm_rollback
"""

RETURN = r"""
record:
  description: The record of that release, as M(litefarm.platform.deployment) returns it.
  returned: success
  type: dict
"""
