# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate before the storage, in WSGI: who asks, for which bucket, and is that theirs? moto itself believes every signature."""

from __future__ import annotations

import base64
import datetime
import fnmatch
import hashlib
import io
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, unquote_to_bytes
from xml.sax.saxutils import escape

from .faults import Faults, cut
from .signature import TRAILER, UNSIGNED, Refusal, Request, signer

HEALTH, FAULTS = "/lab/health", "/lab/faults"
_PIECE = 1 << 20
# What a checksum behind a body is computed with, as far as Python can.
_CHECKSUMS = {
    "x-amz-checksum-crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "x-amz-checksum-sha1": lambda data: hashlib.sha1(data).digest(),
    "x-amz-checksum-sha256": lambda data: hashlib.sha256(data).digest(),
}
# The gate has dealt with these, and the storage would do it in its own way.
_DEALT_WITH = (
    "HTTP_AUTHORIZATION", "HTTP_EXPECT", "HTTP_TRANSFER_ENCODING", "HTTP_X_AMZ_CONTENT_SHA256", "HTTP_X_AMZ_DECODED_CONTENT_LENGTH",
    "HTTP_X_AMZ_TRAILER",
)
_SIGNING = {"Algorithm", "Content-Sha256", "Credential", "Date", "Expires", "Security-Token", "Signature", "SignedHeaders"}


@dataclass(frozen=True)
class Key:
    secret: str
    # Beginnings of the names of its buckets.
    buckets: tuple[str, ...]
    writes: bool = True


class Gate:
    def __init__(
        self,
        storage: Callable,
        endpoint: str,
        keys: Mapping[str, Key],
        is_public: Callable[[str, str], bool],
        faults: Faults,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ):
        self.storage, self.endpoint, self.keys, self.is_public, self.faults, self.now = storage, endpoint, keys, is_public, faults, now

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        # The whole body first: what is left unread would be taken for the connection's next request.
        body = _read(environ)
        request, bucket = self._request(environ)
        if request.path == HEALTH and bucket is None:
            return _told("200 OK", "ok", start_response)
        if request.path == FAULTS and bucket is None:
            return _told(*self.faults.control(request.method, request.headers, body), start_response)
        path = request.path if bucket is None else f"/{quote(bucket)}{request.path}"
        try:
            is_cut = self.faults.meet(request.method, _split(path)[0])
            self._admit(request, path)
            body, trailers = _content(request.headers, body)
        except Refusal as refusal:
            print(f"{request.method} {path}: {refusal}", file=sys.stderr, flush=True)
            return _refused(refusal, request.method, start_response)
        answer = self.storage(_passed_on(environ, path, request.query, body, trailers), start_response)
        return cut(answer) if is_cut else answer

    def _request(self, environ: dict) -> tuple[Request, str | None]:
        """What was sent, and the bucket if the host's name says it."""
        path, _mark, query = environ["REQUEST_URI"].partition("?")
        host = environ.get("HTTP_HOST", "").partition(":")[0].lower()
        bucket = host.removesuffix(f".{self.endpoint}") if host.endswith(f".{self.endpoint}") else None
        return Request(environ["REQUEST_METHOD"], path, query, _headers(environ)), bucket

    def _admit(self, request: Request, path: str) -> None:
        # A browser asks what it may ask before it knows who asks.
        if request.method == "OPTIONS":
            return
        bucket, key = _split(path)
        name = signer(request, {name: key.secret for name, key in self.keys.items()}, self._clock(bucket), self.endpoint.partition(".")[0])
        if name is None:
            if request.method in ("GET", "HEAD") and key and self.is_public(bucket, key):
                return
            raise Refusal("403 Forbidden", "AccessDenied", "Not signed, and not public.")
        if not self.keys[name].writes and request.method not in ("GET", "HEAD"):
            raise Refusal("403 Forbidden", "AccessDenied", "This access key may read only.")
        source = request.headers.get("x-amz-copy-source")
        # The names of all buckets are no secret; a path that begins with two slashes is none of them.
        buckets = [] if path == "/" else [bucket]
        buckets += [_split("/" + source.lstrip("/"))[0]] if source else []
        for wanted in buckets:
            if not wanted.startswith(self.keys[name].buckets):
                raise Refusal("403 Forbidden", "AccessDenied", f"{wanted} is not a bucket of this access key.")

    def _clock(self, bucket: str) -> datetime.datetime:
        return self.now() + self.faults.clock_error(bucket)


def readable_by_all(policy: Mapping | None, bucket: str, key: str) -> bool | None:
    """What a bucket's policy says to someone unknown who wants to read an object; None if it says nothing."""
    verdict = None
    for statement in _listed((policy or {}).get("Statement", [])):
        principal = statement.get("Principal")
        applies = (
            "*" in _listed(principal.get("AWS", []) if isinstance(principal, dict) else principal)
            and any(fnmatch.fnmatchcase("s3:getobject", action.lower()) for action in _listed(statement.get("Action", [])))
            and any(fnmatch.fnmatchcase(f"arn:aws:s3:::{bucket}/{key}", resource) for resource in _listed(statement.get("Resource", [])))
        )
        if applies and statement["Effect"] == "Deny":
            return False
        # Nobody unknown fulfils a condition.
        if applies and not statement.get("Condition"):
            verdict = True
    return verdict


def _listed(value: object) -> list:
    return value if isinstance(value, list) else [value]


def _headers(environ: Mapping[str, str]) -> dict[str, str]:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    for name in ("Content-Type", "Content-Length"):
        value = environ.get(name.upper().replace("-", "_"))
        if value:
            headers[name.lower()] = value
    return headers


def _split(path: str) -> tuple[str, str]:
    bucket, _slash, key = unquote(path).removeprefix("/").partition("/")
    return bucket, key


def _read(environ: Mapping) -> bytes:
    stream, chunked = environ["wsgi.input"], environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked"
    left = None if chunked else int(environ.get("CONTENT_LENGTH") or 0)
    pieces = []
    while left is None or left > 0:
        piece = stream.read(_PIECE if left is None else min(left, _PIECE))
        if not piece:
            break
        pieces.append(piece)
        left = None if left is None else left - len(piece)
    return b"".join(pieces)


def _content(headers: Mapping[str, str], body: bytes) -> tuple[bytes, dict[str, str]]:
    """What the client means to store, and the checksums that it sent behind it; refused if it is not what was signed or promised."""
    declared = headers.get("x-amz-content-sha256", UNSIGNED)
    if declared == UNSIGNED:
        return body, {}
    if declared == TRAILER:
        try:
            content, trailers = _unwrapped(body)
        except ValueError as error:
            raise Refusal("400 Bad Request", "InvalidRequest", f"The body is not in chunks: {error}") from error
        if len(content) != int(headers.get("x-amz-decoded-content-length", len(content))):
            raise Refusal("400 Bad Request", "IncompleteBody", "The body is not as long as its headers say.")
        for name, value in trailers.items():
            if name in _CHECKSUMS and base64.b64encode(_CHECKSUMS[name](content)).decode() != value:
                raise Refusal("400 Bad Request", "BadDigest", f"{name} is not that of the body.")
        return content, trailers
    if declared.startswith("STREAMING-"):
        raise Refusal("501 Not Implemented", "NotImplemented", f"{declared}: the lab knows {TRAILER} only.")
    if hashlib.sha256(body).hexdigest() != declared:
        raise Refusal("400 Bad Request", "XAmzContentSHA256Mismatch", "The signed hash is not that of the body.")
    return body, {}


def _unwrapped(body: bytes) -> tuple[bytes, dict[str, str]]:
    """An aws-chunked body: its chunks joined, and the headers behind them."""
    pieces, position = [], 0
    while True:
        end = body.index(b"\r\n", position)
        size, position = int(body[position:end].partition(b";")[0], 16), end + 2
        if size == 0:
            break
        pieces.append(body[position : position + size])
        position += size
        if body[position : position + 2] != b"\r\n":
            raise ValueError("a chunk has another length than it says")
        position += 2
    lines = [line.partition(":")[::2] for line in body[position:].decode("latin-1").split("\r\n") if line]
    return b"".join(pieces), {name.strip().lower(): value.strip() for name, value in lines}


def _passed_on(environ: dict, path: str, query: str, body: bytes, trailers: Mapping[str, str]) -> dict:
    """The same request as the storage understands it best: the bucket in the path, the body plain, the signature checked."""
    kept = {name: value for name, value in environ.items() if name not in _DEALT_WITH}
    query = "&".join(pair for pair in query.split("&") if not _signs(pair))
    uri = f"{path}?{query}" if query else path
    encodings = [name for name in environ.get("HTTP_CONTENT_ENCODING", "").replace(" ", "").split(",") if name not in ("", "aws-chunked")]
    kept.pop("HTTP_CONTENT_ENCODING", None)
    if encodings:
        kept["HTTP_CONTENT_ENCODING"] = ",".join(encodings)
    return {
        **kept,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in trailers.items()},
        # To moto, any name without dots means: the bucket is in the path, and any credentials mean: not a stranger.
        "HTTP_HOST": "localhost",
        "HTTP_AUTHORIZATION": "checked",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": uri,
        "RAW_URI": uri,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }


def _signs(pair: str) -> bool:
    return pair.startswith("X-Amz-") and pair[6:].partition("=")[0] in _SIGNING


def _told(status: str, text: str, start_response: Callable) -> list[bytes]:
    body = f"{text}\n".encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def _refused(refusal: Refusal, method: str, start_response: Callable) -> list[bytes]:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message></Error>\n'
    body = b"" if method == "HEAD" else text.encode()
    start_response(refusal.status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]
