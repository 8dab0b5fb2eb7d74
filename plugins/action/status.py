# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import time

from ansible.utils.display import Display

from ansible_collections.litefarm.platform.plugins.module_utils import (
    _job_queues as job_queues,
    _ledger as ledger,
    _maintenance as maintenance,
    _repaired_log as repaired_log,
)
from ansible_collections.litefarm.platform.plugins.module_utils._certificates import least
from ansible_collections.litefarm.platform.plugins.module_utils._postgres_archive import explain
from ansible_collections.litefarm.platform.plugins.module_utils._postgres_restore import megabytes
from ansible_collections.litefarm.platform.plugins.module_utils._restarts import cure, memory_variable
from ansible_collections.litefarm.platform.plugins.module_utils._verification.rows import days, duration, shortened
from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import ControlNodeAction
from ansible_collections.litefarm.platform.plugins.plugin_utils._droplet_rules import first_line
from ansible_collections.litefarm.platform.plugins.plugin_utils._text_table import table
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification.inside import NEWER_IMAGE, not_live

display = Display()

SERVICES = {"service": "SERVICE", "where": "WHERE", "release": "RELEASE", "since": "SINCE (UTC)", "state": "STATE", "health": "HEALTH"}
HISTORY = {"when": "WHEN (UTC)", "who": "WHO", "kind": "WHAT", "before": "FROM", "after": "TO", "took": "TOOK", "result": "RESULT", "message": "WHY"}
NAMED = 5
# Seconds after which the guard's report says nothing of now, and from which WAL that waits is worth a word.
GUARD_SILENT, WAL_WAITS = 60, 60
COLOURS = {"FAIL": "red", "failed": "red", "unknown": "yellow", "interrupted": "yellow", "partial": "yellow"}


class ActionModule(ControlNodeAction):
    """Prints what runs where, who holds the lock and what was released, and never fails because of it."""

    OPTIONS = {
        "services": {"type": "list", "elements": "str", "required": True},
        "ledger": {"type": "dict", "required": True},
        "lines": {"type": "int", "default": 10},
    }

    def execute(self, result, arguments, task_vars):
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
        by_host = {host: found for host, (_expected, found) in droplets.items()}
        told = [line for lines in COLOURED for line in lines(by_host)]
        told += [(line, None) for line in replaced_lines(by_host)]
        told += [(line, "yellow") for line in repaired_lines(by_host)]
        for line, colour in told:
            display.display(line, color=colour)
        notes += [line for line, _colour in told]
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
            if (seen.get("restarts_last_hour") or 0) > 1:
                why = cure(name, seen.get("out_of_memory"), memory_variable(name))
                notes.append("%s on %s was restarted %d times in the last hour: %s." % (name, host, seen["restarts_last_hour"], why))
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
        lately = " (%d in the last hour)" % seen["restarts_last_hour"] if seen.get("restarts_last_hour") else ""
        parts.append("%d restart%s%s" % (seen["restarts"], "" if seen["restarts"] == 1 else "s", lately))
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


def dump_lines(by_host):
    """A line for each droplet whose last dump of the database failed: (line, colour). C(by_host): droplet to what release_info found."""
    lines = []
    for host, found in by_host.items():
        dump = found.get("dump") or {"result": "ok"}
        if dump.get("result") != "ok":
            when_failed = "" if dump.get("age") is None else " %s ago" % duration(dump["age"])
            good = "" if dump.get("ok_age") is None else " (the last good one is %s old)" % duration(dump["ok_age"])
            why = shortened(dump.get("message") or "journalctl -u litefarm-backup-postgres says why", 300)
            lines.append(("%s: The last dump of the database failed%s%s: %s" % (host, when_failed, good, why), "red"))
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


def repaired_lines(by_host):
    """Logs that Redis' container has repaired, until a person removes the copies. C(by_host): droplet to what release_info found."""
    return ["Redis on %s: %s." % (host, repaired_log.words(found["repaired_logs"])) for host, found in by_host.items() if found.get("repaired_logs")]


def certificate_lines(by_host):
    """For how long the certificate of each name is good, in one line, and a line for each trouble: (line, colour)."""
    found = {host: each["certificates"] for host, each in by_host.items() if each.get("certificates")}
    names = [each for served in found.values() for each in served["names"]]
    good = ["%s %s left" % (each["name"], days(each["left"])) for each in names if "left" in each and "problem" not in each]
    lines = [("Certificates: %s." % ", ".join(good), None)] if good else []
    for host, served in found.items():
        for each in served["names"]:
            if "problem" in each:
                lines.append(("%s: %s has no good certificate: %s." % (host, each["name"], shortened(each["problem"], 300)), "red"))
            elif each["left"] < least(each["lifetime"]):
                lines.append(("%s: The certificate of %s is not renewed: journalctl -u certbot says why." % (host, each["name"]), "red"))
        renewal = served["renewal"]
        if renewal.get("failed"):
            ago = "" if renewal["age"] is None else " %s ago" % duration(renewal["age"])
            lines.append(("%s: The last renewal of certificates failed%s: %s" % (host, ago, shortened(renewal["message"], 300)), "red"))
        elif renewal.get("problem"):
            lines.append(("%s: Certificates are not renewed: %s." % (host, shortened(renewal["problem"], 300)), "red"))
    return lines


def live_lines(by_host):
    """A line for each droplet on which something else runs than its files declare: (line, colour)."""
    found = {host: seen["live"] for host, seen in by_host.items() if seen.get("live")}
    return [("%s does not run what is declared: %s." % (host, not_live(seen["different"])), "red") for host, seen in found.items() if seen["different"]]


def image_lines(by_host):
    """How old third-party images are, in one line, and a line for each that has a newer one: (line, colour)."""
    found = [(host, each) for host, seen in by_host.items() for each in (seen.get("third_party") or {}).values()]
    ages = {each["image"]: "age unknown" if each["age"] is None else "%s old" % duration(each["age"]) for _host, each in found}
    lines = [("Images: %s." % ", ".join("%s %s" % (short_image(image), age) for image, age in ages.items()), None)] if ages else []
    for host, each in found:
        if each["newer"]:
            lines.append(("%s: The registry has a newer %s: %s." % (host, each["image"], NEWER_IMAGE), "yellow"))
        elif each["newer"] is None and "@" not in each["image"]:
            lines.append(("%s: Whether there is a newer %s is not known: %s" % (host, each["image"], shortened(each["problem"], 300)), "yellow"))
    return lines


def job_lines(by_host):
    """How many jobs have failed, in a line for each droplet with queues, and a line for queues that a release has paused or nobody works on: (line, colour)."""
    lines = []
    for host, found in [(host, each) for host, seen in by_host.items() for each in (seen.get("job_queues") or {}).values()]:
        if found["problem"]:
            lines.append(("%s: Whether jobs have failed is not known: %s" % (host, shortened(found["problem"], 300)), "yellow"))
            continue
        lately = job_queues.failed_lately(found)
        where = "; on %s, %s" % (host, job_queues.LIST) if lately else ""
        lines.append(("Failed jobs: %s%s." % (job_queues.failed(found), where), "yellow" if lately else None))
        if job_queues.paused(found):
            lines.append(("%s: Queues are %s; %s." % (host, job_queues.paused(found), job_queues.RESUME), "yellow"))
        if job_queues.untaken(found):
            lines.append(("%s: Jobs wait: %s; %s." % (host, job_queues.untaken(found), job_queues.TAKE), "red"))
    return lines


def queue_lines(by_host):
    """Requests that services work on and that wait, in one line, and a line for each trouble: (line, colour)."""
    found = {host: each["request_queues"] for host, each in by_host.items() if each.get("request_queues")}
    each_queue = [(host, service, queue) for host, seen in found.items() for service, queue in seen["services"].items()]
    parts = ["%s on %s %d at work, %d waiting" % (service, host, queue["working"], queue["waiting"]) for host, service, queue in each_queue]
    lines = [("Queues: %s." % "; ".join(parts), None)] if parts else []
    for host, service, queue in each_queue:
        if queue["refused"]:
            text = "%s: %d requests to %s were refused in the last hour, because they had waited for too long: a larger %s lets more be worked on at once."
            lines.append((text % (host, queue["refused"], service, memory_variable(service)), "yellow"))
    silent = {host: seen["error"] for host, seen in found.items() if seen["error"]}
    return lines + [("%s: %s, so nothing bounds the requests: site.yml starts it." % each, "red") for each in silent.items()]


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
        guard = {}
    if guard.get("level", "ok") != "ok":
        colour = "red" if guard["level"] in ("failing", "disk_full") else "yellow"
        lines.append((shortened(guard.get("message") or "The guard of the archive says %s." % guard["level"], 500), colour))
    if guard.get("reserve_problem"):
        lines.append((shortened(guard["reserve_problem"], 300), "yellow"))
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
            ("Taken back, and released again only with -e litefarm_force=true", names_of(taken_back, history)),
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


# What is told of the droplets below the table, in this order: functions that give lines with their colours.
COLOURED = (archive_lines, dump_lines, certificate_lines, live_lines, image_lines, job_lines, queue_lines)
