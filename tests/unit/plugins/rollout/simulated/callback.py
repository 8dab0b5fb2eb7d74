# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does harm to droplets when the task after a named one begins."""

from __future__ import annotations

import os
import pathlib

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: harm
type: notification
short_description: Makes files when the task after the named one begins
description: For tests. E(HARM_AFTER) names the task, E(HARM) the files below E(SIMULATED).
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "harm"
    CALLBACK_NEEDS_ENABLED = True

    last = None

    def v2_playbook_on_task_start(self, task, is_conditional):
        if self.last == os.environ["HARM_AFTER"]:
            for name in os.environ["HARM"].split():
                path = pathlib.Path(os.environ["SIMULATED"], name)
                path.parent.mkdir(exist_ok=True)
                path.touch()
        self.last = task.name
