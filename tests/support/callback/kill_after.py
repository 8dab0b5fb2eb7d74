# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills ansible-playbook, and all that it has started, right after a task: what an operator's machine does that loses power."""

from __future__ import annotations

import os
import signal

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: kill_after
type: notification
short_description: Kills the run when the task after the named one begins
description:
  - For tests of what a killed run leaves. The task is named by E(LITEFARM_KILL_AFTER).
"""


class CallbackModule(CallbackBase):
    """The run has to be the leader of a process group of its own, which is what is killed."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "kill_after"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self.wanted = os.environ["LITEFARM_KILL_AFTER"]
        self.last = None

    def v2_playbook_on_task_start(self, task, is_conditional):
        if self.last == self.wanted:
            os.killpg(os.getpgrp(), signal.SIGKILL)
        self.last = task.name

    def v2_playbook_on_stats(self, stats):
        if self.last == self.wanted:
            os.killpg(os.getpgrp(), signal.SIGKILL)
