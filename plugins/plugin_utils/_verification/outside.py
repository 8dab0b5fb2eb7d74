# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Questions that a user's browser, or a stranger, asks a droplet from outside."""

from __future__ import annotations

import http.client
import re
import socket
import urllib.parse

from ansible_collections.litefarm.platform.plugins.module_utils._certificates import validity
from ansible_collections.litefarm.platform.plugins.module_utils._verification.questions import open_ports
from ansible_collections.litefarm.platform.plugins.module_utils._verification.rows import reason_of, row
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification.export import check_export
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification.inside import certificate_row


class Visitor:
    """Connects to one address whatever the name is, as a browser does that has looked the name up."""

    def __init__(self, address, context, timeout=10):
        self.address = address
        self.context = context
        self.timeout = timeout

    def ask(self, method, url, headers=None, body=None):
        """Return status, headers and the beginning of the body. Redirects are not followed."""
        parts = urllib.parse.urlsplit(url)
        secure = parts.scheme == "https"
        connection = http.client.HTTPConnection(parts.hostname, parts.port or (443 if secure else 80), timeout=self.timeout)
        plain = socket.create_connection((self.address, connection.port), timeout=self.timeout)
        try:
            connection.sock = self.context.wrap_socket(plain, server_hostname=parts.hostname) if secure else plain
            path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
            connection.request(method, path, body, dict({"User-Agent": "litefarm-verify", "Accept": "*/*"}, **(headers or {})))
            answer = connection.getresponse()
            return answer.status, dict((name.lower(), value) for name, value in answer.getheaders()), answer.read(200000).decode("utf-8", "replace")
        finally:
            plain.close()
            connection.close()

    def certificate(self, host_name, port=443):
        """Return the certificate that is served for a name, after its verification."""
        with socket.create_connection((self.address, port), timeout=self.timeout) as plain:
            with self.context.wrap_socket(plain, server_hostname=host_name) as secure:
                return secure.getpeercert()

    def open_ports(self, ports):
        return [port for _address, port in open_ports([(self.address, port) for port in ports], min(self.timeout, 3))]


def check_http(check, visitor, host):
    """One page: its status, and what its headers and its body must have."""
    method, wanted = check.get("method", "GET"), check.get("status", 200)
    expected = [str(wanted)]
    expected += ["%s: %s" % (name, pattern.lstrip("^")) for name, pattern in (check.get("headers") or {}).items()]
    if check.get("contains"):
        expected.append("'%s'" % check["contains"])
    where = "%s %s%s" % (host, "" if method == "GET" else "%s " % method, check["url"])
    try:
        status, headers, body = visitor.ask(method, check["url"])
    except (OSError, http.client.HTTPException) as error:
        return [row(check["check"], where, ", ".join(expected), reason_of(error), False)]
    seen, good = [str(status)], status == wanted
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
    """Trusted, for this name, and renewed in time."""
    where = "%s %s" % (host, check["host_name"])
    try:
        certificate = visitor.certificate(check["host_name"])
    except OSError as error:
        return [row(check["check"], where, "trusted", reason_of(error), False)]
    found = validity(certificate["notBefore"], certificate["notAfter"], now.timestamp() if now else None)
    return [certificate_row(check["check"], where, found, "it is not renewed, journalctl -u certbot on %s says why" % host)]


def check_ports(check, visitor, host):
    """Ports as they look from here."""
    rows = []
    for expected, ports in (("open", check.get("open") or []), ("closed", check.get("closed") or [])):
        if not ports:
            continue
        found = visitor.open_ports(ports)
        wrong = [str(port) for port in ports if (port in found) != (expected == "open")]
        seen = "%s: %s" % ("closed" if expected == "open" else "open", ", ".join(wrong)) if wrong else expected
        named = "%d other ports" % len(ports) if len(ports) > 4 else ", ".join(str(port) for port in ports)
        rows.append(row(check["check"], "%s %s" % (host, named), expected, seen, not wrong))
    return rows


OUTSIDE = {"http": check_http, "certificate": check_certificate, "ports": check_ports, "export": check_export}
