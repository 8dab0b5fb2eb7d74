# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import ControlNodeAction
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.journal import ALL_STAGED, FAILED, Event, journal_of
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.state import Rollout, first_line, given_up

# What Ansible says of a module that ended without an answer.
NO_ANSWER = ("MODULE FAILURE", "Module result deserialization failed")


class ActionModule(ControlNodeAction):
    """Lets a rollout go on only with all of its droplets."""

    OPTIONS = {
        "after": {"type": "str", "choices": ["configuration", "staging"], "required": True},
        "services": {"type": "list", "elements": "str", "required": True},
    }

    def execute(self, result, arguments, task_vars):
        journal, groups = journal_of(task_vars), task_vars["groups"]
        lost = given_up(task_vars)
        if arguments["after"] == "configuration":
            run = task_vars["litefarm_release"]["run"]
            droplets = {host: task_vars["hostvars"][host] for host in groups["litefarm"]}
            lost = [host for host, seen in droplets.items() if host in lost or ("litefarm_preflight" in seen and seen.get("litefarm_configured") != run)]
            for host in lost:
                journal.append(Event(host, FAILED, False, "%s, so nothing is released" % unconfigured(host, droplets[host])))
            return dict(result, changed=False, ready=not lost)
        rollout = Rollout(journal.events())
        if not lost:
            members = {service: groups.get(service) or [] for service in arguments["services"]}
            lost = rollout.unstaged(members)
            services = rollout.services()
            result.update(services=services, api_hosts=[host for host in rollout.hosts_with_releases() if "api" in rollout.staged(host)])
        if lost:
            reason = "%s could not be reached or failed, see above, so nothing is switched" % ", ".join(lost)
            journal.append(Event("", FAILED, False, reason))
            return dict(result, failed=True, changed=False, msg=reason)
        journal.append(Event("", ALL_STAGED))
        return dict(result, changed=False)


def unconfigured(host, seen):
    """Why a droplet is not configured. One that was lost on the way has recorded nothing."""
    failure = seen.get("litefarm_configuration_failure")
    if not failure:
        return "%s could not be reached or failed, see above" % host
    told = first_line(failure["reason"])
    if told.startswith(NO_ANSWER):
        told = "it was ended before it answered, as when the droplet restarts"
    return "%s failed at '%s'%s" % (host, failure["task"], ": %s" % told if told else "")
