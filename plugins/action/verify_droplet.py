# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ssl

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from ansible_collections.litefarm.platform.plugins.module_utils.droplet_rules import first_line
from ansible_collections.litefarm.platform.plugins.module_utils.registry import trust_context
from ansible_collections.litefarm.platform.plugins.module_utils.verification import INSIDE, OUTSIDE, Visitor, row
from ansible_collections.litefarm.platform.plugins.plugin_utils.control_node import ControlNodeAction


class ActionModule(ControlNodeAction):
    """Asks one droplet from outside and from inside. Reports, never fails because of an answer."""

    _requires_connection = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(
            argument_spec={
                "checks": {"type": "str", "default": "verify_checks"},
                "ca_certificates": {"type": "dict", "default": {}},
                "timeout": {"type": "int", "default": 10},
            }
        )
        host = task_vars["inventory_hostname"]
        checks = self._checks(arguments["checks"], task_vars)
        try:
            context = trust_context("\n".join(arguments["ca_certificates"].values()))
        except ssl.SSLError as error:
            return dict(result, failed=True, msg="A certificate authority in litefarm_ca_certificates is no PEM certificate (%s): correct it." % error)
        visitor = Visitor(self._play_context.remote_addr or host, context, arguments["timeout"])
        # From outside first: what a user asks opens the connections that are looked at inside.
        rows = [each for check in checks if check["kind"] in OUTSIDE for each in OUTSIDE[check["kind"]](check, visitor, host)]
        rows += self._inside(host, [check for check in checks if check["kind"] in INSIDE], task_vars)
        unknown = [check["check"] for check in checks if check["kind"] not in OUTSIDE and check["kind"] not in INSIDE]
        if unknown:
            return dict(result, failed=True, msg="The checks %s in %s have a kind that does not exist: correct it." % (", ".join(unknown), arguments["checks"]))
        result.update(changed=False, rows=rows)
        return result

    def _checks(self, variable, task_vars):
        by_group = task_vars.get(variable) or {}
        groups = sorted(set(by_group) & set(task_vars["group_names"]), key=list(by_group).index)
        return [check for group in groups for check in self._templar.template(by_group[group])]

    def _inside(self, host, checks, task_vars):
        if not checks:
            return []
        arguments = {
            "backups": [{"path": check["path"], "pattern": check.get("pattern", "*")} for check in checks if check["kind"] == "backups"],
            "databases": [
                {"service": check["service"], "database": check["database"], "user": str(check["user"])} for check in checks if check["kind"] == "database"
            ],
        }
        try:
            state = self._execute_module(module_name="litefarm.platform.verify_droplet", module_args=arguments, task_vars=task_vars)
        except (AnsibleConnectionFailure, AnsibleError) as error:
            return [row("droplet", host, "reachable by ssh", first_line(error), False)]
        if state.get("failed"):
            return [row("droplet", host, "can be looked at", first_line(state.get("msg", "")), False)]
        return [each for check in checks for each in INSIDE[check["kind"]](check, state, host)]
