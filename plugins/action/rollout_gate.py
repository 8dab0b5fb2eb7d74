# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.litefarm.platform.plugins.plugin_utils.control_node import ControlNodeAction
from ansible_collections.litefarm.platform.plugins.plugin_utils.rollout.journal import ALL_STAGED, FAILED, Event, journal_of
from ansible_collections.litefarm.platform.plugins.plugin_utils.rollout.state import Rollout, given_up


class ActionModule(ControlNodeAction):
    """Lets a rollout go on only with all of its droplets."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(
            argument_spec={
                "after": {"type": "str", "choices": ["configuration", "staging"], "required": True},
                "services": {"type": "list", "elements": "str", "required": True},
            }
        )
        journal, groups = journal_of(task_vars), task_vars["groups"]
        lost = given_up(task_vars)
        if arguments["after"] == "configuration":
            run = task_vars["litefarm_release"]["run"]
            droplets = {host: task_vars["hostvars"][host] for host in groups["litefarm"]}
            lost = [host for host, seen in droplets.items() if host in lost or ("litefarm_preflight" in seen and seen.get("litefarm_configured") != run)]
        rollout = Rollout(journal.events())
        if arguments["after"] == "staging" and not lost:
            members = {service: groups.get(service) or [] for service in arguments["services"]}
            lost = rollout.unstaged(members)
            services = rollout.services()
            result.update(services=services, api_hosts=[host for host in rollout.hosts_with_releases() if "api" in rollout.staged(host)])
        if lost:
            reason = "%s could not be reached or failed, see above, so nothing is switched" % ", ".join(lost)
            journal.append(Event("", FAILED, False, reason))
            return dict(result, failed=True, changed=False, msg=reason)
        if arguments["after"] == "staging":
            journal.append(Event("", ALL_STAGED))
        return dict(result, changed=False)
