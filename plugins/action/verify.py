# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible.utils.display import Display

from ansible_collections.litefarm.platform.plugins.module_utils._verification.rows import during_maintenance
from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import ControlNodeAction
from ansible_collections.litefarm.platform.plugins.plugin_utils._text_table import TERMINAL, table
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification.releases import compared

display = Display()
COLUMNS = {name: name.upper() for name in ("check", "where", "expected", "seen", "result")}
COLOURS = {"FAIL": "red", "WARN": "yellow"}
# The failures come last, where an eye looks first.
ORDER = ("ok", "WARN", "FAIL")
# Names of checks and results are short.
FLEXIBLE = ("where", "expected", "seen")


def ordered(rows):
    return sorted(rows, key=lambda each: ORDER.index(each["result"]))


def lines_of(rows, width=0):
    return table(COLUMNS, ordered(rows), width, FLEXIBLE)


def unabridged(rows, width):
    """The full text of warnings and failures that the table has shortened, with their result."""
    return [
        ("%(result)s: %(check)s, %(where)s: expected %(expected)s, seen %(seen)s" % each, each["result"])
        for each, line in zip(ordered(rows), lines_of(rows, width)[1:])
        if each["result"] != "ok" and any(str(each[key]) not in line for key in FLEXIBLE)
    ]


class ActionModule(ControlNodeAction):
    """Prints all rows as one table and fails if a row does."""

    def execute(self, result, arguments, task_vars):
        answers = {host: task_vars["hostvars"][host].get("litefarm_verify") or {} for host in task_vars["ansible_play_hosts_all"]}
        rows = during_maintenance([row for answer in answers.values() for row in answer.get("rows") or []])
        rows, notes = compared(rows, {host: answer.get("containers") or [] for host, answer in answers.items()})
        for line in lines_of(rows, TERMINAL):
            display.display(line, color=COLOURS.get(line.rsplit(None, 1)[-1]))
        for line, outcome in unabridged(rows, TERMINAL):
            display.display(line, color=COLOURS[outcome])
        for note in notes:
            display.display(note, color=COLOURS["WARN"])
        failed = [each for each in rows if each["result"] == "FAIL"]
        if not rows:
            return dict(result, failed=True, msg="Nothing was verified: no droplet of the run has a check.")
        closed = [each for each in failed if "closed" in each]
        if closed:
            others = len(failed) - len(closed)
            told = "Maintenance is %s, so users are not served: end it with playbooks/maintenance.yml -e litefarm_state=off. " % closed[0]["seen"]
            rest = "Nothing else failed." if not others else "%d other check%s failed: see the end of the table." % (others, "" if others == 1 else "s")
            return dict(result, failed=True, msg=told + rest)
        if failed:
            return dict(result, failed=True, msg="%d of %d checks failed: see the end of the table." % (len(failed), len(rows)))
        warnings = sum(each["result"] == "WARN" for each in rows)
        passed = "All %d checks passed%s." % (len(rows), ", %d with a warning" % warnings if warnings else "")
        result.update(changed=False, rows=rows, notes=notes, msg=passed)
        return result
