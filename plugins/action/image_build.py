# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

# Seconds between two looks at a build: what the builder's cache has is built in one, what it has not takes minutes.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
QUIET_SECONDS = 20


class ActionModule(ActionBase):
    """Starts a build on the builder and shows how far it is until it has ended."""

    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        image = "%s:%s" % (self._task.args.get("name"), self._task.args.get("tag"))
        started = self._call("start", 0, task_vars)
        if started.get("failed") or self._task.check_mode:
            if self._task.check_mode:
                display.display("%s would be built and pushed." % image)
            return dict(result, **started)
        where = self._task.delegate_to or task_vars["inventory_hostname"]
        display.display("%s: %s on %s" % (image, "following the build that is running" if started.get("attached") else "building", where))
        progress = self._follow(str(self._task.args.get("name")).rpartition("/")[2], task_vars)
        outcome = progress.get("result") or {}
        if progress.get("failed") or "error" in outcome:
            tail = "\n".join("    %s" % line for line in progress.get("lines") or [])
            reason = outcome.get("error") or progress.get("msg")
            return dict(result, failed=True, msg="%s was not built: %s. The last lines of %s on the builder:\n%s" % (image, reason, progress.get("log"), tail))
        display.display("%s: pushed as %s after %d s" % (image, outcome["digest"], outcome["seconds"]))
        return dict(result, changed=True, log=progress["log"], **outcome)

    def _follow(self, label, task_vars):
        started = shown = time.monotonic()
        position, last = 0, ""
        for pause in pauses():
            progress = self._call("poll", position, task_vars)
            if progress.get("failed") or not progress["running"]:
                return progress
            position = progress["position"]
            step = telling_line(progress["lines"])
            now = time.monotonic()
            if step or now - shown >= QUIET_SECONDS:
                last = step or last
                display.display("  %s %4d s  %s%s" % (label, now - started, "" if step else "still: ", last[:110]))
                shown = now
            time.sleep(pause)

    def _call(self, phase, offset, task_vars):
        arguments = dict(self._task.args, phase=phase, offset=offset)
        return self._execute_module(module_name="litefarm.platform.image_build", module_args=arguments, task_vars=task_vars)


def pauses():
    """Seconds to wait before the next look: each time twice as long, up to a limit."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


def telling_line(lines):
    """Of many lines the last one that says something: a step of the Dockerfile rather than the output of its commands."""
    steps = [line for line in lines if line.startswith(("Step ", "Check out", "Pull ", "Build ", "Push "))]
    spoken = [line.strip() for line in lines if line.strip() and not line.startswith(" --->")]
    return (steps or spoken or [""])[-1]
