# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.litefarm.platform.plugins.module_utils._ledger import LedgerError, present_release, rollback_target
from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import ControlNodeAction


class ActionModule(ControlNodeAction):
    """Finds a release in the history."""

    OPTIONS = {
        "history": {"type": "list", "elements": "dict", "required": True},
        "which": {"type": "str", "choices": ["present", "previous"], "required": True},
        "wanted": {"type": "str", "default": ""},
        "force": {"type": "bool", "default": False},
    }

    def execute(self, result, arguments, task_vars):
        try:
            if arguments["which"] == "present":
                record = present_release(arguments["history"])
            else:
                record = rollback_target(arguments["history"], arguments["wanted"] or None, arguments["force"])
        except LedgerError as error:
            return dict(result, failed=True, changed=False, msg="Nothing was changed. %s" % error)
        return dict(result, changed=False, record=record)
