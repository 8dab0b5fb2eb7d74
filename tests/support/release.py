# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry and a git repository as they are met outside, small enough for a unit test."""

from __future__ import annotations

import base64
import http.server
import json
import subprocess

from tests.support.server import LocalServer

MANIFEST = b'{"schemaVersion": 2}'


class FakeRegistry(LocalServer):
    """Speaks as much of the registry HTTP API v2 as a HEAD of a manifest needs. kind: open, basic or bearer."""

    def __init__(self, kind="open", username="litefarm", password="correct-horse", tls=None, with_digest=True):
        self.tags = {}
        # By path below /v2/: what a manifest or a blob is, or the URL that it is redirected to.
        self.documents = {}
        self.seen = []
        self.logins = []
        # Statuses that the next questions are answered with.
        self.busy = []
        self.expected = "Basic " + base64.b64encode(("%s:%s" % (username, password)).encode()).decode()
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_arguments):
                """Tests read what they need from the fake."""

            def do_HEAD(self):
                self.answer()

            def do_GET(self):
                if self.path.startswith("/token"):
                    return self.token()
                return self.answer()

            def token(self):
                if self.headers.get("Authorization") != fake.expected:
                    return self.send(401)
                fake.seen.append(self.path)
                if fake.busy:
                    return self.send(fake.busy.pop(0))
                return self.send(200, json.dumps({"token": "a-token"}).encode())

            def answer(self):
                fake.seen.append(self.path)
                given = self.headers.get("Authorization")
                fake.logins.append(given)
                realm = "http://%s/token" % fake.address
                if kind == "basic" and given != fake.expected:
                    return self.send(401, headers={"WWW-Authenticate": 'Basic realm="fake"'})
                if kind == "bearer" and given != "Bearer a-token":
                    challenge = 'Bearer realm="%s",service="fake",scope="repository:%s:pull"' % (realm, "litefarm/api")
                    return self.send(401, headers={"WWW-Authenticate": challenge})
                if fake.busy:
                    return self.send(fake.busy.pop(0))
                if kind == "broken":
                    return self.send(500)
                document = fake.documents.get(self.path.removeprefix("/v2/"))
                if isinstance(document, str):
                    return self.send(307, headers={"Location": document})
                if document is not None:
                    return self.send(200, json.dumps(document).encode())
                name, _separator, tag = self.path.removeprefix("/v2/").partition("/manifests/")
                digest = fake.tags.get("%s:%s" % (name, tag))
                if digest is None:
                    return self.send(404)
                return self.send(200, MANIFEST, {"Docker-Content-Digest": digest} if with_digest else {})

            def send(self, status, body=b"", headers=None):
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

        super().__init__(Handler, tls)
        self.address = "127.0.0.1:%d" % self.port

    def has(self, name, tag, digest, *architectures):
        """A tag of an image; with one architecture an image, with several an index, as a builder with attestations makes one, too."""
        self.tags["%s:%s" % (name, tag)] = digest
        manifest = {"schemaVersion": 2}
        if len(architectures) > 1:
            manifest["manifests"] = [{"platform": {"os": "linux", "architecture": each}} for each in architectures]
        elif architectures:
            manifest["config"] = {"digest": "sha256:config-%s" % digest[-4:]}
            self.documents["%s/blobs/sha256:config-%s" % (name, digest[-4:])] = {"os": "linux", "architecture": architectures[0]}
        self.documents["%s/manifests/%s" % (name, digest)] = manifest


class GitFolder:
    """A repository with two commits, a branch, a light tag and an annotated one."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main", ".")
        self.git("config", "uploadpack.allowAnySHA1InWant", "true")
        self.first = self.commit("first")
        self.git("tag", "light")
        self.git("tag", "--annotate", "v1.0.0", "--message", "one")
        self.second = self.commit("second")
        self.git("branch", "integration")

    def git(self, *arguments):
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
        process = subprocess.run(["git", "-C", str(self.path), *identity, *arguments], check=True, capture_output=True, text=True)
        return process.stdout.strip()

    def commit(self, text):
        (self.path / "file").write_text(text)
        self.git("add", "file")
        self.git("commit", "--quiet", "--message", text)
        return self.git("rev-parse", "HEAD")
