#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is in plugins/action/rollout_step.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_step
short_description: Carry what this run has staged on a droplet through one more step
version_added: 0.1.0
description:
  - Runs M(litefarm.platform.container_release) for the services that this run has staged on the droplet, as the journal of the run on the control
    node says. On a droplet on which it has staged nothing, nothing is done and no module is run.
  - A droplet that cannot be reached fails the task, so that C(rescue) sees it.
options:
  step:
    description:
      - The operation of M(litefarm.platform.container_release).
      - V(revert) concerns what this run has staged, switched or committed, and what the interrupted run that it resumes has left. It never
        fails, because the other droplets have to go back too; M(litefarm.platform.rollout_outcome) names the droplet that could not.
        After the run has lost the deploy lock it does nothing.
    type: str
    choices: [switch, settle, commit, revert]
    required: true
  services:
    description: Only these of the services; all of them if left out.
    type: list
    elements: str
extends_documentation_fragment:
  - litefarm.platform.attributes.changes
  - litefarm.platform.run_number
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: litefarm.platform.container_release
  - module: litefarm.platform.rollout_outcome
"""

EXAMPLES = r"""
- name: Switch the webapp
  litefarm.platform.rollout_step:
    step: switch
    services: [webapp]

- name: Go back to the previous release
  litefarm.platform.rollout_step:
    step: revert
"""

RETURN = r"""
services:
  description: The services that the step was about.
  returned: always
  type: list
  elements: str
not_reverted:
  description: Whether they could not be taken back. C(msg) says why.
  returned: O(step=revert) has failed
  type: bool
"""
