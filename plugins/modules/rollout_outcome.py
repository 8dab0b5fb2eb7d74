#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is in plugins/action/rollout_outcome.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_outcome
short_description: Say what a rollout has come to
version_added: 0.1.0
description:
  - Concludes the outcome from the journal of the run. A rollout has succeeded only if every droplet of the run is known to have committed what it
    staged, and nothing failed; everything else is a failure.
  - Never fails itself, so that the outcome can be recorded and sent before the run fails. Runs on the control node.
options: {}
extends_documentation_fragment:
  - litefarm.platform.attributes.asks_anywhere
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: litefarm.platform.deployment
"""

EXAMPLES = r"""
- name: Determine the outcome
  litefarm.platform.rollout_outcome:
  register: rollout_outcome
  run_once: true
"""

RETURN = r"""
result:
  description:
    - V(ok), V(partial) or V(failed). V(partial) is a release that is in place on the droplets of the run, while others of the
      environment stay on another one.
  returned: always
  type: str
event:
  description: The event of the webhook, V(after) or V(failure).
  returned: always
  type: str
noteworthy:
  description: Whether the history gets a record; an unchanged environment needs none, and a check run writes none.
  returned: always
  type: bool
message:
  description: Why it failed, a droplet that could not go back first; or which droplets stay behind.
  returned: always
  type: str
text:
  description: The event of the webhook as one sentence; empty if no lock was taken.
  returned: always
  type: str
record:
  description: The record, as O(litefarm.platform.deployment#module:record) takes it.
  returned: always
  type: dict
"""
