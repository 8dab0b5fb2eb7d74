# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import ssl

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from ansible_collections.litefarm.platform.plugins.module_utils._trust import trust_context
from ansible_collections.litefarm.platform.plugins.module_utils._verification.rows import row, warning
from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import ControlNodeAction
from ansible_collections.litefarm.platform.plugins.plugin_utils._droplet_rules import first_line
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification.inside import INSIDE, arguments_of, neighbours
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification.outside import OUTSIDE, Visitor


class ActionModule(ControlNodeAction):
    """Asks one droplet from outside and from inside. Reports, never fails because of an answer."""

    _requires_connection = True
    OPTIONS = {
        "checks": {"type": "str", "default": "verify_checks"},
        "ca_certificates": {"type": "dict", "default": {}},
        "timeout": {"type": "int", "default": 10},
    }

    def execute(self, result, arguments, task_vars):
        host = task_vars["inventory_hostname"]
        checks = self._checks(arguments["checks"], task_vars)
        try:
            context = trust_context("\n".join(arguments["ca_certificates"].values()))
        except ssl.SSLError as error:
            return dict(result, failed=True, msg="A certificate authority in litefarm_ca_certificates is no PEM certificate (%s): correct it." % error)
        unknown = [check["check"] for check in checks if check["kind"] not in OUTSIDE and check["kind"] not in INSIDE]
        if unknown:
            return dict(result, failed=True, msg="The checks %s in %s have a kind that does not exist: correct it." % (", ".join(unknown), arguments["checks"]))
        visitor = Visitor(self._play_context.remote_addr or host, context, arguments["timeout"])
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            asked = [(check["kind"], pool.submit(self._outside, check, visitor, host)) for check in checks if check["kind"] in OUTSIDE]
            # From outside first: what a user asks opens the connections that are looked at inside. Only an export takes longer.
            concurrent.futures.wait([answer for kind, answer in asked if kind != "export"])
            inside, containers = self._inside(host, [check for check in checks if check["kind"] in INSIDE], arguments["timeout"], task_vars)
            rows = [each for _kind, answer in asked for each in answer.result()] + inside
        result.update(changed=False, rows=rows, containers=containers)
        return result

    def _checks(self, variable, task_vars):
        by_group, host, run = task_vars.get(variable) or {}, task_vars["inventory_hostname"], task_vars["ansible_play_hosts_all"]
        checks = []
        for group in sorted(set(by_group) & set(task_vars["group_names"]), key=list(by_group).index):
            first = next(each for each in run if each in task_vars["groups"][group])
            checks += [check for check in self._templar.template(by_group[group]) if host == first or not check.get("once")]
        return checks

    def _outside(self, check, visitor, host):
        if check["kind"] == "export" and self._task.check_mode:
            return [warning(check["check"], host, "an export", "not asked: a check run asks for none")]
        return OUTSIDE[check["kind"]](check, visitor, host)

    def _inside(self, host, checks, timeout, task_vars):
        """The rows, and the containers of the droplet."""
        if not checks:
            return [], []
        checks = [self._with_neighbours(check, host, task_vars) if check["kind"] == "peer_ports" else check for check in checks]
        arguments = dict(arguments_of(checks), timeout=timeout)
        try:
            state = self._execute_module(module_name="litefarm.platform.verify_droplet", module_args=arguments, task_vars=task_vars)
        except (AnsibleConnectionFailure, AnsibleError) as error:
            return [row("droplet", host, "reachable by ssh", first_line(error), False)], []
        if state.get("failed"):
            return [row("droplet", host, "can be looked at", first_line(state.get("msg", "")), False)], []
        return [each for check in checks for each in INSIDE[check["kind"]](check, state, host)], state["containers"]

    @staticmethod
    def _with_neighbours(check, host, task_vars):
        groups, hostvars = task_vars["groups"], task_vars["hostvars"]
        addresses = {peer: (hostvars[peer].get("litefarm_private_address"), hostvars[peer].get("ansible_host")) for peer in groups["litefarm"]}
        return dict(check, neighbours=neighbours(check, host, groups, addresses))
