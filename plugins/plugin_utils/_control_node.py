# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the platform's action plugins share: they run on the control node and read variables one at a time."""

from __future__ import annotations

import copy
import os

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleUndefinedVariable
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from ansible_collections.litefarm.platform.plugins.plugin_utils._ssh_failures import has_reason
from ansible_collections.litefarm.platform.plugins.plugin_utils._variables import Places

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class ControlNodeAction(ActionBase):
    """An action that changes nothing on a droplet. Its options are those of OPTIONS, an argument spec."""

    OPTIONS: dict[str, dict] = {}
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        # Validation hands out the spec's own lists and dictionaries as defaults.
        _validated, arguments = self.validate_argument_spec(argument_spec=copy.deepcopy(self.OPTIONS))
        return self.execute(result, arguments, task_vars)

    def execute(self, result, arguments, task_vars):
        """The task's result. C(result) is what every action begins with."""
        raise NotImplementedError

    def places(self, task_vars):
        return Places(inventory_folders(task_vars), [os.path.join(task_vars["playbook_dir"], "group_vars")], load_extra_vars(self._loader))

    def ssh_reason(self, told):
        """What ssh says of a droplet that cannot be reached. `told` is what Ansible reports, which may be without it."""
        if not has_reason(told):
            try:
                # Nothing is sent to it, so that its end is not taken for a broken pipe.
                self._low_level_execute_command("true", sudoable=False)
            except AnsibleConnectionFailure as error:
                return str(error)
        return told


def inventory_folders(task_vars):
    """The folders of the inventories that this run was given."""
    folders = []
    for source in task_vars.get("ansible_inventory_sources") or []:
        folder = source if os.path.isdir(source) else os.path.dirname(source)
        if folder and folder not in folders:
            folders.append(folder)
    return folders


def evaluate(templar, variables, name):
    """Return a variable's value and None, or None and why it has none."""
    if name not in variables:
        return None, None
    try:
        return templar.template(variables[name]), None
    except AnsibleUndefinedVariable as error:
        return None, str(error)
    except AnsibleError as error:
        return None, str(error)


def available_roles():
    folder = os.path.join(COLLECTION, "roles")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def report(problems):
    if len(problems) == 1:
        return "Nothing was changed. %s" % problems[0]
    lines = ["Nothing was changed, because %d things stand in the way:" % len(problems)]
    return "\n".join(lines + ["%d. %s" % (number, problem) for number, problem in enumerate(problems, 1)])
