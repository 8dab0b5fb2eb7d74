# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions that run one module on a droplet, as part of a run over several droplets."""

from __future__ import annotations

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.litefarm.platform.plugins.plugin_utils._droplet_rules import first_line


class DropletAction(ActionBase):
    """A droplet that cannot be reached fails its task.

    Ansible's own answer, UNREACHABLE, takes the droplet out of the play without `rescue` or `always`, and lets the others go on.
    """

    TRANSFERS_FILES = False

    def run_module(self, name: str, arguments: dict, task_vars: dict) -> dict:
        """The module's answer. One that never came is a failure with C(lost) in it."""
        try:
            answer = self._execute_module(module_name=name, module_args=arguments, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            answer = {"unreachable": True, "msg": str(error)}
        if not answer.pop("unreachable", False):
            return answer
        host = self._task.delegate_to or task_vars["inventory_hostname"]
        return {"failed": True, "changed": False, "lost": True, "msg": "%s could not be reached: %s" % (host, first_line(answer.get("msg")))}
