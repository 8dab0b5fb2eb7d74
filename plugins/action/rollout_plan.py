# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible.utils.display import Display

from ansible_collections.litefarm.platform.plugins.module_utils.ledger import last_good
from ansible_collections.litefarm.platform.plugins.module_utils.rollout import lines_of, pending_migrations, refusal
from ansible_collections.litefarm.platform.plugins.plugin_utils.control_node import ControlNodeAction

display = Display()


class ActionModule(ControlNodeAction):
    """Says what is going to happen, or why it is not."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(
            argument_spec={
                "kind": {"type": "str", "choices": ["deploy", "site", "rollback"], "required": True},
                "release": {"type": "dict", "required": True},
                "history": {"type": "list", "elements": "dict", "required": True},
                "listed": {"type": "list", "elements": "str"},
                "force": {"type": "bool", "default": False},
            }
        )
        kind, release, history = arguments["kind"], arguments["release"], arguments["history"]
        result["changed"] = False
        try:
            pending = None if arguments["listed"] is None else pending_migrations(arguments["listed"])
        except ValueError as error:
            return dict(result, failed=True, msg=str(error))
        reason = refusal(kind, release, history, arguments["force"])
        if reason:
            return dict(result, failed=True, msg=reason)
        lines = lines_of(kind, release, self._running(task_vars), history, pending)
        for line in lines:
            display.display(line)
        last = last_good(history) or {"to": {"version": "", "commit": ""}, "images": {}}
        result.update(pending=pending or [], last=last["to"], last_images=last["images"], plan=lines)
        return result

    @staticmethod
    def _running(task_vars):
        """Droplet to its services, and which of them it should have."""
        found = {}
        for host in task_vars["ansible_play_hosts_all"]:
            hostvars = task_vars["hostvars"][host]
            services = (hostvars.get("litefarm_preflight") or {}).get("running", {}).get("services") or {}
            found[host] = dict(services, wanted=hostvars["group_names"])
        return found
