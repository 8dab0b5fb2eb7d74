# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from ansible_collections.litefarm.platform.plugins.plugin_utils import _droplet_rules as droplet_rules
from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import ControlNodeAction


class ActionModule(ControlNodeAction):
    """Asks a droplet which vault it was deployed from. Reports, never fails: a vault is also made before there are droplets."""

    _requires_connection = True

    def execute(self, result, arguments, task_vars):
        answer = self._ask(task_vars)
        droplet = (answer.get("ansible_facts") or {}).get("litefarm_droplet") or {}
        problem = "" if droplet else droplet_rules.first_line(answer.get("msg") or answer.get("module_stderr") or "")
        result.update(changed=False, deployed_with=droplet.get("deployed_with") or {}, problem=problem)
        return result

    def _ask(self, task_vars):
        try:
            answer = self._execute_module(module_name="litefarm.platform.droplet_info", module_args={}, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            answer = {"unreachable": True, "msg": str(error)}
        except AnsibleError as error:
            answer = {"msg": str(error)}
        return {"msg": self.ssh_reason(answer.get("msg"))} if answer.get("unreachable") else answer
