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
    the playbook does, an inventory without droplets, a C(--limit) that leaves none or names one that there is not, secrets that stand in
    plain text in the inventory, and a vault without its password.
  - Of such secrets, a playbook that brings an environment back only warns.
options:
  _terms:
    description: The pattern of hosts.
    required: true
  variable:
    description:
      - Environment-wide variable that names one of these hosts. It is returned instead of the pattern, because C(hosts) of a play cannot read
        variables of hosts.
    type: str
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

- name: Break the deploy lock
  hosts: "{{ lookup('litefarm.platform.checked_hosts', 'litefarm', variable='litefarm_history_host') }}"
  strategy: ansible.builtin.linear
  gather_facts: false
  become: true
  tasks:
    - name: Break the lock
      litefarm.platform.deployment:
        state: broken
"""

RETURN = r"""
_raw:
  description: The pattern of hosts, or the host that O(variable) names.
  type: list
  elements: str
"""

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.litefarm.platform.plugins.plugin_utils import _run_checks as run_checks


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        pattern, variables = terms[0], variables or {}
        # Without the vault no variable of a host can be read.
        problems = run_checks.vault_problems(self._loader, variables)
        if self.get_option("variable") and not problems:
            pattern, problems = run_checks.named_host(self._loader, self._templar, variables, pattern, self.get_option("variable"))
        refusal = run_checks.check(self._loader, variables, pattern, self.get_option("may_be_empty"), problems)
        if refusal:
            raise AnsibleError(refusal)
        return [pattern]
