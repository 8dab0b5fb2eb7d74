# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.litefarm.platform.plugins.plugin_utils._droplet_action import DropletAction
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.journal import FAILED, REVERT, Event, journal_of
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.state import Rollout

MODULE = "litefarm.platform.container_release"


class ActionModule(DropletAction):
    """Carries what this run has staged on a droplet through one more step."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(
            argument_spec={
                "step": {"type": "str", "choices": ["switch", "settle", "commit", "revert"], "required": True},
                "services": {"type": "list", "elements": "str"},
                "run_number": {"type": "int", "default": 0},
            }
        )
        host, step, journal = task_vars["inventory_hostname"], arguments["step"], journal_of(task_vars)
        failure = task_vars.get("ansible_failed_result")
        if step == REVERT and failure:
            journal.append(Event(host, FAILED, False, str(failure.get("stderr") or failure.get("msg") or "it failed")))
        rollout = Rollout(journal.events())
        services = rollout.to_revert(host) if step == REVERT else rollout.staged(host)
        if arguments["services"] is not None:
            services = {service: spec for service, spec in services.items() if service in arguments["services"]}
        if not services or self._task.check_mode:
            if step == REVERT:
                journal.append(Event(host, REVERT))
            return dict(result, changed=bool(services), services=sorted(services))
        answer = self.run_module(MODULE, {"operation": step, "services": services, "run_number": arguments["run_number"]}, task_vars)
        failed = bool(answer.get("failed"))
        details = {"notes": answer["notes"]} if answer.get("notes") else {}
        journal.append(Event(host, step, not failed, str(answer.get("msg") or "") if failed else "", services, details))
        if step == REVERT and failed:
            # The other droplets have to go back too, and the outcome names this one.
            answer.update(failed=False, not_reverted=True)
        return dict(result, services=sorted(services), **answer)
