#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is in plugins/action/rollout_plan.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_plan
short_description: Say what a release is going to do, before it does it
version_added: 0.1.0
description:
  - Prints which release takes the place of which one, with which images, on which droplets, which migrations it brings, and which droplets of the
    environment are not part of the run. Runs on the control node, out of what M(litefarm.platform.preflight_droplet) has found.
  - The plan is written into the journal of the run, from which M(litefarm.platform.rollout_step) and M(litefarm.platform.rollout_outcome) conclude
    what is to be done and what was done.
options:
  kind:
    description: What is being done.
    type: str
    choices: [deploy, site, rollback, restore]
    required: true
  release:
    description: The release, as M(litefarm.platform.release) returns it.
    type: dict
    required: true
extends_documentation_fragment:
  - litefarm.platform.attributes.asks_anywhere
  - litefarm.platform.rollout.history
  - litefarm.platform.rollout.services
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: litefarm.platform.release
  - module: litefarm.platform.deployment
"""

EXAMPLES = r"""
- name: Plan the rollout
  litefarm.platform.rollout_plan:
    kind: deploy
    release: "{{ litefarm_release }}"
    history: "{{ litefarm_lock.history }}"
    services: [api, export_scheduler, webapp]
  register: rollout_plan
  run_once: true
"""

RETURN = r"""
pending:
  description: The migrations that the release brings; empty if they were not asked for.
  returned: success
  type: list
  elements: str
record:
  description: What the history is going to say, as far as it is known; the plan of the deploy lock.
  returned: success
  type: dict
replaces:
  description: Whether any droplet of the run has a service that does not run from the image of the release.
  returned: success
  type: bool
behind:
  description: Droplet to the release on which it stays, because it is not part of the run.
  returned: success
  type: dict
text:
  description: The event of the webhook as one sentence.
  returned: success
  type: str
plan:
  description: What was printed.
  returned: success
  type: list
  elements: str
"""
