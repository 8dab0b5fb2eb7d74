# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signature version 4 as S3 wants it: in the headers of a request or, for links that are handed out, in its query."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

ALGORITHM, UNSIGNED, TRAILER = "AWS4-HMAC-SHA256", "UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_SKEW = datetime.timedelta(minutes=15)
_LONGEST_LINK = 7 * 24 * 3600
# What clients sign with that know of no regions.
ANY_REGION = "us-east-1"


class Refusal(Exception):
    """An answer in S3's words."""

    def __init__(self, status: str, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class Request:
    method: str
    # As they were sent, percent signs and all.
    path: str
    query: str
    # Names in lower case.
    headers: Mapping[str, str]

    def parameters(self) -> dict[str, str]:
        return {_text(name): _text(value) for name, value in _pairs(self.query)}


@dataclass(frozen=True)
class Claim:
    """What a request says about who signed it, and how."""

    access_key_id: str
    scope: tuple[str, str, str]
    time: str
    signed: tuple[str, ...]
    signature: str
    payload: str
    # Seconds that a link is good for; None where the headers are signed.
    expires: int | None = None


def signer(request: Request, secrets: Mapping[str, str], now: datetime.datetime, region: str = ANY_REGION) -> str | None:
    """The access key that the request is signed with, for this region; None if it is not signed at all."""
    claim = _claim(request)
    if claim is None:
        return None
    secret = secrets.get(claim.access_key_id)
    if secret is None:
        raise Refusal("403 Forbidden", "InvalidAccessKeyId", "There is no such access key.")
    if claim.scope[1] not in (region, ANY_REGION):
        raise Refusal("400 Bad Request", "AuthorizationHeaderMalformed", f"The region '{claim.scope[1]}' is wrong; expecting '{region}'.")
    _check_time(claim, now)
    unsigned = sorted(name for name in request.headers if name.startswith("x-amz-") and name not in claim.signed)
    if unsigned or "host" not in claim.signed:
        raise Refusal("403 Forbidden", "AccessDenied", f"These headers must be signed: host {' '.join(unsigned)}")
    if not hmac.compare_digest(_signature(request, claim, secret), claim.signature):
        raise Refusal("403 Forbidden", "SignatureDoesNotMatch", "The signature is not that of this request and access key.")
    return claim.access_key_id


def _claim(request: Request) -> Claim | None:
    authorization, parameters = request.headers.get("authorization"), request.parameters()
    if authorization is not None:
        algorithm, _space, rest = authorization.partition(" ")
        fields = dict(field.strip().partition("=")[::2] for field in rest.split(","))
        values = [fields.get(name, "") for name in ("Credential", "SignedHeaders", "Signature")]
        time, payload, expires = request.headers.get("x-amz-date", ""), request.headers.get("x-amz-content-sha256", ""), None
    elif "X-Amz-Signature" in parameters:
        algorithm = parameters.get("X-Amz-Algorithm", "")
        values = [parameters.get(f"X-Amz-{name}", "") for name in ("Credential", "SignedHeaders", "Signature")]
        time, payload, expires = parameters.get("X-Amz-Date", ""), UNSIGNED, parameters.get("X-Amz-Expires", "")
    else:
        return None
    credential, signed, signature = values
    access_key_id, *scope = credential.split("/")
    well_formed = (
        algorithm == ALGORITHM
        and len(scope) == 4
        and scope[2:] == ["s3", "aws4_request"]
        and re.fullmatch(r"\d{8}T\d{6}Z", time)
        and time.startswith(scope[0])
        and payload
        and (expires is None or re.fullmatch(r"\d{1,6}", expires))
    )
    if not well_formed:
        raise Refusal("400 Bad Request", "AuthorizationHeaderMalformed", f"Sign with {ALGORITHM}, for the service s3.")
    return Claim(
        access_key_id, (scope[0], scope[1], scope[2]), time, tuple(signed.split(";")), signature, payload,
        None if expires is None else int(expires),
    )


def _check_time(claim: Claim, now: datetime.datetime) -> None:
    signed_at = datetime.datetime.strptime(claim.time, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    if claim.expires is None:
        if abs(now - signed_at) > _SKEW:
            raise Refusal("403 Forbidden", "RequestTimeTooSkewed", f"Signed at {signed_at}, and here it is {now}.")
    elif signed_at - now > _SKEW or now > signed_at + datetime.timedelta(seconds=min(claim.expires, _LONGEST_LINK)):
        raise Refusal("403 Forbidden", "AccessDenied", "Request has expired")


def _signature(request: Request, claim: Claim, secret: str) -> str:
    pairs = sorted((_encoded(name), _encoded(value)) for name, value in _pairs(request.query) if name != "X-Amz-Signature")
    canonical = "\n".join([
        request.method,
        _encoded(request.path, also="/"),
        "&".join(f"{name}={value}" for name, value in pairs),
        *(f"{name}:{_trimmed(request.headers.get(name, ''))}" for name in claim.signed),
        "",
        ";".join(claim.signed),
        claim.payload,
    ])
    scope = "/".join([*claim.scope, "aws4_request"])
    # WSGI has headers as Latin-1, whatever their bytes mean.
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in (*claim.scope, "aws4_request", "\n".join([ALGORITHM, claim.time, scope, digest])):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


def _trimmed(value: str) -> str:
    # Only these two: str.split() would also take bytes of other scripts for spaces.
    return re.sub(r"[ \t]+", " ", value.strip(" \t"))


def _pairs(query: str) -> list[tuple[str, str]]:
    return [pair.partition("=")[::2] for pair in query.split("&") if pair]


def _text(encoded: str) -> str:
    return unquote_to_bytes(encoded).decode("utf-8", "replace")


def _encoded(text: str, also: str = "") -> str:
    """Encoded in the one way that is signed, however the client wrote it."""
    return quote(unquote_to_bytes(text), safe="-_.~" + also)
