# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an environment runs one release: the containers of all its droplets, against the history that one of them keeps."""

from __future__ import annotations

from ansible_collections.litefarm.platform.plugins.module_utils import _ledger as ledger
from ansible_collections.litefarm.platform.plugins.module_utils._verification.rows import warning


def compared(rows, containers):
    """The rows, of which those that have a C(history) are judged by it, and sentences about what is wrong.

    Args:
        containers: droplet to the containers of the platform's services on it.
    """
    places = [(each["service"], host, each["image"]) for host, found in containers.items() for each in found if each["status"] == "running"]
    judged, notes = [], []
    for row in rows:
        if "history" in row:
            row, sentences = _judged(row, places)
            notes += sentences
        judged.append(row)
    return judged, notes


def _judged(row, places):
    history = row["history"]
    row = {key: value for key, value in row.items() if key != "history"}
    found = ledger.releases_of(places, history)
    partial, several = ledger.partial(history), ledger.side_by_side(found)
    if several:
        row = warning(row["check"], row["where"], row["expected"], ", ".join(found))
    elif partial:
        row = warning(row["check"], row["where"], row["expected"], "%s on some droplets only" % ledger.name_of(ledger.last_good(history)["to"]))
    else:
        row["seen"] = ", ".join(found) or "none of the history"
    return row, [sentence for sentence in (partial, several) if sentence]
