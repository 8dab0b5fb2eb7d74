#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is in plugins/action/recorded_release.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: recorded_release
short_description: Find a release in the history of an environment
version_added: 0.1.0
description:
  - Finds the release that the environment runs, or the one to go back to. Runs on the control node.
  - Going back passes over a release that failed when it was last released, that was taken back, or that ran on some droplets only.
options:
  which:
    description:
      - V(present) is the release that runs. It fails if the last release is in place on some droplets only, because then there are two.
      - V(previous) is the newest other one that can be gone back to, or O(wanted).
    type: str
    choices: [present, previous]
    required: true
  wanted:
    description: With V(previous), version or commit of the release, or at least seven digits of the commit; empty for the last one before the one that runs.
    type: str
    default: ""
  force:
    description: Whether one that failed or was taken back will do.
    type: bool
    default: false
extends_documentation_fragment:
  - litefarm.platform.attributes.asks_anywhere
  - litefarm.platform.rollout.history
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: litefarm.platform.deployment
"""

EXAMPLES = r"""
- name: Choose the release to go back to
  litefarm.platform.recorded_release:
    history: "{{ rollback_ledger.history }}"
    which: previous
  register: litefarm_recorded
"""

RETURN = r"""
record:
  description: The record of that release, as M(litefarm.platform.deployment) returns it; null for O(which=present) of an environment without a history.
  returned: success
  type: dict
"""
