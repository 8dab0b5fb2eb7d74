# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: checked_hosts
short_description: Return a play's hosts, or refuse the run
version_added: 0.1.0
description:
  - Returns its term, a pattern of hosts, if nothing is wrong with how the playbook was started. Otherwise it fails, and the run with it.
  - It belongs into C(hosts) of a playbook's first play. Ansible evaluates that before any task, whatever options leave tasks out.
  - Refused are options that leave out tasks, variables of option C(-e) that the playbook does not read, settings of Ansible that change what
    the playbook does, an inventory without droplets, a C(--limit) that leaves none, and secrets that stand in plain text in the inventory.
options:
  _terms:
    description: The pattern of hosts.
    required: true
  may_be_empty:
    description: Whether the play may have no host.
    type: bool
    default: false
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
"""

EXAMPLES = r"""
- name: Verify the environment
  hosts: "{{ lookup('litefarm.platform.checked_hosts', 'litefarm') }}"
  strategy: ansible.builtin.linear
  gather_facts: false
  tasks:
    - name: Check the result
      litefarm.platform.verify:
      run_once: true
"""

RETURN = r"""
_raw:
  description: The pattern of hosts.
  type: list
  elements: str
"""

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.litefarm.platform.plugins.plugin_utils import run_checks


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        refusal = run_checks.check(self._loader, variables or {}, terms[0], self.get_option("may_be_empty"))
        if refusal:
            raise AnsibleError(refusal)
        return terms
