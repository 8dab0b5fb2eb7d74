# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module found on a droplet, or heard there from its neighbours, against what is expected."""

from __future__ import annotations

import ipaddress
import urllib.parse

from ansible_collections.litefarm.platform.plugins.module_utils._certificates import least
from ansible_collections.litefarm.platform.plugins.module_utils._job_queues import LIST, RESUME, TAKE, failed, failed_lately, paused, untaken
from ansible_collections.litefarm.platform.plugins.module_utils._maintenance import words
from ansible_collections.litefarm.platform.plugins.module_utils._postgres_archive import explain
from ansible_collections.litefarm.platform.plugins.module_utils._repaired_log import words as words_of_repairs
from ansible_collections.litefarm.platform.plugins.module_utils._restarts import cure, memory_variable
from ansible_collections.litefarm.platform.plugins.module_utils._verification.rows import days, duration, row, shortened, warning

# A container in another state, such as one that is kept for a rollback, does nothing.
ACTIVE = ("running", "restarting", "paused")
# Seconds in which so many restarts are a crash loop, however long each run lasts.
HOUR, LOOP = 3600, 2
# How many of them are named.
DIFFERENCES = 3
NEWER_IMAGE = "site.yml -e litefarm_pull_images=true takes it"


def check_containers(check, state, host):
    """One container of the service runs, and it has not been restarted over and over."""
    where, expected = "%s %s" % (host, check["service"]), "1 running"
    own = [container for container in state["containers"] if container["service"] == check["service"]]
    running = [container for container in own if container["status"] == "running"]
    if state.get("engine_error"):
        return [row(check["check"], where, expected, state["engine_error"], False)]
    if len(running) != 1:
        states = ", ".join(sorted("%s %s" % (container["name"], container["status"]) for container in own)) or "none"
        return [row(check["check"], where, expected, "%d running (%s)" % (len(running), states), False)]
    restarts, age = running[0]["restarts"], running[0]["running_seconds"]
    lately = running[0].get("restarts_last_hour")
    times = "%d in the last hour" % lately if lately else ""
    if age < HOUR and restarts and not lately:
        # The journal does not say when all of them were, but the last one was within the hour.
        lately, times = restarts, "the last one within the hour"
    seen = "1 running for %s, %d restarts" % (duration(age), restarts)
    if lately:
        variable = check.get("memory") or memory_variable(check["service"])
        seen += ", %s: %s" % (times, cure(running[0]["name"], running[0].get("out_of_memory"), variable))
    good = restarts == 0 or age > check.get("steady_seconds", 300) and (lately or 0) < LOOP
    return [warning(check["check"], where, expected, seen) if good and lately else row(check["check"], where, expected, seen, good)]


def check_misplaced_containers(check, state, host):
    """No service of the platform runs where it does not belong: an export scheduler on a former droplet would do everything twice."""
    where, expected = "%s containers" % host, "of the droplet's groups only"
    if state.get("engine_error"):
        return [row(check["check"], where, expected, state["engine_error"], False)]
    misplaced = [each for each in state["containers"] if each["status"] in ACTIVE and each["service"] not in check["groups"]]
    named = sorted("%s %s, not in the group %s" % (each["name"], each["status"], each["service"]) for each in misplaced)
    return [row(check["check"], where, expected, "; ".join(named) or "none other", not misplaced)]


def check_maintenance(check, state, host):
    """Users are let in."""
    found = state["maintenance"].get(check["path"])
    closed = {"closed": check.get("closes") or []} if found else {}
    return [dict(row(check["check"], host, "off", words(found) if found else "off", not found), **closed)]


def check_repaired_log(check, state, host):
    """Redis' log was not damaged, or a person has seen that it was repaired and has removed the copy."""
    found = state["repaired_logs"].get(check["path"])
    where, expected = "%s redis" % host, "no unconfirmed repair"
    return [warning(check["check"], where, expected, words_of_repairs(found)) if found else row(check["check"], where, expected, "none", True)]


def check_releases(check, state, host):
    """The history of the environment. Whether its droplets fit it is known only when all of them have answered."""
    expected, found = "one release everywhere", state["history"]
    if found["error"]:
        return [warning(check["check"], host, expected, found["error"])]
    return [dict(row(check["check"], host, expected, "", True), history=found["records"])]


def check_exec(check, state, host):
    """A command in the container of a service ends well."""
    where = "%s %s" % (host, check["service"])
    found = state["commands"].get(command_key(check)) or {"error": "not asked"}
    if found.get("error"):
        return [row(check["check"], where, check["expected"], found["error"], False)]
    lines = [line for line in found["output"].splitlines() if line.strip()]
    seen = shortened(lines[-1] if lines else "exit %d" % found["code"], 120)
    return [row(check["check"], where, check["expected"], seen, found["code"] == 0)]


def check_job_queues(check, state, host):
    """Waiting jobs are taken. No job has failed lately, and no release has left its pause; neither of both keeps users out."""
    where, expected = "%s %s" % (host, check["service"]), "none in 24 h"
    found = state["job_queues"].get(check["service"]) or {"problem": "not asked"}
    if found["problem"]:
        return [row(check["check"], where, expected, shortened(found["problem"], 300), False)]
    lately, seen = failed_lately(found), failed(found)
    rows = [warning(check["check"], where, expected, "%s; %s" % (seen, LIST)) if lately else row(check["check"], where, expected, seen, True)]
    if paused(found):
        rows.append(warning("paused queues", where, "by no release", "%s; %s" % (paused(found), RESUME)))
    if untaken(found):
        rows.append(row("waiting jobs", where, "taken at once", "%s; %s" % (untaken(found), TAKE), False))
    return rows


def command_key(check):
    return " ".join([check["service"]] + [str(word) for word in check["command"]])


def check_backups(check, state, host):
    """The newest backup is young and not empty, and no later one failed."""
    where = "%s %s" % (host, check["path"])
    expected = "newest younger than %s" % duration(check["hours"] * 3600)
    found = state["backups"].get(check["path"]) or {}
    last = found.get("last") or {"result": "ok"}
    if last.get("result") != "ok":
        newest = "newest %s old" % duration(found["age_seconds"]) if found.get("newest") else "none yet"
        when = "" if last.get("age") is None else " %s ago" % duration(last["age"])
        why = shortened(last.get("message") or "journalctl -u litefarm-backup-postgres says why", 300)
        return [row(check["check"], where, expected, "%s; the last one failed%s: %s" % (newest, when, why), False)]
    if not found.get("newest"):
        return [row(check["check"], where, expected, "none yet", check.get("none_is_ok", False))]
    good = found["age_seconds"] < check["hours"] * 3600 and found["bytes"] > 0
    return [row(check["check"], where, expected, "%s old, %d bytes" % (duration(found["age_seconds"]), found["bytes"]), good)]


def check_archive(check, state, host):
    """The guard watches, WAL reaches the archive, the disk has room, and backups of each kind are young."""
    found = state["archives"].get(check["state"])
    if not found:
        return [row(check["check"], host, "looked at", "not asked", False)]
    return [*_guard_rows(check, found.get("guard"), host), *_backup_rows(check, found, host), _verification_row(check, found, host)]


def _guard_rows(check, guard, host):
    name, expected = "%s guard" % check["check"], "reports within %s" % duration(check["guard_seconds"])
    if not guard or guard.get("age") is None or guard["age"] >= check["guard_seconds"]:
        seen = "last report %s ago" % duration(guard["age"]) if guard and guard.get("age") is not None else "no report"
        return [row(name, host, expected, "%s: the guard does not run (systemctl status litefarm-postgres-guard)" % seen, False)]
    rows = [row(name, host, expected, "%s ago" % duration(guard["age"]), True)]
    waiting, message = guard.get("unarchived_seconds") or 0, shortened(guard.get("message") or "", 400)
    name, expected = "%s WAL" % check["check"], "waits less than %s" % duration(check["late_seconds"])
    seen = "waits for %s" % duration(waiting) if waiting else "none waits"
    if waiting < check["late_seconds"]:
        rows.append(row(name, host, expected, seen, True))
    elif waiting < check["failing_seconds"]:
        rows.append(warning(name, host, expected, seen))
    else:
        rows.append(row(name, host, expected, message or seen, False))
    name, level, free = "%s disk" % check["check"], guard.get("disk_level", "ok"), guard.get("free_mb")
    seen = "unknown" if free is None else "%d MB free" % free
    if level == "disk_low":
        rows.append(warning(name, host, "has room", message or seen))
    elif level == "ok" and guard.get("reserve_problem"):
        rows.append(warning(name, host, "has room", "%s. %s" % (seen, shortened(guard["reserve_problem"], 300))))
    else:
        rows.append(row(name, host, "has room", seen if level == "ok" else message or seen, level == "ok"))
    return rows


def _backup_rows(check, found, host):
    """What the bucket has. A new environment has nothing in it before its first hour, and that is a warning until its archive is older."""
    if found.get("problem"):
        return [row("%s backups" % check["check"], host, "readable in the bucket", shortened(found["problem"], 400), False)]
    rows = []
    for title, key, kinds, hours in (
        ("backup", "newest", ("full", "diff", "incr"), check["hours"]),
        ("full backup", "newest_full", ("full",), check["full_hours"]),
    ):
        name, expected = "%s %s" % (check["check"], title), "newest younger than %s" % duration(hours * 3600)
        newest = found.get(key)
        if not newest:
            rows.append(_none_yet(name, host, expected, found, hours))
            continue
        seen = "%s old (%s), %d MB" % (duration(newest["age"]), newest["type"], newest["size"] // 1000000)
        failed = [each for each in ((found.get("results") or {}).get(kind) for kind in kinds) if each and each.get("result") != "ok"]
        if newest["age"] >= hours * 3600:
            rows.append(row(name, host, expected, "%s%s" % (seen, _why(failed)), False))
        elif failed or newest["damaged"]:
            rows.append(warning(name, host, expected, "%s%s%s" % (seen, _why(failed), "; it has pages with wrong checksums" if newest["damaged"] else "")))
        else:
            rows.append(row(name, host, expected, seen, True))
    return rows


def _why(failed):
    return "; the last one failed: %s" % shortened(explain(None, failed[0].get("message") or "") or "its journal says why", 300) if failed else ""


def _none_yet(name, host, expected, found, hours, what="archive"):
    since = found.get("created_age")
    if since is not None and since < hours * 3600:
        return warning(name, host, expected, "none yet, the %s is %s old" % (what, duration(since)))
    return row(name, host, expected, "none", False)


def _verification_row(check, found, host):
    """pgBackRest ends well whatever it finds; the unit that runs it reads its words."""
    name, expected = "%s verification" % check["check"], "ok, younger than %s" % duration(check["verify_hours"] * 3600)
    last = (found.get("results") or {}).get("verify")
    if not last or last.get("age") is None:
        return _none_yet(name, host, expected, found, check["verify_hours"])
    if last.get("result") != "ok":
        seen = "failed %s ago: %s" % (duration(last["age"]), shortened(explain(None, last.get("message") or "") or "its journal says why", 300))
        return row(name, host, expected, seen, False)
    return row(name, host, expected, "ok, %s old" % duration(last["age"]), last["age"] < check["verify_hours"] * 3600)


def check_file_backup(check, state, host):
    """The files of the droplet were copied lately, each kind of them. A droplet without the timer has none to copy."""
    found, expected = state["file_backups"].get(check["path"]) or {}, "younger than %s" % duration(check["hours"] * 3600)
    last, since = found.get("status"), found.get("timer_age")
    if not last or last.get("age") is None:
        return [] if since is None else [_none_yet(check["check"], host, expected, {"created_age": since}, check["hours"], "timer")]
    rows = []
    for tag, each in sorted(last.get("tags", {}).items()) or [("", last)]:
        where, age = ("%s %s" % (host, tag)).strip(), each.get("age")
        old = "age unknown" if age is None else "%s old" % duration(age)
        if each.get("result", last.get("result")) != "ok":
            message = shortened(each.get("message") or last.get("message") or "journalctl -u litefarm-file-backup says why", 300)
            rows.append(row(check["check"], where, expected, "the last one failed, %s: %s" % (old, message), False))
        else:
            rows.append(row(check["check"], where, expected, old, age is not None and age < check["hours"] * 3600))
    return rows


def check_database(check, state, host):
    """The database has its owner, who may do nothing else, and the application talks to it with TLS only."""
    found = state["databases"].get(check["database"]) or {}
    where = "%s %s" % (host, check["database"])
    if found.get("error") or not found:
        return [row(check["check"], where, "owned by %s" % check["owner"], found.get("error") or "not asked", False)]
    rows = [row(check["check"], where, "owned by %s" % check["owner"], "owned by %s" % found["owner"], found["owner"] == check["owner"])]
    plain, encrypted = found["plain_connections"], found["tls_connections"]
    seen = "%d with TLS, %d without" % (encrypted, plain)
    rows.append(row("%s connections" % check["check"], where, "all with TLS", seen, plain == 0))
    powers = found["owner_powers"]
    rows.append(row("%s role" % check["check"], where, "no powers beyond its database", ", ".join(powers) or "none", not powers))
    return rows


def certificate_row(check, where, found, cure):
    """Of a certificate that was verified: whether it was renewed in time."""
    enough = least(found["lifetime"])
    seen = "trusted, %s left" % days(found["left"])
    good = found["left"] >= enough
    return row(check, where, "trusted, at least %s left" % days(enough), seen if good else "%s: %s" % (seen, cure), good)


def check_database_certificate(check, state, host):
    """The certificate of the database's server, as the API's droplet sees it. Nothing renews it by itself."""
    address = database_address(check)
    found, where = state["database_certificates"].get(address) or {"error": "not asked"}, "%s to %s" % (host, address)
    if found.get("error"):
        return [row(check["check"], where, "trusted", found["error"], False)]
    return [certificate_row(check["check"], where, found, check["cure"])]


def database_address(check):
    return "%s:%s" % (check["address"], check["port"])


def check_third_party_image(check, state, host):
    """The third-party image of a service is the newest of its tag. An older one is no failure."""
    found, where, expected = state["third_party"].get(check["service"]), "%s %s" % (host, check["service"]), "the newest of its tag"
    if not found:
        return [warning(check["check"], where, expected, "not known: no such container runs")]
    seen = "%s, %s" % (found["image"], "age unknown" if found["age"] is None else "%s old" % duration(found["age"]))
    if found["newer"]:
        return [warning(check["check"], where, expected, "%s; the registry has a newer one: %s" % (seen, NEWER_IMAGE))]
    if found["newer"] is None:
        reason = "%s; %s" % (seen, shortened(found["problem"], 300))
        return [row(check["check"], where, expected, reason, True) if "@" in found["image"] else warning(check["check"], where, expected, reason)]
    return [row(check["check"], where, expected, seen, True)]


def check_unit(check, state, host):
    """The last run of what a timer starts did not fail, and the timer starts the next one."""
    found, expected = state["units"].get(check["unit"]) or {"problem": "not asked"}, "last run ok"
    where = "%s %s" % (host, check["unit"])
    if found.get("failed"):
        old = "" if found["age"] is None else " %s ago" % duration(found["age"])
        return [row(check["check"], where, expected, "failed%s: %s" % (old, shortened(found["message"], 300)), False)]
    if found.get("problem"):
        return [row(check["check"], where, expected, shortened(found["problem"], 300), False)]
    return [row(check["check"], where, expected, "has not run yet" if found["age"] is None else "ok, %s ago" % duration(found["age"]), True)]


def check_queue(check, state, host):
    """What the service works on at once is bounded, and nobody has waited in vain."""
    found, expected = state["request_queues"] or {"error": "not asked"}, "bounded, none refused"
    where = "%s %s" % (host, check["service"])
    if found["error"]:
        return [row(check["check"], where, expected, "%s, so nothing bounds the requests: site.yml starts it" % found["error"], False)]
    queue = found["services"].get(check["service"])
    if queue is None:
        return [row(check["check"], where, expected, "HAProxy does not know the service: site.yml configures it", False)]
    seen = "%d at work, %d waiting" % (queue["working"], queue["waiting"])
    if not queue["refused"]:
        return [row(check["check"], where, expected, seen, True)]
    seen += ", %d refused in the last hour: with a larger %s more are worked on at once" % (queue["refused"], memory_variable(check["service"]))
    return [warning(check["check"], where, expected, seen)]


def check_live(check, state, host):
    """Units and kernel have what the files of the droplet declare."""
    found, expected = state.get("live"), "what files declare"
    if not found:
        return [row(check["check"], host, expected, "not asked", False)]
    if found["different"]:
        return [row(check["check"], host, expected, not_live(found["different"]), False)]
    if found["unknown"]:
        return [warning(check["check"], host, expected, "unknown of %s until site.yml has run" % ", ".join(found["unknown"]))]
    return [row(check["check"], host, expected, "as declared", True)]


def not_live(different):
    """One line for all differences, and the cure."""
    # The first line of each says it; the others are the rules that differ.
    told = [shortened(each.splitlines()[0], 150) for each in different[:DIFFERENCES]]
    more = ", and %d more" % (len(different) - DIFFERENCES) if len(different) > DIFFERENCES else ""
    return "%s%s: site.yml loads what is declared" % ("; ".join(told), more)


def check_redis(check, state, host):
    """Redis refuses strangers, takes the application's password, and lets the application do no more than it needs."""
    address = redis_address(check)
    found, where = state["redis"].get(address) or {"error": "not asked"}, "%s to %s" % (host, address)
    if found.get("error"):
        return [row(check["check"], where, "answers", found["error"], False)]
    rows = []
    for name, question, expected in (
        ("stranger", "%s without a password", "NOAUTH"),
        ("wrong_password", "%s wrong password", "WRONGPASS"),
        ("password", "%s password", "PONG"),
        ("powers", "%s powers", "NOPERM"),
    ):
        answer = found[name]
        # A number, a text or a list: it did what it was told.
        seen = "obeys" if answer[:1] in ("*", "$", ":") else shortened(answer[1:], 80) if answer else "nothing"
        good = answer[1:].split(" ")[0] == expected
        rows.append(row(question % check["check"], where, expected, expected if good else seen, good))
    return rows


def redis_address(check):
    return "%s:%s" % (check["host"], check["port"])


def check_image(check, state, host):
    """The image host makes a picture smaller for whoever has the environment's key, and for nobody else."""
    found, name, key = state["images"].get(check["url"]) or {"error": "not asked"}, urllib.parse.urlsplit(check["url"]).hostname, check["key_name"]
    where, expected = "%s to %s" % (host, name), "key %s accepted" % key
    if found.get("error"):
        return [row(check["check"], where, expected, found["error"], False)]
    accepted = found["accepted"]
    seen = {
        200: "a WebP picture of %d bytes" % accepted["bytes"] if accepted["webp"] else "200, but no WebP picture",
        401: "401: %s does not know the key '%s'" % (name, key),
    }.get(accepted["status"], str(accepted["status"]))
    rows = [row(check["check"], where, expected, seen, accepted["status"] == 200 and accepted["webp"])]
    for case, question, wanted, statuses in (
        ("wrong_key", "%s with a wrong key", "401", (401,)),
        ("no_key", "%s without a key", "401", (401,)),
        ("too_large", "%s of 25 MB", "413", (413,)),
        ("no_picture", "%s that is none", "400, 406, 415 or 422", (400, 406, 415, 422)),
    ):
        answer = found[case]
        rows.append(row(question % check["check"], where, wanted, answer.get("error") or str(answer["status"]), answer.get("status") in statuses))
    return rows


def neighbours(check, host, groups, addresses):
    """The addresses of the environment's other droplets, with the ports that are to be open there for this one.

    C(addresses) has the private and the public address of each droplet. What is open for some is so on the private address only.
    """
    found = {}
    for peer in groups.get("litefarm") or []:
        private, public = addresses.get(peer) or (None, None)
        for address in (private, public):
            # A public address may be a name that only the control node knows.
            if peer != host and _is_address(address):
                ports = [
                    each["port"]
                    for each in check["open"]
                    if peer in (groups.get(each["of"]) or [])
                    and ("for" not in each or address == private and any(host in (groups.get(group) or []) for group in each["for"]))
                ]
                found.setdefault((peer, address), sorted(set(ports)))
    return [{"peer": peer, "address": address, "open": ports} for (peer, address), ports in found.items()]


def _is_address(text):
    try:
        return bool(ipaddress.ip_address(str(text)))
    except ValueError:
        return False


def check_peer_ports(check, state, host):
    """From its neighbours a droplet has as little open as its services need. Needs C(neighbours) in the check."""
    rows = []
    for each in check["neighbours"]:
        found = [port for port in sorted(state["peers"].get(each["address"]) or []) if port in check["ports"]]
        expected = [port for port in each["open"] if port in check["ports"]]
        where = "%s to %s %s" % (host, each["peer"], each["address"])
        rows.append(row(check["check"], where, _ports(expected), _ports(found), found == expected))
    return rows


def _ports(ports):
    return "open: %s" % (", ".join(str(port) for port in ports) or "none")


INSIDE = {
    "containers": check_containers,
    "misplaced_containers": check_misplaced_containers,
    "exec": check_exec,
    "job_queues": check_job_queues,
    "backups": check_backups,
    "archive": check_archive,
    "file_backup": check_file_backup,
    "database": check_database,
    "database_certificate": check_database_certificate,
    "unit": check_unit,
    "queue": check_queue,
    "live": check_live,
    "third_party_image": check_third_party_image,
    "redis": check_redis,
    "image": check_image,
    "peer_ports": check_peer_ports,
    "maintenance": check_maintenance,
    "repaired_log": check_repaired_log,
    "releases": check_releases,
}


def arguments_of(checks):
    """What the module on the droplet is asked, for these checks."""
    arguments = {"history": "", "redis": {}, "images": {}, "units": {}, "database_certificates": {}, "job_queues": {}, "request_queues": False}
    arguments.update({name: [] for name in ("maintenance", "repaired_logs", "third_party", "live", "backups", "archives", "file_backups")})
    arguments.update({name: [] for name in ("databases", "commands", "peers")})
    for check in checks:
        if check["kind"] == "maintenance":
            arguments["maintenance"].append(check["path"])
        elif check["kind"] == "repaired_log":
            arguments["repaired_logs"].append(check["path"])
        elif check["kind"] == "releases":
            arguments["history"] = check["path"]
        elif check["kind"] == "backups":
            arguments["backups"].append({"path": check["path"], "pattern": check.get("pattern", "*"), "record": check.get("record", "")})
        elif check["kind"] == "archive":
            command = [str(word) for word in check["command"]]
            arguments["archives"].append({"service": check["service"], "command": command, "state": check["state"]})
        elif check["kind"] == "file_backup":
            arguments["file_backups"].append({"path": check["path"], "timer": check["timer"]})
        elif check["kind"] == "database":
            arguments["databases"].append({"service": check["service"], "database": check["database"], "user": str(check.get("user", ""))})
        elif check["kind"] == "exec":
            command = [str(word) for word in check["command"]]
            arguments["commands"].append({"key": command_key(check), "service": check["service"], "command": command})
        elif check["kind"] == "job_queues":
            arguments["job_queues"][check["service"]] = {"command": [str(word) for word in check["command"]], "stdin": check["stdin"]}
        elif check["kind"] == "third_party_image":
            arguments["third_party"].append(check["service"])
        elif check["kind"] == "live":
            arguments["live"] += check["sets"]
        elif check["kind"] == "unit":
            arguments["units"][check["unit"]] = check.get("timer", "")
        elif check["kind"] == "queue":
            arguments["request_queues"] = True
        elif check["kind"] == "database_certificate":
            arguments["database_certificates"][database_address(check)] = {"name": check["host_name"], "authority": check["authority"]}
        elif check["kind"] == "redis":
            arguments["redis"][redis_address(check)] = check["password"]
        elif check["kind"] == "image":
            arguments["images"][check["url"]] = check["key"]
        elif check["kind"] == "peer_ports":
            arguments["peers"] += [{"address": each["address"], "ports": check["ports"]} for each in check["neighbours"]]
    return arguments
