# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import ControlNodeAction
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.journal import journal_of
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.news import sentence_of
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.state import FAILED_RESULT, Rollout


class ActionModule(ControlNodeAction):
    """Says what a rollout has come to. Never fails: what it says is recorded and sent before the run fails."""

    def execute(self, result, arguments, task_vars):
        rollout = Rollout(journal_of(task_vars).events())
        outcome = rollout.outcome()
        record = rollout.plan.record() if rollout.plan else {}
        record.update(result=outcome.result, migrations=list(outcome.migrations), services=list(outcome.services), message=outcome.message)
        event = "failure" if outcome.result == FAILED_RESULT else "after"
        return dict(
            result,
            changed=False,
            result=outcome.result,
            event=event,
            noteworthy=outcome.noteworthy and not self._task.check_mode,
            message=outcome.message,
            record=record,
            text=sentence_of(event, record, self._templar, task_vars) if rollout.plan else "",
        )
