# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Harms droplets of the lab at chosen moments of a run, which goes on."""

from __future__ import annotations

import json
import os

import docker
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: harm
type: notification
short_description: Runs commands on droplets between two tasks
description:
  - For tests of a run that goes on while a droplet fails. E(LITEFARM_HARM) is a JSON list of objects with C(after) or C(before), the name of
    a task, C(container), the container that is the droplet, and C(command), for its shell. Each is run once, and the run waits for it.
  - The command does not use SSH, so it also works where SSH does not.
  - A line C(Harm done) says that it succeeded, because Ansible turns errors of callbacks into warnings.
"""


class CallbackModule(CallbackBase):
    """The strategy calls it before it starts the task on any droplet."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "harm"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self.waiting = json.loads(os.environ["LITEFARM_HARM"])
        self.last = None

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._harm(self.last, task.name)
        self.last = task.name

    def v2_playbook_on_stats(self, stats):
        self._harm(self.last, None)

    def _harm(self, last, coming):
        due = [each for each in self.waiting if (each["after"] == last if "after" in each else each["before"] == coming)]
        self.waiting = [each for each in self.waiting if each not in due]
        for each in due:
            status, output = docker.from_env(timeout=120).containers.get(each["container"]).exec_run(["sh", "-ec", each["command"]])
            word = "done" if status == 0 else f"failed with {status} ({output.decode()})"
            self._display.display(f"Harm {word}: {each['container']}: {each['command']}")
