# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a browser and a stranger ask, against real pages, certificates and ports on loopback."""

from __future__ import annotations

import datetime
import http.server
import json
import socket
import ssl
import threading

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._trust import trust_context
from ansible_collections.litefarm.platform.plugins.plugin_utils._vault_file import tls_certificate, tls_key
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification import outside

NAME = "app.example.org"


class Site(http.server.BaseHTTPRequestHandler):
    pages = {
        "/": (200, {"Content-Type": "text/html; charset=utf-8", "Strict-Transport-Security": "max-age=63072000"}, b"<!doctype html><HTML>"),
        "/ready": (200, {"Content-Type": "application/json"}, json.dumps({"exists": False}).encode()),
        "/old": (301, {"Location": "https://%s/" % NAME}, b""),
    }

    def log_message(self, *_arguments):
        """The test reads the answers."""

    def do_POST(self):
        self.send_response(401 if self.path == "/thumbnail" else 405)
        self.end_headers()

    def do_GET(self):
        host = self.headers["Host"].partition(":")[0]
        status, headers, body = self.pages.get(self.path, (404, {}, b"")) if host == NAME else (421, {}, b"")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(name="authority", scope="module")
def fixture_authority():
    key = tls_key()
    return key, tls_certificate(key, NAME, 1)


def serve(tls=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server, server.server_address[1]


@pytest.fixture(name="port", scope="module")
def fixture_port():
    server, port = serve()
    yield port
    server.shutdown()
    server.server_close()


@pytest.fixture(name="tls_port", scope="module")
def fixture_tls_port(authority, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    (folder / "key").write_text(authority[0])
    (folder / "certificate").write_text(authority[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    server, port = serve(context)
    yield port
    server.shutdown()
    server.server_close()


@pytest.fixture(name="visitor")
def fixture_visitor(authority):
    return outside.Visitor("127.0.0.1", trust_context(authority[1]), timeout=5)


def only(rows):
    assert len(rows) == 1
    return rows[0]


def http_row(visitor, **check):
    return only(outside.check_http(dict({"check": "page"}, **check), visitor, "one"))


def test_a_page_is_asked_by_its_name(visitor, tls_port):
    row = http_row(visitor, url="https://%s:%d/" % (NAME, tls_port), contains="<html", headers={"Strict-Transport-Security": "max-age=[1-9]"})
    assert row["result"] == "ok"
    assert row["seen"] == "200, Strict-Transport-Security: max-age=63072000, '<html'"


def test_a_redirect_is_not_followed(visitor, port):
    row = http_row(visitor, url="http://%s:%d/old" % (NAME, port), status=301, headers={"Location": "^https://app.example.org/"})
    assert row["result"] == "ok"
    assert row["expected"] == "301, Location: https://app.example.org/"


def test_a_form_is_sent_without_a_key(visitor, port):
    url = "http://%s:%d/thumbnail" % (NAME, port)
    row = http_row(visitor, url=url, method="POST", status=401)
    assert (row["where"], row["seen"], row["result"]) == ("one POST %s" % url, "401", "ok")
    assert http_row(visitor, url=url, status=401)["result"] == "FAIL"


@pytest.mark.parametrize(
    ("check", "seen"),
    [
        ({"path": "/none"}, "404"),
        ({"path": "/ready", "contains": "<html"}, "200, '{\"exists\": false}'"),
        ({"path": "/ready", "headers": {"X-Missing": "."}}, "200, X-Missing: none"),
    ],
)
def test_a_wrong_answer_fails_and_is_shown(visitor, port, check, seen):
    row = http_row(visitor, url="http://%s:%d%s" % (NAME, port, check.pop("path")), **check)
    assert (row["seen"], row["result"]) == (seen, "FAIL")


def test_an_untrusted_certificate_fails(tls_port):
    stranger = outside.Visitor("127.0.0.1", ssl.create_default_context(), timeout=5)
    row = http_row(stranger, url="https://%s:%d/" % (NAME, tls_port))
    assert row["result"] == "FAIL" and row["seen"].startswith("certificate not trusted: self")


def test_a_certificate_of_another_name_fails(visitor, tls_port):
    row = http_row(visitor, url="https://other.example.org:%d/" % tls_port)
    assert row["result"] == "FAIL" and "certificate not trusted" in row["seen"]


class Served:
    """What a visitor sees of a certificate that begins and ends at given moments."""

    def __init__(self, end, begin="Apr 20 12:00:00 2026 GMT"):
        self.end, self.begin = end, begin

    def certificate(self, _host_name):
        return {"notBefore": self.begin, "notAfter": self.end}


NOW = datetime.datetime(2026, 7, 1, tzinfo=datetime.timezone.utc)


@pytest.mark.parametrize(
    ("begin", "end", "seen", "result"),
    [
        # 90 days, of which certbot leaves 30.
        ("Jun 30 12:00:00 2026 GMT", "Sep 28 12:00:00 2026 GMT", "trusted, 89 days left", "ok"),
        ("Apr 26 12:00:00 2026 GMT", "Jul 25 12:00:00 2026 GMT", "trusted, 24 days left", "ok"),
        ("Apr 22 12:00:00 2026 GMT", "Jul 21 12:00:00 2026 GMT", "trusted, 20 days left: it is not renewed, journalctl -u certbot on one says why", "FAIL"),
        ("Apr 12 12:00:00 2026 GMT", "Jul 11 12:00:00 2026 GMT", "trusted, 10 days left: it is not renewed, journalctl -u certbot on one says why", "FAIL"),
        ("Apr  2 12:00:00 2026 GMT", "Jul  1 20:00:00 2026 GMT", "trusted, 20 h left: it is not renewed, journalctl -u certbot on one says why", "FAIL"),
        # 160 hours, and ten years.
        ("Jun 27 12:00:00 2026 GMT", "Jul  4 04:00:00 2026 GMT", "trusted, 3 days left", "ok"),
        ("Jun 26 12:00:00 2026 GMT", "Jul  2 12:00:00 2026 GMT", "trusted, 36 h left", "ok"),
        ("Jul  1 12:00:00 2017 GMT", "Aug  1 12:00:00 2026 GMT", "trusted, 31 days left", "ok"),
    ],
)
def test_a_certificate_that_was_not_renewed_fails(begin, end, seen, result):
    row = only(outside.check_certificate({"check": "certificate", "host_name": NAME}, Served(end, begin), "one", NOW))
    assert (row["seen"], row["result"]) == (seen, result)


def test_a_served_certificate_is_read(visitor, tls_port):
    assert visitor.certificate(NAME, tls_port)["subjectAltName"] == (("DNS", NAME),)


def test_ports(visitor, port):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = unused.getsockname()[1]
        rows = outside.check_ports({"check": "ports", "open": [port], "closed": [closed]}, visitor, "one")
        assert [row["result"] for row in rows] == ["ok", "ok"]
        rows = outside.check_ports({"check": "ports", "open": [closed], "closed": [port]}, visitor, "one")
        assert [(row["seen"], row["result"]) for row in rows] == [("closed: %d" % closed, "FAIL"), ("open: %d" % port, "FAIL")]
