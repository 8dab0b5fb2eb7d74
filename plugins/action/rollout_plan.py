# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

from ansible.utils.display import Display

from ansible_collections.litefarm.platform.plugins.module_utils._ledger import KINDS
from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import ControlNodeAction
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.journal import FAILED, PLAN, Event, journal_of
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.news import sentence_of
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.planning import lines_of, make_plan
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.state import Rollout

display = Display()


class ActionModule(ControlNodeAction):
    """Says what is going to happen, and writes it into the journal of the run."""

    OPTIONS = {
        "kind": {"type": "str", "choices": list(KINDS), "required": True},
        "release": {"type": "dict", "required": True},
        "history": {"type": "list", "elements": "dict", "required": True},
        "services": {"type": "list", "elements": "str", "required": True},
    }

    def execute(self, result, arguments, task_vars):
        journal, history = journal_of(task_vars), arguments["history"]
        hosts, groups = task_vars["ansible_play_hosts_all"], {service: task_vars["groups"].get(service) or [] for service in arguments["services"]}
        try:
            listed = Rollout(journal.events()).listed()
        except ValueError as error:
            journal.append(Event("", FAILED, False, str(error)))
            return dict(result, changed=False, failed=True, msg=str(error))
        plan = make_plan(arguments["kind"], arguments["release"], history, hosts, groups, listed)
        journal.append(Event("", PLAN, details=dataclasses.asdict(plan)))
        running = self._running(task_vars)
        lines = lines_of(plan, running, history, listed)
        for line in lines:
            display.display(line)
        outdated = [task_vars["hostvars"][host]["litefarm_preflight"]["outdated"] for host in hosts]
        text = sentence_of("before", plan.record(), self._templar, task_vars)
        return dict(result, changed=False, pending=list(plan.pending), record=plan.record(), replaces=any(outdated), behind=plan.behind, plan=lines, text=text)

    @staticmethod
    def _running(task_vars):
        """Droplet to its services, and which of them it should have."""
        found = {}
        for host in task_vars["ansible_play_hosts_all"]:
            hostvars = task_vars["hostvars"][host]
            services = (hostvars.get("litefarm_preflight") or {}).get("running", {}).get("services") or {}
            found[host] = dict(services, wanted=hostvars["group_names"])
        return found
