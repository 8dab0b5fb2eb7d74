# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.litefarm.platform.plugins.plugin_utils._droplet_action import DropletAction
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.journal import LIST, MIGRATE, STAGE, Event, journal_of

# What the commands of the role api that run before a release are to a rollout.
INIT_COMMANDS = {"pending": LIST, "migrate": MIGRATE}


class ActionModule(DropletAction):
    """Runs the module, and writes down what it staged for the rollout that it is part of."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        answer = self.run_module("litefarm.platform.container_service", self._task.args, task_vars)
        journal = journal_of(task_vars)
        event = event_of(task_vars["inventory_hostname"], self._task.args, answer) if journal else None
        if event:
            journal.append(event)
        return dict(result, **answer)


def event_of(host, arguments, answer):
    """What a rollout has to know of the module's answer, or None."""
    ok = not answer.get("failed")
    error = "" if ok else "\n".join([str(answer.get("msg") or ""), *(answer.get("log") or [])])
    if arguments.get("state") == "run":
        steps = [INIT_COMMANDS[each["name"]] for each in arguments.get("init_commands") or [] if each["name"] in INIT_COMMANDS]
        output = [line for each in answer.get("init_commands") or [] for line in each["output"]]
        return Event(host, steps[0], ok, error, details={"output": output}) if steps else None
    if arguments.get("state") != "stage":
        return None
    release = answer.get("release") or {}
    services = {arguments["name"]: release.get("spec") or ""} if ok else {}
    return Event(host, STAGE, ok, error, services, {name: {"phase": release.get("phase") or "", "image": release.get("image") or ""} for name in services})
