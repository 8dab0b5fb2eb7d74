#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is in plugins/action/preflight.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Fail with everything that stands in the way of a run
version_added: 0.1.0
description:
  - Adds what concerns all droplets together (one environment, no empty group where one is needed, secrets that are there and
    strong, buckets that the environment's key can use, images for the droplets' architecture) to what M(litefarm.platform.release) and
    M(litefarm.platform.preflight_droplet) found, and fails with all of it.
  - Expects the results of M(litefarm.platform.preflight_droplet) registered as C(litefarm_preflight).
  - Warns of host names that lead to other addresses than those of the droplets which answer for them, or have none.
  - Never shows a secret. Runs on the control node, without a module call. Changes nothing.
options:
  release:
    description: Result of M(litefarm.platform.release).
    type: dict
    required: true
  requirements:
    description:
      - Groups that are never empty (C(needed_groups)), groups of one droplet at most, each with the reason (C(single_groups)), and
        groups whose services use the application's buckets (C(storage_groups)) or the backup bucket (C(backup_groups)).
      - If a droplet of C(storage_groups) is in the run, both buckets of the application are asked for with the environment's key.
      - If a droplet of C(backup_groups) is in the run, the backup bucket is asked for, with its own key where the environment has one.
    type: dict
    required: true
  secrets:
    description: The environment's secrets, as in C(playbooks/vars/secrets.yml).
    type: list
    elements: dict
    required: true
  going_back:
    description:
      - Whether this run only goes back to a release that the droplets ran before. What such a run does not use is not looked at then.
        These are buckets, C(needed_groups), secrets that its services do not read, and how long certificates of the vault are valid.
    type: bool
    default: false
extends_documentation_fragment:
  - litefarm.platform.attributes.asks
requirements:
  - boto3, if there are C(storage_groups) or C(backup_groups)
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: litefarm.platform.preflight_droplet
  - module: litefarm.platform.release
"""

EXAMPLES = r"""
- name: Report every problem
  litefarm.platform.preflight:
    release: "{{ litefarm_release }}"
    requirements: {needed_groups: [nginx], single_groups: {postgres: two would not have the same data}, storage_groups: [api]}
    secrets: []
  run_once: true
"""

RETURN = r"""
msg:
  description: Every problem, in sentences.
  returned: failed
  type: str
"""
