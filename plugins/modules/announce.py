#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is in plugins/action/announce.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: announce
short_description: Print which environment is about to be changed
version_added: 0.1.0
description:
  - Prints one line with the environment, what the run does, and the inventory, before the first change. Says so if the inventory is the
    default one, because option C(-i) was not given.
  - Runs on the control node, without a module call. Changes nothing.
options:
  what:
    description: What the run does, in a few words.
    type: str
    required: true
extends_documentation_fragment:
  - litefarm.platform.attributes.asks
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: litefarm.platform.preflight
"""

EXAMPLES = r"""
- name: Announce the run
  litefarm.platform.announce:
    what: break the deploy lock
  run_once: true
"""

RETURN = r"""
line:
  description: What was printed.
  returned: always
  type: str
  sample: "production: break the deploy lock (inventory inventories/production)"
"""
