#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is in plugins/action/rollout_gate.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_gate
short_description: Let a rollout go on only with all of its droplets
version_added: 0.1.0
description:
  - Finds droplets of the run that have been lost, or have not done what they were to do. What counts is what a droplet is known to have done, because
    one that cannot be reached any more reports nothing. Runs on the control node.
options:
  after:
    description:
      - V(configuration) looks at all droplets of the environment that preflight has seen, and wants each of them configured in this run (the fact
        C(litefarm_configured) is the run's id). It never fails. RV(ready) says whether the rollout may go on, and the outcome of the rollout names
        what is recorded in C(litefarm_configuration_failure) of each other droplet, a C(task) and a C(reason).
      - V(staging) looks at the droplets of the play, and wants each service of each of them staged, or already in place. It fails otherwise.
    type: str
    choices: [configuration, staging]
    required: true
extends_documentation_fragment:
  - litefarm.platform.attributes.asks_anywhere
  - litefarm.platform.rollout.services
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: litefarm.platform.rollout_step
"""

EXAMPLES = r"""
- name: Check that every droplet has staged the release
  litefarm.platform.rollout_gate:
    after: staging
    services: [api, export_scheduler, webapp]
  register: rollout_gate
  run_once: true
"""

RETURN = r"""
ready:
  description: Whether every droplet is configured.
  returned: O(after=configuration)
  type: bool
services:
  description: Services that the run replaces on any droplet.
  returned: O(after=staging)
  type: list
  elements: str
api_hosts:
  description: Droplets on which it replaces the API, in the order of the play.
  returned: O(after=staging)
  type: list
  elements: str
"""
