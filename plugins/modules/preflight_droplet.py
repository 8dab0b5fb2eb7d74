#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is in plugins/action/preflight_droplet.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_droplet
short_description: Check one droplet and all variables of what will run on it
version_added: 0.1.0
description:
  - Looks at the droplet with one call of M(litefarm.platform.droplet_info) and returns its facts. A droplet that cannot be
    reached is reported like every other problem.
  - Then checks, on the control node, the argument specs of all roles that will run on the droplet against its variables,
    the ranges of numbers, and the names of variables that nothing reads.
  - Looks up, on the control node, the addresses (A and AAAA) of the names of the droplet's nginx. It waits for the DNS two seconds at most.
  - Reports problems and never fails; M(litefarm.platform.preflight) does. Changes nothing.
options:
  roles:
    description: Roles of the platform. A role runs on the droplets of the group of its name.
    type: list
    elements: str
    required: true
  options:
    description: Argument spec of the variables that belong to no role.
    type: dict
    required: true
  limits:
    description:
      - Limits by pattern of a variable's name. Each has C(minimum) and C(maximum), or C(matches), a regular expression, and
        C(meaning), what it describes.
    type: dict
    required: true
  requirements:
    description: Supported C(distributions), least C(memory_mb) and C(disk_free_mb), and the roles that run C(everywhere).
    type: dict
    required: true
  secrets:
    description: The environment's secrets, as in C(playbooks/vars/secrets.yml). Only their names are used.
    type: list
    elements: dict
    required: true
  releases:
    description:
      - Services to the images that are about to be released. What runs of them on the droplets of their groups is returned, and
        that there is room for a second copy beside it is checked.
    type: dict
    default: {}
  playbook_variables:
    description:
      - Variables that the playbooks themselves define or register, by name or, with C(*), by pattern. No inventory sets them, so they are not
        reported as variables that nothing reads.
    type: list
    elements: str
    default: []
  going_back:
    description:
      - Whether this run only goes back to a release that the droplets ran before. Then distribution and memory of the droplet are not
        looked at, nor names of variables that nothing reads, and C(disk_free_mb) only where an image of O(releases) is missing.
    type: bool
    default: false
extends_documentation_fragment:
  - litefarm.platform.attributes.asks_on_droplet
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: litefarm.platform.preflight
  - module: litefarm.platform.droplet_info
"""

EXAMPLES = r"""
- name: Check droplets and variables
  litefarm.platform.preflight_droplet:
    roles: [base, nginx]
    options: {litefarm_environment: {type: str, required: true}}
    limits: {"*_port": {minimum: 1, maximum: 65535}}
    requirements:
      everywhere: [base]
      distributions: {Debian: ["13"]}
      memory_mb: 900
      disk_free_mb: 4000
    secrets: []
    playbook_variables: [litefarm_release, "preflight_*"]
  register: litefarm_preflight
"""

RETURN = r"""
problems:
  description: What stands in the way, in sentences.
  returned: always
  type: list
  elements: str
running:
  description: What runs of O(releases), as M(litefarm.platform.droplet_info) returns it.
  returned: always
  type: dict
outdated:
  description: Those of O(releases) that belong on the droplet and do not run there from this image.
  returned: always
  type: list
  elements: str
host_names:
  description: Names of the droplet's nginx that the world uses, with the addresses that the DNS has for them; only those with an answer in time.
  returned: always
  type: dict
ansible_facts:
  description: The facts of M(litefarm.platform.droplet_info).
  returned: always
  type: dict
"""
