#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is in plugins/action/secrets_in_use.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: secrets_in_use
short_description: Ask a droplet which vault it was deployed from
version_added: 0.1.0
description:
  - Looks at the droplet with one call of M(litefarm.platform.droplet_info), for M(litefarm.platform.secrets), which makes no second
    vault for an environment that runs already. It expects the answer in the variable C(litefarm_secrets_in_use).
  - Never fails, because a vault is also made before there are droplets. Changes nothing.
extends_documentation_fragment:
  - litefarm.platform.attributes.asks_on_droplet
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
"""

EXAMPLES = r"""
- name: Ask the droplets which secrets they run with
  litefarm.platform.secrets_in_use:
  register: litefarm_secrets_in_use
"""

RETURN = r"""
deployed_with:
  description: What M(litefarm.platform.droplet_info) returns under this name. Empty if the droplet cannot be asked.
  returned: always
  type: dict
problem:
  description: Why the droplet cannot be asked, or nothing.
  returned: always
  type: str
"""
