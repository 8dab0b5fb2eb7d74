# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Questions that a user's browser, or a stranger, asks a droplet from outside, and how answers become rows of a table."""

from __future__ import annotations

import concurrent.futures
import datetime
import http.client
import re
import socket
import ssl
import urllib.parse

COLUMNS = ("check", "where", "expected", "seen", "result")


def row(check, where, expected, seen, good):
    return {"check": check, "where": where, "expected": expected, "seen": seen, "result": "ok" if good else "FAIL"}


class Visitor:
    """Connects to one address whatever the name is, as a browser does that has looked the name up."""

    def __init__(self, address, context, timeout=10):
        self.address = address
        self._context = context
        self._timeout = timeout

    def get(self, url):
        """Return status, headers and the beginning of the body. Redirects are not followed."""
        parts = urllib.parse.urlsplit(url)
        secure = parts.scheme == "https"
        connection = http.client.HTTPConnection(parts.hostname, parts.port or (443 if secure else 80), timeout=self._timeout)
        plain = socket.create_connection((self.address, connection.port), timeout=self._timeout)
        try:
            connection.sock = self._context.wrap_socket(plain, server_hostname=parts.hostname) if secure else plain
            path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
            connection.request("GET", path, headers={"User-Agent": "litefarm-verify", "Accept": "*/*"})
            answer = connection.getresponse()
            return answer.status, dict((name.lower(), value) for name, value in answer.getheaders()), answer.read(200000).decode("utf-8", "replace")
        finally:
            plain.close()
            connection.close()

    def certificate(self, host_name, port=443):
        """Return the certificate that is served for a name, after its verification."""
        with socket.create_connection((self.address, port), timeout=self._timeout) as plain:
            with self._context.wrap_socket(plain, server_hostname=host_name) as secure:
                return secure.getpeercert()

    def is_open(self, port):
        try:
            with socket.create_connection((self.address, port), timeout=min(self._timeout, 3)):
                return True
        except OSError:
            return False


def reason_of(error):
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate not trusted: %s" % error.verify_message
    if isinstance(error, (TimeoutError, socket.timeout)):
        return "no answer"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def check_http(check, visitor, host):
    """One page: its status, and what its headers and its body must have."""
    expected = [str(check.get("status", 200))]
    expected += ["%s: %s" % (name, pattern.lstrip("^")) for name, pattern in (check.get("headers") or {}).items()]
    if check.get("contains"):
        expected.append("'%s'" % check["contains"])
    where = "%s %s" % (host, check["url"])
    try:
        status, headers, body = visitor.get(check["url"])
    except (OSError, http.client.HTTPException) as error:
        return [row(check["check"], where, ", ".join(expected), reason_of(error), False)]
    seen, good = [str(status)], status == check.get("status", 200)
    for name, pattern in (check.get("headers") or {}).items():
        value = headers.get(name.lower())
        seen.append("%s: %s" % (name, value or "none"))
        good = good and value is not None and re.search(pattern, value) is not None
    if check.get("contains"):
        there = check["contains"].lower() in body.lower()
        seen.append("'%s'" % check["contains"] if there else "'%s'" % " ".join(body.split())[:40])
        good = good and there
    return [row(check["check"], where, ", ".join(expected), ", ".join(seen), good)]


def check_certificate(check, visitor, host, now=None):
    """Trusted, for this name, and not about to expire."""
    least = check.get("days", 20)
    where, expected = "%s %s" % (host, check["host_name"]), "trusted, at least %d days left" % least
    try:
        certificate = visitor.certificate(check["host_name"])
    except OSError as error:
        return [row(check["check"], where, expected, reason_of(error), False)]
    end = datetime.datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), datetime.timezone.utc)
    days = (end - (now or datetime.datetime.now(datetime.timezone.utc))).days
    answer = row(check["check"], where, expected, "trusted, %d days left" % days, True)
    if days < least:
        answer["result"] = "WARN"
    return [answer]


def check_ports(check, visitor, host):
    """Ports as they look from here. Asked all at once, because one that a firewall drops answers with silence."""
    rows = []
    for expected, ports in (("open", check.get("open") or []), ("closed", check.get("closed") or [])):
        if not ports:
            continue
        with concurrent.futures.ThreadPoolExecutor(len(ports)) as pool:
            answers = dict(zip(ports, pool.map(visitor.is_open, ports)))
        wrong = [str(port) for port in ports if answers[port] != (expected == "open")]
        seen = "%s: %s" % ("closed" if expected == "open" else "open", ", ".join(wrong)) if wrong else expected
        named = "%d other ports" % len(ports) if len(ports) > 4 else ", ".join(str(port) for port in ports)
        rows.append(row(check["check"], "%s %s" % (host, named), expected, seen, not wrong))
    return rows


OUTSIDE = {"http": check_http, "certificate": check_certificate, "ports": check_ports}


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
    seen = "1 running for %s, %d restarts" % (duration(age), restarts)
    return [row(check["check"], where, expected, seen, restarts == 0 or age > check.get("steady_seconds", 300))]


def check_backups(check, state, host):
    """The newest backup is young and not empty."""
    where = "%s %s" % (host, check["path"])
    expected = "newest younger than %s" % duration(check["hours"] * 3600)
    found = state["backups"].get(check["path"]) or {}
    if not found.get("newest"):
        return [row(check["check"], where, expected, "none yet", check.get("none_is_ok", False))]
    good = found["age_seconds"] < check["hours"] * 3600 and found["bytes"] > 0
    return [row(check["check"], where, expected, "%s old, %d bytes" % (duration(found["age_seconds"]), found["bytes"]), good)]


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


INSIDE = {"containers": check_containers, "backups": check_backups, "database": check_database}


def duration(seconds):
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return "%d %s" % (seconds // size, unit)
    return "%d s" % seconds


def table(rows):
    """Aligned lines, the failures last, where an eye looks first."""
    order = {"ok": 0, "WARN": 1, "FAIL": 2}
    ordered = sorted(rows, key=lambda each: order[each["result"]])
    cells = [[title.upper() for title in COLUMNS]] + [[each[column] for column in COLUMNS] for each in ordered]
    widths = [max(len(line[index]) for line in cells) for index in range(len(COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells]
