#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: secrets
short_description: Create every missing secret of an environment in its vault file
version_added: 0.1.0
description:
  - Creates strong random values for the secrets that the environment's services need and that are not defined yet, and
    appends them to the environment's ansible-vault file, which stays encrypted with the same vault id and password.
  - Never changes or removes a secret that is there. Lists the secrets that only a person can supply.
  - Needs the vault password of the run, for example C(--vault-password-file).
  - Runs on the control node, without a module call.
options:
  secrets:
    description:
      - The environment's secrets, as in C(playbooks/vars/secrets.yml). Each has C(name), C(services), the groups that need it,
        and C(kind).
      - C(token) is random text of C(length) letters and digits. C(tls_key) and C(tls_certificate) are a pair and name each
        other in C(certificate) and C(key). C(supplied) is only listed, with C(obtain).
    type: list
    elements: dict
    required: true
  path:
    description: The vault file. By default C(group_vars/litefarm/vault.yml) in the inventory's folder.
    type: path
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  platform:
    platforms: posix
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
"""

EXAMPLES = r"""
- name: Every secret that can be created is in the environment's vault
  litefarm.platform.secrets:
    secrets:
      - {name: vault_jwt_secret, services: [api], kind: token, length: 64, minimum: 32}
      - {name: vault_registry_password, services: [api], kind: supplied, required: true, obtain: the registry's control panel}
  run_once: true
"""

RETURN = r"""
path:
  description: The vault file.
  returned: success
  type: str
created:
  description: Names of the secrets that were created, or would be in check mode.
  returned: success
  type: list
  elements: str
to_supply:
  description: Names of the secrets that only a person can supply and that are missing.
  returned: success
  type: list
  elements: str
"""
