#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is in plugins/action/status.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: status
short_description: Show what runs where, the deploy lock, and what was released, as tables
version_added: 0.1.0
description:
  - Prints what M(litefarm.platform.release_info) registered as C(litefarm_release_info) on every droplet of the run, with the
    versions and commits that the history has for the images, and the newest lines of the history.
  - A droplet that does not answer, and a service that is missing, are lines of the table and no failure.
  - Runs on the control node, without a module call. Changes nothing.
options:
  services:
    description: Services in the order of the table. A droplet is expected to run those that are among its groups.
    type: list
    elements: str
    required: true
  ledger:
    description: Result of M(litefarm.platform.deployment), or why there is none.
    type: dict
    required: true
  lines:
    description: How many of the newest lines of the history are shown.
    type: int
    default: 10
extends_documentation_fragment:
  - litefarm.platform.attributes.asks
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: litefarm.platform.deployment
  - module: litefarm.platform.release_info
"""

EXAMPLES = r"""
- name: Show the tables
  litefarm.platform.status:
    services: [api, export_scheduler, webapp]
    ledger: "{{ litefarm_deployment }}"
  run_once: true
"""

RETURN = r"""
rows:
  description: What runs where, in the order of the table.
  returned: success
  type: list
  elements: dict
  sample:
    - {service: api, where: litefarmapp, release: v1.2.3 (abcdef0), since: "2026-07-01 10:00 (2 d)", state: running, health: ok}
notes:
  description: What a person should know besides, in sentences.
  returned: success
  type: list
  elements: str
"""
