# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An object storage as it is met outside, small enough for a unit test: it checks signatures itself, and keeps what it is told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import re
import urllib.parse

from ansible_collections.litefarm.platform.plugins.plugin_utils._vault_file import tls_certificate, tls_key

from tests.support.server import LocalServer

KEY_ID = "DO00XJ7PQ4TNW2KCVB9L"
SECRET = "fG7k2LqXvT9bYw4RzN1mPc8JdHs5UeKa3oViQxWyBn0"
REGION = "nyc3"
NOTHING = {"policy": "NoSuchBucketPolicy", "cors": "NoSuchCORSConfiguration", "lifecycle": "NoSuchLifecycleConfiguration"}
GROUP = "http://acs.amazonaws.com/groups/global/AllUsers"


def grant(permission, grantee):
    return '<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" %s</Grantee><Permission>%s</Permission></Grant>' % (grantee, permission)


class FakeStorage(LocalServer):
    """Speaks as much of the S3 API over TLS as buckets and their settings need.

    C(buckets) has the settings of each bucket by name, C(foreign) names of somebody else's buckets, C(forbidden) the settings that the
    key may not change, and C(seen) the method and the path of every request.
    """

    def __init__(self, folder):
        key = tls_key()
        self.certificate = tls_certificate(key, "localhost", 1)
        (folder / "storage.key").write_text(key)
        (folder / "storage.pem").write_text(self.certificate)
        self.buckets, self.foreign, self.forbidden, self.seen = {}, set(), set(), []
        # Some storages want to be told the region of a new bucket, and Spaces does not.
        self.wants_region = False
        super().__init__(handler(self), (folder / "storage.pem", folder / "storage.key"))
        self.endpoint = "https://localhost:%d" % self.port

    def variables(self):
        """What an inventory says about it."""
        return {
            "litefarm_spaces_endpoint": self.endpoint,
            "litefarm_spaces_region": REGION,
            "litefarm_ca_certificates": {"storage": self.certificate},
            "vault_spaces_access_key_id": KEY_ID,
            "vault_spaces_secret_access_key": SECRET,
        }

    def answer(self, method, bucket, setting, headers, body):
        """Status and body of an answer."""
        if bucket in self.foreign:
            return error(409, "BucketAlreadyExists") if method == "PUT" and not setting else error(403, "AccessDenied")
        if method == "PUT" and not setting:
            if self.wants_region and b"<LocationConstraint>%s<" % REGION.encode() not in body:
                return error(400, "IllegalLocationConstraintException")
            self.buckets[bucket] = {"acl": headers.get("x-amz-acl")}
            return 200, b""
        if bucket not in self.buckets:
            return error(404, "NoSuchBucket")
        if not setting:
            return 200, b"<ListBucketResult/>"
        return self.setting(method, self.buckets[bucket], setting, headers, body)

    def setting(self, method, settings, setting, headers, body):
        if method == "GET" and setting == "acl":
            grants = grant("FULL_CONTROL", 'xsi:type="CanonicalUser"><ID>1</ID>')
            if settings["acl"] == "public-read":
                grants += grant("READ", 'xsi:type="Group"><URI>%s</URI>' % GROUP)
            return 200, b"<AccessControlPolicy><AccessControlList>%s</AccessControlList></AccessControlPolicy>" % grants.encode()
        if method == "GET" and setting == "versioning":
            return 200, settings.get(setting, b"<VersioningConfiguration/>")
        if method == "GET":
            return (200, settings[setting]) if setting in settings else error(404, NOTHING[setting])
        if setting in self.forbidden:
            return error(403, "AccessDenied")
        if method == "DELETE":
            settings.pop(setting, None)
            return 204, b""
        if headers.get("Content-MD5") != base64.b64encode(hashlib.md5(body).digest()).decode():
            return error(400, "InvalidRequest")
        settings[setting] = headers["x-amz-acl"] if setting == "acl" else body
        return 200, b""


def error(status, code):
    return status, b"<Error><Code>%s</Code><Message>%s in words</Message></Error>" % (code.encode(), code.encode())


def refusal(method, bucket, query, headers, body):
    """Check the signature, version 4, by the book."""
    authorization = headers.get("Authorization", "")
    found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})", authorization)
    if not found:
        return error(403, "AccessDenied")
    key_id, day, region, signed, signature = found.groups()
    if key_id != KEY_ID:
        return error(403, "InvalidAccessKeyId")
    if region != REGION:
        return error(400, "AuthorizationHeaderMalformed")
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    canonical = "\n".join(
        [
            method,
            urllib.parse.quote("/" + bucket),
            "&".join(sorted("%s=%s" % (urllib.parse.quote(name, safe=""), urllib.parse.quote(value, safe="")) for name, value in pairs)),
            *("%s:%s" % (name, headers.get(name, "").strip()) for name in signed.split(";")),
            "",
            signed,
            headers["x-amz-content-sha256"],
        ]
    )
    if headers["x-amz-content-sha256"] not in (hashlib.sha256(body).hexdigest(), "UNSIGNED-PAYLOAD"):
        return error(400, "XAmzContentSHA256Mismatch")
    text = "\n".join(
        ["AWS4-HMAC-SHA256", headers["x-amz-date"], "%s/%s/s3/aws4_request" % (day, region), hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = ("AWS4" + SECRET).encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return None if hmac.digest(key, text.encode(), "sha256").hex() == signature else error(403, "SignatureDoesNotMatch")


def handler(storage):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments):
            """Tests read what they need from the fake."""

        def serve(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path, _separator, query = self.path.partition("?")
            storage.seen.append("%s %s" % (self.command, self.path))
            bucket = path.strip("/")
            setting = "" if query.startswith("max-keys") else query.rstrip("=")
            status, answer = refusal(self.command, bucket, query, self.headers, body) or storage.answer(self.command, bucket, setting, self.headers, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_HEAD = do_GET = do_PUT = do_DELETE = serve

    return Handler
