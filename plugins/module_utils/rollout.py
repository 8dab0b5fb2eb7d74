# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a release before it is made: where it comes from, where it goes, and what it brings with it."""

from __future__ import annotations

import re

from ansible_collections.litefarm.platform.plugins.module_utils.ledger import last_good, name_of

PENDING = re.compile(r"^(?:Found \d+|No) Pending Migration files?\b")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def pending_migrations(lines):
    """The migrations that the database lacks, out of what knex migrate:list says."""
    plain = [COLOURS.sub("", line).strip() for line in lines]
    start = next((number for number, line in enumerate(plain) if PENDING.match(line)), None)
    if start is None:
        raise ValueError("The list of migrations cannot be read: %s" % " ".join(plain[-3:]))
    return [line for line in plain[start + 1 :] if line]


def taken_back(history, commit):
    """The record of the rollback that left this commit, if nobody has released it since."""
    for record in reversed(history):
        if record["result"] == "ok" and record["to"]["commit"] == commit:
            return None
        if record["result"] == "ok" and record["kind"] == "rollback" and record["from"]["commit"] == commit:
            return record
    return None


def migrations_since(history, commit):
    """What the database has had done to it since this commit was released for the last time."""
    found = []
    for record in reversed(history):
        if record["result"] == "ok" and record["to"]["commit"] == commit and record["kind"] != "rollback":
            break
        found = record["migrations"] + found
    return found


def refusal(kind, release, history, force):
    """Why a release is not made, or nothing."""
    record = taken_back(history, release["commit"])
    if kind == "rollback" or force or record is None:
        return None
    return (
        "%s was taken back at %s by %s, and is not released again by itself: set litefarm_version to what runs now (%s) in the inventory, or to a "
        "better version, or give -e force=true." % (name_of(release), record["time"], record["who"], name_of(record["to"]))
    )


def lines_of(kind, release, running, history, pending):
    """What is going to happen, for the person who waits.

    Args:
        running: droplet to its services, as M(litefarm.platform.release_info) returns them; only droplets of the run.
        pending: names of migrations, or None if they could not be asked for.
    """
    last = last_good(history)
    before = name_of(last["to"]) if last else "nothing that is recorded"
    lines = ["%s: %s -> %s" % (kind, before, name_of(release))]
    for service, image in release["images"].items():
        same = [host for host, services in running.items() if services.get(service, {}).get("image") == image["reference"]]
        other = [host for host, services in running.items() if host not in same and service in services.get("wanted", [])]
        where = ["%s on %s" % (word, ", ".join(hosts)) for word, hosts in (("new", other), ("there already", same)) if hosts]
        if where:
            lines.append("  %s %s: %s" % (service, image["reference"], "; ".join(where)))
    if kind == "rollback":
        newer = migrations_since(history, release["commit"])
        lines.append("  migrations that stay, unknown to this release: %s" % (", ".join(newer) or "none"))
    elif pending is not None:
        lines.append("  migrations: %s" % (", ".join(pending) or "none"))
    return lines
