# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small servers on loopback that answer as an environment does, or as a broken one."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import socketserver
import threading
import time
import urllib.parse

from tests.support.storage import error, refusal

FARM, USER = "5a3bb6f4-0000-4000-8000-0000000000f1", "5a3bb6f4-0000-4000-8000-0000000000f2"
JWT_SECRET = "QmVjYXVzZSB0ZXN0cyBuZWVkIG9uZSBhcyB3ZWxs"
REDIS_PASSWORD = "cmVkaXMtcGFzc3dvcmQtb2YtYS10ZXN0LWFsb25l"
IMAGE_KEY = "aW1hZ2Uta2V5LW9mLWEtdGVzdC1hbG9uZS0wMQ"


@contextlib.contextmanager
def serving(server):
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments):
        """Tests read what they need from the answers."""

    def reply(self, status, body=b"", headers=None):
        self.send_response(status)
        for name, value in dict({"Content-Length": str(len(body))}, **(headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))


class FakeRedis:
    """Knows one password and one user, who may not see the configuration."""

    def __init__(self):
        self.password, self.obeys, self.seen = REDIS_PASSWORD, False, []

    def answer(self, words, session):
        if words[0] == "AUTH":
            if self.password is None:
                return "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
            session["known"] = words[1] == self.password
            return "+OK" if session["known"] else "-WRONGPASS invalid username-password pair or user is disabled."
        if self.password is not None and not session.get("known"):
            return "-NOAUTH Authentication required."
        if words[0] == "PING":
            return "+PONG"
        return "*2\r\n$9\r\nmaxmemory\r\n$1\r\n0" if self.obeys else "-NOPERM User default has no permissions to run the 'config|get' command"


def redis_handler(fake):
    class Connection(socketserver.StreamRequestHandler):
        def handle(self):
            # Whoever has heard enough hangs up.
            with contextlib.suppress(ConnectionError):
                self.converse({})

        def converse(self, session):
            while line := self.rfile.readline():
                words = [self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2].decode() for _word in range(int(line[1:]))]
                fake.seen.append(words)
                self.wfile.write(fake.answer(words, session).encode() + b"\r\n")

    return Connection


class FakeImaginary:
    """As nginx and imaginary answer together. What is asked is kept in C(seen)."""

    def __init__(self):
        self.keys, self.limit, self.answer, self.seen = {IMAGE_KEY}, 20 * 1024 * 1024, b"RIFF\x10\0\0\0WEBPVP8 ", []


def imaginary_handler(fake):
    class Request(Handler):
        def handle_expect_100(self):
            return True if self.too_large() else super().handle_expect_100()

        def too_large(self):
            return int(self.headers.get("Content-Length") or 0) > fake.limit

        def do_POST(self):
            if self.too_large():
                self.close_connection = True
                return self.reply(413)
            body = self.body()
            fake.seen.append((self.path, self.headers, body))
            if self.headers.get("API-Key") not in fake.keys:
                return self.reply(401)
            return self.reply(200, fake.answer) if b"\x89PNG\r\n" in body else self.reply(406)

    return Request


class FakeEnvironment:
    """API, queues, scheduler and storage behind one port: a request for an export puts objects into the bucket a moment later."""

    def __init__(self):
        self.exports, self.delay, self.refuses, self.may_remove, self.page = [b"PK export"], 0.1, None, True, 1000
        self.objects = {"%s/document/exports/1.zip" % FARM: b"old", "%s/document/other.pdf" % FARM: b"other"}
        self.requests, self.problems = [], []

    def check_token(self, headers):
        """Independently of what is tested: signature, times, and the header that LiteFarm compares."""
        head, claims, signature = headers["Authorization"].removeprefix("Bearer ").split(".")
        wanted = base64.urlsafe_b64encode(hmac.new(JWT_SECRET.encode(), ("%s.%s" % (head, claims)).encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
        found = json.loads(base64.urlsafe_b64decode(claims + "=="))
        good = signature == wanted and json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "HS256", "typ": "JWT"}
        good = good and found["user_id"] == headers["user_id"] == USER and found["exp"] - found["iat"] == 300 and abs(found["iat"] - time.time()) < 5
        return good

    def export(self):
        for number, content in enumerate(self.exports):
            self.objects["%s/document/exports/%d.zip" % (FARM, 200 + number)] = content

    def listing(self, query):
        asked = dict(urllib.parse.parse_qsl(query))
        names = sorted(name for name in self.objects if name.startswith(asked["prefix"]))
        begin = int(asked.get("continuation-token", 0))
        shown, more = names[begin : begin + self.page], begin + self.page < len(names)
        entries = "".join("<Contents><Key>%s</Key><Size>%d</Size></Contents>" % (name.replace("&", "&amp;"), len(self.objects[name])) for name in shown)
        token = "<NextContinuationToken>%d</NextContinuationToken>" % (begin + self.page) if more else ""
        return ("<ListBucketResult>%s%s</ListBucketResult>" % (entries, token)).encode()


def environment_handler(fake):
    class Request(Handler):
        def do_POST(self):
            order = json.loads(self.body())
            fake.requests.append(order)
            if not fake.check_token(self.headers):
                return self.reply(401, b'{"message":"invalid token"}')
            if fake.refuses:
                return self.reply(400, fake.refuses)
            threading.Timer(fake.delay, fake.export).start()
            return self.reply(200, b"{}")

        def storage(self):
            path, _separator, query = self.path.partition("?")
            bucket, _separator, name = urllib.parse.unquote(path.lstrip("/")).partition("/")
            refused = refusal(self.command, urllib.parse.unquote(path.lstrip("/")), query, self.headers, self.body())
            if not refused and bucket != "private":
                refused = error(404, "NoSuchBucket")
            if not refused and self.command == "DELETE":
                refused = None if fake.may_remove else error(403, "AccessDenied")
                if not refused:
                    fake.objects.pop(name)
            return self.reply(*(refused or ((204,) if self.command == "DELETE" else (200, fake.listing(query)))))

        do_GET = do_DELETE = storage

    return Request
