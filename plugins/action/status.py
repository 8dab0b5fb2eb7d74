# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import time

from ansible.utils.display import Display

from ansible_collections.litefarm.platform.plugins.module_utils import ledger, maintenance
from ansible_collections.litefarm.platform.plugins.module_utils.postgres_archive import explain
from ansible_collections.litefarm.platform.plugins.module_utils.postgres_restore import megabytes
from ansible_collections.litefarm.platform.plugins.module_utils.verification.rows import duration, shortened
from ansible_collections.litefarm.platform.plugins.plugin_utils.control_node import ControlNodeAction
from ansible_collections.litefarm.platform.plugins.plugin_utils.droplet_rules import first_line
from ansible_collections.litefarm.platform.plugins.plugin_utils.text_table import table

display = Display()

SERVICES = {"service": "SERVICE", "where": "WHERE", "release": "RELEASE", "since": "SINCE (UTC)", "state": "STATE", "health": "HEALTH"}
HISTORY = {"when": "WHEN (UTC)", "who": "WHO", "kind": "WHAT", "before": "FROM", "after": "TO", "took": "TOOK", "result": "RESULT", "message": "WHY"}
NAMED = 5
# Seconds after which the guard's report says nothing of now, and from which WAL that waits is worth a word.
GUARD_SILENT, WAL_WAITS = 60, 60
COLOURS = {"FAIL": "red", "failed": "red", "unknown": "yellow", "interrupted": "yellow", "partial": "yellow"}


class ActionModule(ControlNodeAction):
    """Prints what runs where, who holds the lock and what was released, and never fails because of it."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(
            argument_spec={
                "services": {"type": "list", "elements": "str", "required": True},
                "ledger": {"type": "dict", "required": True},
                "lines": {"type": "int", "default": 10},
            }
        )
        hostvars, groups = task_vars["hostvars"], task_vars["groups"]
        droplets = {
            host: ([name for name in arguments["services"] if host in (groups.get(name) or [])], hostvars[host].get("litefarm_release_info") or {})
            for host in task_vars["ansible_play_hosts_all"]
        }
        book = arguments["ledger"]
        history = book.get("history") or []
        rows, notes = service_rows(droplets, arguments["services"], [*history, *ledger.planned(book.get("lock"))])
        # The times of the lock are of the ledger's clock, and so is what they are compared with.
        notes += [lock_line(book, ledger.moment(book.get("now")) or time.time()), *release_lines(history)]
        self._show(SERVICES, rows, "health")
        notes += maintenance.lines({host: found.get("maintenance") for host, (_expected, found) in droplets.items()})
        for note in notes:
            display.display(note)
        archived = archive_lines({host: found for host, (_expected, found) in droplets.items()})
        for line, colour in archived:
            display.display(line, color=colour)
        notes += [line for line, _colour in archived]
        for line in replaced_lines({host: found for host, (_expected, found) in droplets.items()}):
            display.display(line)
            notes.append(line)
        if history and arguments["lines"] > 0:
            display.display("")
            self._show(HISTORY, history_rows(history[-arguments["lines"] :]), "result")
        result.update(changed=False, rows=rows, notes=notes)
        return result

    @staticmethod
    def _show(columns, rows, telling):
        head, *lines = table(columns, rows)
        display.display(head)
        for line, row in zip(lines, rows):
            display.display(line, color=COLOURS.get(row[telling]))


def service_rows(droplets, order, history):
    """Rows, and what they leave unsaid: droplets to (expected services, what release_info found)."""
    rows, notes, places = [], [], []
    for host, (expected, found) in droplets.items():
        absent, reason = absence(found)
        if reason:
            notes.append("%s %s" % (host, reason))
        services = found.get("services") or {}
        # A droplet whose services are nobody's business here is told of only if it is ill.
        for name in [each for each in order if each in expected or each in services] or (["-"] if reason else []):
            seen = services.get(name)
            if seen is None:
                rows.append({"service": name, "where": host, "release": "-", "since": "-", "state": absent, "health": "unknown" if reason else "FAIL"})
                continue
            places.append((name, host, seen["image"]))
            release = release_of(name, seen["image"], history)
            other = release_of(name, seen["beside"], history) if seen.get("beside") else ""
            rows.append(
                {
                    "service": name,
                    "where": host,
                    "release": release,
                    # Both times are of the droplet's own clock.
                    "since": when(seen.get("since"), ledger.moment(found.get("now"))),
                    "state": state_of(seen, other if other != release else ""),
                    "health": {True: "ok", False: "FAIL"}.get(seen.get("healthy"), "-"),
                }
            )
            if seen.get("healthy") is False:
                notes.append("%s on %s is not healthy: %s" % (name, host, shortened("; ".join(seen.get("probes") or []) or "it is %s" % seen["state"], 300)))
            if other and not seen.get("upstream_read", True):
                notes.append(
                    "nginx on %s may not have taken over the switch of %s to %s, so %s may still serve: run the release again." % (host, name, release, other)
                )
    several = ledger.side_by_side(ledger.releases_of(places, history))
    notes += [several] if several else []
    ranks = {name: number for number, name in enumerate(order)}
    return sorted(rows, key=lambda each: ranks.get(each["service"], len(ranks))), notes


def absence(found):
    """The state of a service that was not found, and the reason, if it is the droplet's."""
    if found.get("unreachable") or not found:
        return "unreachable", "does not answer: %s" % shortened(first_line(found.get("msg") or "it was not asked"), 200)
    if found.get("failed"):
        return "unknown", "cannot be looked at: %s" % shortened(first_line(found.get("msg") or ""), 200)
    if found.get("engine") is False:
        return "no engine", "has no engine that answers: its services may run, or not."
    return "missing", ""


def release_of(service, image, history):
    """The name of the release that an image is of, or the image itself."""
    record = ledger.record_of(service, image, history)
    return ledger.name_of(record["to"]) if record else short_image(image)


def short_image(image):
    """registry.example.org/litefarm/api@sha256:6c3c624b58db… as api@sha256:6c3c624b58db"""
    return re.sub(r"(sha256:[0-9a-f]{12})[0-9a-f]+", r"\1", image).rpartition("/")[2]


def state_of(seen, other):
    parts = [seen["state"]]
    if seen.get("restarts"):
        parts.append("%d restart%s" % (seen["restarts"], "" if seen["restarts"] == 1 else "s"))
    if seen.get("under_way"):
        parts.append("release under way")
        parts += ["%s beside it" % other] if other else []
    return ", ".join(parts)


def when(text, now):
    moment = ledger.moment(text)
    age = " (%s)" % duration(max(0, now - moment)) if now else ""
    return short_time(text) + age if moment else "-"


def short_time(text):
    return text[:16].replace("T", " ")


def lock_line(book, now):
    if "lock" not in book:
        return "The lock and the history cannot be read: %s" % shortened(first_line(book.get("msg") or "their droplet was not asked"), 200)
    lock = book["lock"]
    if not lock:
        return "Nobody holds the deploy lock."
    ends = "it expires at %s" if ledger.moment(lock["expires"]) > now else "it expired at %s, and the next run takes it over"
    since = "%s (%s)" % (lock["since"], duration(max(0, now - ledger.moment(lock["since"]))))
    if book.get("dead"):
        return "The run of %s for %s is dead: it took the deploy lock at %s, and its process has ended. The next run takes the lock over." % (
            ledger.holder_of(lock), lock["what"], since,
        )  # fmt: skip
    return "%s holds the deploy lock since %s for %s; %s." % (ledger.holder_of(lock), since, lock["what"], ends % lock["expires"])


def archive_lines(by_host):
    """How old what is off the droplets is, in one line, and a line for each trouble: (line, colour). C(by_host): droplet to what release_info found."""
    archives = {host: found["archive"] for host, found in by_host.items() if found.get("archive")}
    files = {host: found["file_backup"] for host, found in by_host.items() if found.get("file_backup")}
    parts = [_archive_words(archive) for archive in archives.values()] + ([_file_words(files.values())] if files else [])
    if not parts:
        return []
    lines = [("Archive: %s." % "; ".join(parts), None)]
    for host, archive in archives.items():
        lines += [("%s: %s" % (host, text), colour) for text, colour in _archive_troubles(archive)]
    for host, found in files.items():
        for tag, each in found["tags"].items() or [("", found)]:
            if each.get("result", found.get("result")) != "ok":
                what, why = "backup of files%s" % (" (%s)" % tag if tag else ""), each.get("message") or found.get("message") or "its journal says why"
                lines.append(("%s: The last %s failed: %s" % (host, what, shortened(why, 300)), "red"))
    return lines


def replaced_lines(by_host):
    """What takes disk space until a person removes it. C(by_host): droplet to what release_info found."""
    return [
        "%s keeps data that restores have replaced: %s. Remove what nobody needs." % (
            host,
            ", ".join(
                "%s (%s%s)" % (each["path"], megabytes(each["bytes"]), "" if each["age"] is None else ", %s old" % duration(each["age"]))
                for each in found["replaced_data"]
            ),
        )
        for host, found in by_host.items() if found.get("replaced_data")
    ]  # fmt: skip


def _archive_words(archive):
    guard, results = archive["guard"] or {}, archive["results"]
    waits, archived = guard.get("unarchived_seconds") or 0, guard.get("last_archived_age")
    wal = "WAL waits for %s" % duration(waits) if waits >= WAL_WAITS else "no WAL yet" if archived is None else "last WAL %s ago" % duration(archived)
    good = {kind: each["ok_age"] for kind, each in results.items() if each.get("ok_age") is not None and kind != "verify"}
    youngest = min(good, key=good.get, default=None)
    backup = "last backup %s old (%s)" % (duration(good[youngest]), youngest) if youngest else "no backup yet"
    full = ", full %s old" % duration(good["full"]) if "full" in good and youngest != "full" else ""
    return "%s, %s%s" % (wal, backup, full)


def _archive_troubles(archive):
    guard, lines = archive["guard"] or {}, []
    if guard.get("age") is None or guard["age"] >= GUARD_SILENT:
        lines.append(("The guard of the archive does not run, so the age of the WAL is unknown: systemctl status litefarm-postgres-guard.", "red"))
    elif guard.get("level", "ok") != "ok":
        colour = "red" if guard["level"] in ("failing", "disk_full") else "yellow"
        lines.append((shortened(guard.get("message") or "The guard of the archive says %s." % guard["level"], 500), colour))
    for kind, each in archive["results"].items():
        if each.get("result") != "ok":
            what = "verification of the archive" if kind == "verify" else "%s backup" % kind
            why = shortened(explain(None, each.get("message") or "") or "its journal says why", 300)
            lines.append(("The last %s failed%s: %s" % (what, "" if each.get("age") is None else " %s ago" % duration(each["age"]), why), "red"))
    return lines


def _file_words(files):
    ages = [each.get("age") for found in files for each in (found["tags"].values() or [found])]
    known = [each for each in ages if each is not None]
    return "files %s old" % duration(max(known)) if known else "age of the files unknown"


def release_lines(history):
    """Which releases need a person's decision: a failed one may be tried again, one that was taken back needs force."""
    taken_back = ledger.taken_back(history)
    partial = ledger.partial(history)
    return ([partial] if partial else []) + [
        "%s: %s." % (title, names)
        for title, names in (
            ("Failed when it was last released", names_of(ledger.failed(history) - set(taken_back), history)),
            ("Taken back, and released again only with -e force=true", names_of(taken_back, history)),
        )
        if names
    ]


def names_of(commits, history):
    """The newest first. Of some, only a rollback from them may still be known."""
    names = {each[side]["commit"]: ledger.name_of(each[side]) for each in reversed(history) for side in ("to", "from") if each[side]["commit"] in commits}
    more = " and %d older ones" % (len(names) - NAMED) if len(names) > NAMED else ""
    return ", ".join(list(names.values())[:NAMED]) + more


def history_rows(history):
    return [
        {
            "when": short_time(each["time"]),
            "who": shortened(each["who"], 20),
            "kind": each["kind"],
            "before": ledger.name_of(each["from"]) if each["from"]["commit"] or each["from"]["version"] else "-",
            "after": ledger.name_of(each["to"]) if each["to"]["commit"] or each["to"]["version"] else "-",
            "took": "-" if each["seconds"] is None else duration(each["seconds"]),
            "result": each["result"],
            "message": shortened(each["message"], 100),
        }
        for each in history
    ]
