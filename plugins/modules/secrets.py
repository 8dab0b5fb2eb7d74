#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is in plugins/action/secrets.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: secrets
short_description: Create every missing secret of an environment in its vault file, and rotate one
version_added: 0.1.0
description:
  - Creates strong random values for the secrets that the environment's services need and that are not defined yet, and
    appends them to the environment's ansible-vault file, which stays encrypted with the same vault id and password.
  - Makes no second vault for an environment that runs with another one, as M(litefarm.platform.secrets_in_use) has found in the task
    before. If that vault is lost, C(litefarm_new_secrets) allows it.
  - Never changes or removes a secret that is there, unless O(rotate) names it. Lists the secrets that only a person can supply, and
    those that others need a copy of.
  - The file is replaced at once, and every other line of it, comments too, stays as it is.
  - Needs the vault password of the run, for example C(--vault-password-file).
  - Runs on the control node, without a module call.
options:
  secrets:
    description:
      - The environment's secrets, as in C(playbooks/vars/secrets.yml). Each has C(name), C(services), the groups that need it,
        and C(kind).
      - C(token) is random text of C(length) letters and digits. C(tls_key) and C(tls_certificate) are a pair and name each
        other in C(certificate) and C(key). C(supplied) is only listed, with C(obtain).
      - A secret with C(without) is not needed where one of these groups has a droplet. C(used_by) says who else needs a copy.
      - C(rotation) says what a rotation means for people. While a secret with C(accepted_twice) is rotated, the vault has its previous
        value too, as C(<name>_previous). With C(elsewhere), its rotation waits until a person has copied the new value.
      - After a rotation of a secret with C(keep_previous), the value before it stays in the vault until a person removes it, as C(<name>_)
        with the first 8 hexadecimal digits of its SHA-256. C(encrypts_backups) says that backups are encrypted with it.
      - A secret with C(fixed) is never rotated. One with C(optional) is created, and an environment that is older than it runs without it.
    type: list
    elements: dict
    required: true
  path:
    description: The vault file. By default C(group_vars/litefarm/vault.yml) in the inventory's folder.
    type: path
  rotate:
    description:
      - The name of one secret, with or without C(vault_), that gets a new value. Either half of a pair stands for both.
      - Every droplet of the group C(litefarm) has to be in the run, and none of them may have failed.
      - If it is empty, the secrets that can be rotated are listed with what their rotation means for people, and nothing is changed.
    type: str
  phase:
    description:
      - V(begin) makes the new value; if a rotation of this secret is open already, it goes on with that one's value.
      - V(resume) does so too, and fails if none is open. It says that a person has copied the new value to where it is used elsewhere.
      - V(finish) removes the previous value.
    type: str
    choices: [begin, resume, finish]
    default: begin
extends_documentation_fragment:
  - litefarm.platform.attributes.changes
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
"""

EXAMPLES = r"""
- name: Create missing secrets
  litefarm.platform.secrets:
    secrets:
      - {name: vault_jwt_secret, services: [api], kind: token, length: 64, minimum: 32}
      - {name: vault_registry_password, services: [api], kind: supplied, required: true, obtain: the registry's control panel}
  run_once: true

- name: The password of the queues gets a new value
  litefarm.platform.secrets:
    secrets: "{{ litefarm_secrets }}"
    rotate: redis_password
  register: rotation
  run_once: true
"""

RETURN = r"""
path:
  description: The absolute path of the vault file.
  returned: success
  type: str
created:
  description: Names of the secrets that were created or got a new value, or would in check mode.
  returned: success
  type: list
  elements: str
to_supply:
  description: Names of the secrets that only a person can supply and that are missing.
  returned: success, without O(rotate)
  type: list
  elements: str
name:
  description: The full name of the secret that is rotated.
  returned: success, with O(rotate)
  type: str
used_by:
  description: Who else needs a copy of it, or nothing.
  returned: success, with O(rotate)
  type: str
rolls_out:
  description: Whether droplets may lack the new value.
  returned: success, with O(rotate)
  type: bool
waits:
  description: Whether the rotation stays open until a person has copied the new value.
  returned: success, with O(rotate)
  type: bool
backs_up:
  description: Whether backups are encrypted with it, so that this run is to end with the first ones under the new value.
  returned: success, with O(rotate)
  type: bool
closes:
  description: Whether this run is to end with a previous value that nothing accepts any more.
  returned: success, with O(rotate)
  type: bool
"""
