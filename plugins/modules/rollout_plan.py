#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_plan
short_description: Say what a release is going to do, before it does it
version_added: 0.1.0
description:
  - Prints which release takes the place of which one, with which images, on which droplets, and which migrations it brings. Runs on the control
    node, out of what M(litefarm.platform.preflight_droplet) has found.
  - Refuses a release that a rollback took back and that nobody has released since.
options:
  kind:
    description: What is being done.
    type: str
    choices: [deploy, site, rollback]
    required: true
  release:
    description: The release, as M(litefarm.platform.release) returns it.
    type: dict
    required: true
  history:
    description: The records of the environment, as M(litefarm.platform.deployment) returns them.
    type: list
    elements: dict
    required: true
  listed:
    description: What C(knex migrate:list) said in the new image, line by line; left out if it was not asked.
    type: list
    elements: str
  force:
    description: Whether a release that was taken back is made all the same.
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
  - module: litefarm.platform.release
  - module: litefarm.platform.deployment
"""

EXAMPLES = r"""
- name: What is going to happen is known
  litefarm.platform.rollout_plan:
    kind: deploy
    release: "{{ litefarm_release }}"
    history: "{{ litefarm_lock.history }}"
  run_once: true
"""

RETURN = r"""
pending:
  description: The migrations that the release brings; empty if they were not asked for.
  returned: success
  type: list
  elements: str
last:
  description: C(version) and C(commit) of the last release that ended well.
  returned: success
  type: dict
last_images:
  description: Service to the image of that release.
  returned: success
  type: dict
plan:
  description: What was printed.
  returned: success
  type: list
  elements: str
"""
