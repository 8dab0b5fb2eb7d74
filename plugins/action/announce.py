# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys

from ansible import constants as C
from ansible.utils.display import Display

from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import ControlNodeAction, evaluate, inventory_folders
from ansible_collections.litefarm.platform.plugins.plugin_utils._variables import short_path

display = Display()


class ActionModule(ControlNodeAction):
    """Prints which environment is about to be changed, and how."""

    OPTIONS = {"what": {"type": "str", "required": True}}

    def execute(self, result, arguments, task_vars):
        environment, _reason = evaluate(self._templar, task_vars, "litefarm_environment")
        if environment is None:
            droplets = task_vars["groups"].get("litefarm") or []
            environment = next((task_vars["hostvars"][host].get("litefarm_environment") for host in droplets), None)
        folders = [short_path(folder) for folder in inventory_folders(task_vars)]
        line = announcement(environment, arguments["what"], folders, given=inventory_given(sys.argv), check_mode=self._task.check_mode)
        display.display(line, color=C.COLOR_HIGHLIGHT)
        return dict(result, changed=False, line=line)


def inventory_given(arguments):
    """Whether a person named the inventory. What Ansible keeps of the option is the default as well."""
    return any(word.startswith(("-i", "--inv")) for word in arguments[1:])


def announcement(environment, what, folders, given, check_mode):
    chosen = "" if given else ", the default, because no -i was given"
    checked = "; check run: nothing is changed" if check_mode else ""
    return "%s: %s (inventory %s%s%s)" % (environment or "unknown environment", what, " and ".join(folders) or "none", chosen, checked)
