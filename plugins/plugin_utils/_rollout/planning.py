# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollout is going to do, concluded from the history and from what the droplets run."""

from __future__ import annotations

from ansible_collections.litefarm.platform.plugins.module_utils._ledger import IN_PLACE, last_good, last_on, name_of

from .migrations import Listed
from .state import Plan

NOTHING = {"version": "", "commit": ""}


def make_plan(kind: str, release: dict, history: list[dict], hosts: list[str], groups: dict[str, list[str]], listed: Listed | None) -> Plan:
    """The plan of a run.

    Args:
        kind: `deploy`, `site`, `rollback` or `restore`.
        release: what the action release returned: version, commit, and references of images by service.
        history: records of the environment, the newest last.
        hosts: droplets of the run.
        groups: service to the droplets of the environment that have it.
        listed: what the database has and lacks, or None if it was not asked.
    """
    last = last_good(history)
    to = {"version": release["version"], "commit": release["commit"]}
    return Plan(
        kind=kind,
        release=to,
        images=dict(release["references"]),
        before=last["to"] if last else NOTHING,
        hosts=tuple(hosts),
        pending=listed.pending if listed else (),
        leftovers=leftovers(history, hosts, groups),
        behind=behind(history, to, hosts, groups),
    )


def leftovers(history: list[dict], hosts: list[str], groups: dict[str, list[str]]) -> dict[str, dict[str, str]]:
    """Droplet to service to the image that an interrupted run may have left there, where that is not the image which the droplet ran last.

    Only runs that were interrupted since the last one that left its release in place: that one has finished or undone those before it.
    """
    ends = [number for number, record in enumerate(history) if record["result"] in IN_PLACE]
    interrupted = [record for record in history[ends[-1] + 1 if ends else 0 :] if record["result"] == "interrupted"]
    found: dict[str, dict[str, str]] = {}
    for host in hosts:
        last = last_on(history, host) or last_good(history)
        for record in interrupted:
            # The lock of an earlier collection does not say its droplets.
            if record["hosts"] and host not in record["hosts"]:
                continue
            for service, image in record["images"].items():
                before = last["images"].get(service) if last else None
                if host in groups.get(service, []) and before and image != before:
                    found.setdefault(host, {})[service] = image
    return found


def behind(history: list[dict], release: dict[str, str], hosts: list[str], groups: dict[str, list[str]]) -> dict[str, str]:
    """Droplets with services of the release that are not part of the run and do not run it yet, with the release on which they stay."""
    found = {}
    for host in dict.fromkeys(host for members in groups.values() for host in members if host not in hosts):
        last = last_on(history, host)
        if last is None or last["to"]["commit"] != release["commit"]:
            found[host] = name_of(last["to"]) if last else "what it ran before"
    return found


def migrations_since(history: list[dict], commit: str) -> list[str]:
    """What the database has had done to it since this commit was released for the last time, also by runs that failed or were interrupted."""
    found: list[str] = []
    for record in reversed(history):
        if record["result"] in IN_PLACE and record["to"]["commit"] == commit and record["kind"] != "rollback":
            break
        found = record["migrations"] + found
    return list(dict.fromkeys(found))


def lines_of(plan: Plan, running: dict[str, dict], history: list[dict], listed: Listed | None) -> list[str]:
    """What is going to happen, for the person who waits.

    Args:
        running: droplet of the run to its services, as M(litefarm.platform.release_info) returns them, and `wanted`, those that it should have.
        listed: what the database has and lacks, or None if it was not asked.
    """
    lines = ["%s: %s -> %s" % (plan.kind, name_of(plan.before) if plan.before["commit"] else "nothing that is recorded", name_of(plan.release))]
    for service, image in plan.images.items():
        same = [host for host, services in running.items() if services.get(service, {}).get("committed_image") == image]
        other = [host for host, services in running.items() if host not in same and service in services.get("wanted", [])]
        where = ["%s on %s" % (word, ", ".join(hosts)) for word, hosts in (("new", other), ("there already", same)) if hosts]
        if where:
            lines.append("  %s %s: %s" % (service, image, "; ".join(where)))
    lines += ["  not in this run: %s, which stays on %s" % each for each in plan.behind.items()]
    if plan.kind == "rollback":
        newer = migrations_since(history, plan.release["commit"])
        lines.append("  migrations that stay, unknown to this release: %s" % (", ".join(newer) or "none"))
    elif listed is not None:
        lines.append("  migrations: %s" % (", ".join(plan.pending) or "none"))
    return lines
