# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what really costs time: modules sent to droplets, and not tasks, of which many run on the control node only."""

from __future__ import annotations

import json
import os
import time

from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: module_calls
type: notification
short_description: Writes one line of JSON for every module that a droplet executed
description:
  - For benchmarks. Each line says host, role, task, module and milliseconds.
  - Written to the file named by the environment variable E(LITEFARM_MODULE_CALLS).
"""


class CallbackModule(CallbackBase):
    """Wraps the one method through which every action plugin executes a module; worker processes inherit the wrapper."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "module_calls"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        path = os.environ["LITEFARM_MODULE_CALLS"]
        execute = ActionBase._execute_module

        def counted(action, *args, **kwargs):
            began = time.monotonic()
            try:
                return execute(action, *args, **kwargs)
            finally:
                task = action._task
                line = {
                    "host": action._play_context.remote_addr,
                    "role": task._role.get_name() if task._role else "",
                    "task": task.name,
                    "module": kwargs.get("module_name") or task.action,
                    "ms": round((time.monotonic() - began) * 1000),
                }
                with open(path, "a", encoding="utf-8") as calls:
                    calls.write(json.dumps(line) + "\n")

        ActionBase._execute_module = counted
