# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what runs on a droplet is what its files declare.

A daemon does not tell what it has read. So the module config_files records when each file was last changed before units and
commands took it over (its ctime, which nobody can set back). A file that has the same ctime now is what they have read, however often
they were restarted since. What the kernel has (rules, sysctl values) is compared where a unit or command declares C(live).
"""

from __future__ import annotations

import json
import os

from . import _live_kernel as kernel
from ._atomic_files import write_atomically
from ._locking import try_lock

RECORD = "loaded.json"
JOURNAL = "journal.json"
LOCK = "lock"
RUNNING = ("active", "activating", "reloading", "refreshing")


def ask(question, run):
    """What differs from what is declared, or an empty text; raises kernel.CannotTell."""
    if question["kind"] == "nftables":
        return kernel.nftables(question["table"], question["file"], run)
    if question["kind"] == "docker":
        return kernel.docker(run)
    if question["kind"] == "sysctl":
        return kernel.sysctl(question["file"])
    code, output = run(question["command"])
    if code not in (0, 1):
        raise kernel.CannotTell("%s (`%s`, exit status %s)" % (output, " ".join(question["command"]), code))
    return code and (output or "it is not what is declared")


def title(name, question):
    """What a person knows a question by: a unit, or the file that a command loads."""
    return (question.get("file") or name) if " " in name else name


def identity(path):
    """By this a change of a file, also one that was taken back, or of the names in a folder is seen; None if nothing is there."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return [found.st_ctime_ns, found.st_size]


class Record:
    """What units and commands of one set have taken over."""

    def __init__(self, folder):
        self.path = os.path.join(folder, RECORD)

    def load(self):
        """None if there is none that can be read."""
        try:
            with open(self.path, encoding="utf-8") as handle:
                found = json.load(handle)
            return found if isinstance(found, dict) and isinstance(found.get("paths"), dict) else None
        except (FileNotFoundError, ValueError):
            return None

    def store(self, record):
        if record != self.load():
            write_atomically(self.path, json.dumps(record, indent=1, sort_keys=True), 0o600)


def look(names, root, run, show):
    """What of these sets is not live, as sentences, and the sets of which nothing is recorded.

    C(run) returns exit status and output of a command; C(show) the properties of units by name, or None.
    """
    folders = {name: os.path.join(root, name) for name in names}
    records = {name: Record(folder).load() for name, folder in folders.items()}
    known = {name: record for name, record in records.items() if record}
    units = sorted(set(unit for record in known.values() for unit in record.get("units", [])))
    states = (show(units) or {}) if units else {}
    kernel_differs, interrupted, units_differ, files_differ = [], [], [], []
    for name, record in known.items():
        if os.path.exists(os.path.join(folders[name], JOURNAL)):
            if not _free(folders[name]):
                # A run is at it, and will have loaded everything when it ends.
                continue
            interrupted.append("a run that changed files of %s was interrupted" % name)
        kernel_differs += _questions(record, run, states)
        units_differ += _units(record, states)
        files_differ += changed_files(record)
    # Rules before files: only the first differences are shown.
    return {"different": kernel_differs + interrupted + units_differ + files_differ, "unknown": [name for name, record in records.items() if record is None]}


def _free(folder):
    try:
        with open(os.path.join(folder, LOCK), encoding="utf-8") as lock:
            return try_lock(lock)
    except FileNotFoundError:
        return True


def names_of(readers):
    """Units by their names. A command may be a long line."""
    return ", ".join(sorted(set("a command" if " " in name else name for name in readers)))


def changed_files(record):
    """Files that were changed since they were read."""
    return [
        "%s was changed after %s read it" % (path, names_of(readers))
        for path, readers in sorted(record.get("readers", {}).items())
        if identity(path) != record["paths"].get(path)
    ]


def _units(record, states):
    found = ["%s is %s" % (name, states[name].get("ActiveState")) for name in record.get("started", []) if not _runs(states.get(name, {}))]
    return found + ["systemd runs %s by an older unit file" % name for name in record.get("units", []) if states.get(name, {}).get("NeedDaemonReload") == "yes"]


def _runs(state):
    return state.get("ActiveState", "active") in RUNNING


def _questions(record, run, states):
    found = []
    for name, question in sorted(record.get("live", {}).items()):
        # A unit that does not run holds nothing that could differ; that it does not run is told above.
        if _runs(states.get(name, {})):
            try:
                different = ask(question, run)
            except (kernel.CannotTell, OSError) as error:
                different = str(error)
            if different:
                found.append("%s: %s" % (title(name, question), different))
    return found
