#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is in plugins/action/verify.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: verify
short_description: Show what was verified as one table, and fail if anything is wrong
version_added: 0.1.0
description:
  - Prints the rows that M(litefarm.platform.verify_droplet) registered as C(litefarm_verify) on every droplet of the run, failures
    last, and fails if there are any.
  - Compares the containers of all these droplets with the history of the environment, if one of them has read it. Two releases at once, and a
    partial release, are a warning.
  - Runs on the control node, without a module call. Changes nothing.
options: {}
extends_documentation_fragment:
  - litefarm.platform.attributes.asks
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: litefarm.platform.verify_droplet
"""

EXAMPLES = r"""
- name: Report failed checks
  litefarm.platform.verify:
  run_once: true
"""

RETURN = r"""
rows:
  description: All rows, in the order of the table.
  returned: success
  type: list
  elements: dict
notes:
  description: What is to be done about more than one release, in sentences.
  returned: success
  type: list
  elements: str
"""
