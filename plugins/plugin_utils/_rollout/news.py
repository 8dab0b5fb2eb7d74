# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An event of the webhook as one sentence, which chats show."""

from __future__ import annotations

from ansible_collections.litefarm.platform.plugins.module_utils._ledger import name_of
from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import evaluate


def sentence(event: str, record: dict, environment: str, who: str) -> str:
    """
    Args:
        event: `before`, `after` or `failure`.
        record: what the history says of the run, with `result` and `message` unless the event is `before`.
    """
    before, after = name_of(record["from"]), name_of(record["to"])
    # The first release replaces nothing, and a run of site.yml may replace a release by itself.
    instead = ", instead of %s" % before if record["from"].get("commit") and before != after else ""
    by = " (%s by %s)" % (record["kind"], who) if who else " (%s)" % record["kind"]
    if event == "before":
        number = len(record["migrations"])
        migrations = ", with %d migration%s" % (number, "" if number == 1 else "s") if number else ""
        return "%s: the release of %s%s%s%s begins%s." % (environment, after, instead, migrations, "," if instead or migrations else "", by)
    if event == "failure":
        return "%s: the release of %s failed: %s%s." % (environment, after, record["message"].rstrip("."), by)
    if record["result"] == "partial":
        return "%s: %s is released on some droplets only: %s%s." % (environment, after, record["message"].rstrip("."), by)
    return "%s: %s is released%s%s." % (environment, after, instead, by)


def sentence_of(event: str, record: dict, templar, task_vars: dict) -> str:
    """The sentence of the run that a task belongs to."""
    lock = (task_vars.get("litefarm_lock") or {}).get("lock") or {}
    environment, _reason = evaluate(templar, task_vars, "litefarm_environment")
    return sentence(event, record, environment or "unknown environment", lock.get("who") or "")
