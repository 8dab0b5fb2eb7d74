#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_gate
short_description: Let a rollout go on only with all of its droplets
version_added: 0.1.0
description:
  - Fails if a droplet of the run has been lost, or has not done what it was to do. What counts is what a droplet is known to have done, because one
    that cannot be reached any more reports nothing. Runs on the control node.
options:
  after:
    description:
      - V(configuration) looks at all droplets of the environment that preflight has seen, and wants each of them configured in this run (the fact
        C(litefarm_configured) is the run's id).
      - V(staging) looks at the droplets of the play, and wants each service of each of them staged, or already in place.
    type: str
    choices: [configuration, staging]
    required: true
  services:
    description: Services of the release, which are names of groups.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - litefarm.platform.attributes.asks
attributes:
  platform:
    platforms: all
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
