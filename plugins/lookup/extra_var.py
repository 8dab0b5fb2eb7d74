# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: extra_var
short_description: Read a variable of option -e
version_added: 0.1.0
description:
  - Returns the value that option C(-e) gives to a variable of the platform's playbooks, such as C(litefarm_to).
  - A variable of this name in the inventory has no effect.
  - In release 0.1 the option may also have the name without C(litefarm_).
options:
  _terms:
    description: The variable's name, with C(litefarm_).
    required: true
  default:
    description: The value if option C(-e) does not have the variable. Without it the result is an empty list.
    type: raw
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
"""

EXAMPLES = r"""
- name: Show the release to go back to
  ansible.builtin.debug:
    msg: "{{ lookup('litefarm.platform.extra_var', 'litefarm_to', default='the previous one') }}"
"""

RETURN = r"""
_raw:
  description: The value.
  type: list
  elements: raw
"""

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.litefarm.platform.plugins.plugin_utils import _extra_variables as extra_variables


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        (name,) = terms
        if name not in extra_variables.NAMES:
            raise AnsibleError("extra_var knows no variable %s: add it to plugins/plugin_utils/_extra_variables.py." % name)
        default = self.get_option("default")
        values = [self._templar.template(value) for value in extra_variables.values(self._loader, name)]
        return values or ([] if default is None else [default])
