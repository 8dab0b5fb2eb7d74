# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what the module has found as a table."""

from __future__ import annotations

import time

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.litefarm.platform.plugins.module_utils._verification.rows import duration
from ansible_collections.litefarm.platform.plugins.plugin_utils._text_table import table

display = Display()

COLUMNS = {
    "label": "LABEL", "name": "NAME", "type": "TYPE", "ended": "ENDED (UTC)", "age": "AGE", "size": "DATABASE", "repo_size": "IN BUCKET", "state": "STATE",
}  # fmt: skip


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        result = self._execute_module(task_vars=task_vars)
        if not result.get("failed"):
            newest = boolean(self._task.args.get("newest", False), strict=False)
            for line in newest_lines(result) if newest else lines(result):
                display.display(line)
            result.update(unreadable(result))
        return result


def unreadable(result):
    """That the backups of the database in place cannot be read is a failure; what other clusters have left behind is not."""
    found = [cluster["problem"] for cluster in result["clusters"] if cluster["in_place"] and cluster["problem"]]
    return {"failed": True, "msg": found[0]} if found else {}


def newest_lines(result):
    """The backup that was taken last, of the cluster in place."""
    backups = [backup for cluster in result["clusters"] if cluster["in_place"] for backup in cluster["backups"]]
    return table(COLUMNS, [row(max(backups, key=lambda backup: backup["stop"]), result["time"])] if backups else [])


def lines(result):
    """All clusters, the one in place first."""
    said = [] if result["clusters"] else ["The bucket has no archive of a database."]
    if result.get("key_id"):
        said.append("The key opens the folder %s of the bucket:" % result["key_id"])
    for cluster in sorted(result["clusters"], key=lambda one: (not one["in_place"], -one["until"])):
        place = "in place on the droplet" if cluster["in_place"] else "-e litefarm_cluster=%s" % cluster["cluster"]
        said.append("Cluster %s (%s), PostgreSQL %s" % (cluster["cluster"], place, cluster["version"] or "?"))
        if cluster["problem"]:
            said.append(cluster["problem"])
        else:
            said += table(COLUMNS, [row(backup, result["time"]) for backup in cluster["backups"]])
            said.append(span(cluster))
        said.append("")
    return said


def span(cluster):
    if not cluster["until"]:
        return "Nothing can be restored: there is no backup yet."
    return "Any second from %s to %s can be restored." % (moment(cluster["since"]), moment(cluster["until"]))


def row(backup, now):
    return {
        "label": backup["label"],
        "name": backup["name"] or "-",
        "type": backup["type"],
        "ended": moment(backup["stop"])[:16],
        "age": duration(max(0, int(now - backup["stop"]))),
        "size": size(backup["size"]),
        "repo_size": size(backup["repo_size"]),
        "state": "damaged" if backup["damaged"] else "ok",
    }


def moment(seconds):
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def size(count):
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return "%.3g %s" % (count, unit)
        count /= 1000
    return "%.3g GB" % count
