# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import concurrent.futures
import datetime
import hashlib
import io
import json
import time
import xml.etree.ElementTree
import zlib

import pytest
from lab import settings
from lab_storage import signature
from lab_storage.faults import FAULTS, Faults
from lab_storage.gate import Gate, Key, readable_by_all
from lab_storage.signature import TRAILER, UNSIGNED, Claim, Refusal, Request, signer

ENDPOINT = "nyc3.example.com"
NOW = datetime.datetime(2026, 5, 4, 3, 2, 1, tzinfo=datetime.UTC)
KEYS = {
    "OURS": Key("our secret", ("ours", "shared")),
    "THEIRS": Key("their secret", ("theirs", "shared")),
    "READS": Key("a reader's secret", ("ours",), writes=False),
}
TOKEN = "the lab's token"

# The examples in Amazon's description of the signature, and what it says comes out.
AMAZON = {"AKIAIOSFODNN7EXAMPLE": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
AMAZON_TIME = datetime.datetime(2013, 5, 24, 0, 0, 0, tzinfo=datetime.UTC)
SCOPE = "20130524/us-east-1"
NOTHING = hashlib.sha256(b"").hexdigest()
EXAMPLES = {
    "range": (
        "GET", "/test.txt", "", {"range": "bytes=0-9", "x-amz-content-sha256": NOTHING, "x-amz-date": "20130524T000000Z"},
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "put": (
        "PUT", "/test%24file.text", "",
        {
            "date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-date": "20130524T000000Z", "x-amz-storage-class": "REDUCED_REDUNDANCY",
            "x-amz-content-sha256": hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
        },
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    "a parameter without a value": (
        "GET", "/", "lifecycle", {"x-amz-content-sha256": NOTHING, "x-amz-date": "20130524T000000Z"},
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    "parameters in another order": (
        "GET", "/", "prefix=J&max-keys=2", {"x-amz-content-sha256": NOTHING, "x-amz-date": "20130524T000000Z"},
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
}
AMAZON_LINK = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)


def amazon(method, path, query, headers, result, **changes):
    headers = {"host": "examplebucket.s3.amazonaws.com", **headers}
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={';'.join(sorted(headers))},Signature={result}"
    )
    return Request(method, path, query, {**headers, **changes})


@pytest.mark.parametrize("example", EXAMPLES)
def test_amazon_s_examples_are_believed(example):
    assert signer(amazon(*EXAMPLES[example]), AMAZON, AMAZON_TIME) == "AKIAIOSFODNN7EXAMPLE"


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("header", ["host", "x-amz-content-sha256"])
def test_what_is_signed_cannot_be_changed(example, header):
    with pytest.raises(Refusal, match="SignatureDoesNotMatch"):
        signer(amazon(*EXAMPLES[example], **{header: "another"}), AMAZON, AMAZON_TIME)


def test_amazon_s_link_is_good_for_a_day():
    link = Request("GET", "/test.txt", AMAZON_LINK, {"host": "examplebucket.s3.amazonaws.com"})
    assert signer(link, AMAZON, AMAZON_TIME + datetime.timedelta(hours=23)) == "AKIAIOSFODNN7EXAMPLE"
    with pytest.raises(Refusal, match="AccessDenied: Request has expired"):
        signer(link, AMAZON, AMAZON_TIME + datetime.timedelta(hours=25))


@pytest.mark.parametrize(
    "change, code",
    [
        ({"x-amz-acl": "public-read"}, "AccessDenied"),
        ({"authorization": "Basic bGFiOmxhYg=="}, "AuthorizationHeaderMalformed"),
        ({"authorization": f"AWS4-HMAC-SHA256 Credential=x/{SCOPE}/ec2/aws4_request,SignedHeaders=host,Signature=0"}, "AuthorizationHeaderMalformed"),
        ({"authorization": f"AWS4-HMAC-SHA256 Credential=x/{SCOPE}/s3/aws4_request,SignedHeaders=host,Signature=0"}, "InvalidAccessKeyId"),
        ({"x-amz-date": "20130523T000000Z"}, "AuthorizationHeaderMalformed"),
    ],
)
def test_other_requests_are_not(change, code):
    with pytest.raises(Refusal) as refusal:
        signer(amazon(*EXAMPLES["range"], **change), AMAZON, AMAZON_TIME)
    assert refusal.value.code == code


def test_a_request_for_another_region_is_refused(gate, storage):
    assert ask(gate, "GET", "/ours", "OURS", region="ams3") == ("400", "AuthorizationHeaderMalformed")
    assert not storage.requests
    assert ask(gate, "GET", "/ours", "OURS", region="us-east-1") == ("200", "")


def test_an_old_request_is_refused():
    with pytest.raises(Refusal, match="RequestTimeTooSkewed"):
        signer(amazon(*EXAMPLES["range"]), AMAZON, AMAZON_TIME + datetime.timedelta(minutes=16))


class Storage:
    """What lies behind the gate: remembers what came through."""

    def __init__(self):
        self.requests = []

    def __call__(self, environ, start_response):
        self.requests.append({**environ, "body": environ["wsgi.input"].read()})
        start_response("200 OK", [])
        return [b"stored"]


@pytest.fixture
def storage():
    return Storage()


@pytest.fixture
def gate(storage):
    return Gate(storage, ENDPOINT, KEYS, lambda bucket, key: (bucket, key) == ("theirs", "public picture.jpg"), Faults(TOKEN, 30, at_once=2), lambda: NOW)


def answer_of(gate, method, uri, key=None, body=b"", payload=None, host=ENDPOINT, secret=None, region="nyc3", **headers):
    """The status and the pieces of the answer to a request that is signed with a key."""
    headers = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if key:
        payload = payload or hashlib.sha256(body).hexdigest()
        headers |= {"x-amz-date": NOW.strftime("%Y%m%dT%H%M%SZ"), "x-amz-content-sha256": payload}
        path, _mark, query = uri.partition("?")
        claim = Claim(key, (NOW.strftime("%Y%m%d"), region, "s3"), headers["x-amz-date"], tuple(sorted(headers)), "", payload)
        signed = signature._signature(Request(method, path, query, headers), claim, secret or KEYS[key].secret)
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={key}/{'/'.join(claim.scope)}/aws4_request, SignedHeaders={';'.join(claim.signed)}, Signature={signed}"
        )
    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    answer = []
    pieces = gate(
        {**environ, "REQUEST_METHOD": method, "REQUEST_URI": uri, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)},
        lambda status, _headers: answer.append(status),
    )
    return answer[0].split()[0], pieces


def ask(gate, *request, **headers):
    """The status and error code of a request that is signed with a key."""
    status, pieces = answer_of(gate, *request, **headers)
    text = b"".join(pieces)
    code = xml.etree.ElementTree.fromstring(text).findtext("Code") if text.startswith(b"<?xml") else ""
    return status, code


@pytest.mark.parametrize(
    "host, uri, path",
    [
        (ENDPOINT, "/ours/a%20b.jpg", "/ours/a%20b.jpg"),
        (f"ours.{ENDPOINT}", "/a%20b.jpg", "/ours/a%20b.jpg"),
        (f"ours.{ENDPOINT}", "/?list-type=2", "/ours/?list-type=2"),
        ("10.1.1.6:443", "/ours?list-type=2", "/ours?list-type=2"),
    ],
)
def test_the_bucket_may_be_in_the_path_or_in_the_host_s_name(gate, storage, host, uri, path):
    assert ask(gate, "GET", uri, "OURS", host=host) == ("200", "")
    assert storage.requests[0]["REQUEST_URI"] == path
    assert storage.requests[0]["HTTP_HOST"] == "localhost"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize(
    "host, uri",
    [(ENDPOINT, "/theirs"), (ENDPOINT, "/theirs/x"), (f"theirs.{ENDPOINT}", "/x"), (ENDPOINT, "/%74heirs/x"), (ENDPOINT, "//theirs/x"), (ENDPOINT, "/new")],
)
def test_a_key_opens_its_own_buckets_only(gate, storage, method, host, uri):
    assert ask(gate, method, uri, "OURS", host=host)[0] == "403"
    assert storage.requests == []


def test_every_key_may_ask_which_buckets_there_are(gate):
    assert ask(gate, "GET", "/", "OURS") == ("200", "")


def test_both_keys_open_a_shared_bucket(gate):
    assert [ask(gate, "PUT", "/shared/x", key) for key in ("OURS", "THEIRS")] == [("200", ""), ("200", "")]


@pytest.mark.parametrize(
    "method, uri, status",
    [
        ("GET", "/", "200"),
        ("GET", "/ours?list-type=2", "200"),
        ("GET", "/ours?versions", "200"),
        ("GET", "/ours/x?versionId=1", "200"),
        ("HEAD", "/ours/x", "200"),
        ("PUT", "/ours/x", "403"),
        ("POST", "/ours?delete", "403"),
        ("POST", "/ours/x?uploads", "403"),
        ("DELETE", "/ours/x", "403"),
        ("PUT", "/ours?versioning", "403"),
        ("GET", "/theirs/x", "403"),
    ],
)
def test_a_key_that_may_read_only(gate, storage, method, uri, status):
    assert ask(gate, method, uri, "READS")[0] == status
    assert len(storage.requests) == (status == "200")


def control(gate, body=None, token=TOKEN, method="PUT"):
    return ask(gate, method, "/lab/faults", body=json.dumps(body).encode() if isinstance(body, dict) else body or b"", x_lab_token=token)[0]


@pytest.mark.parametrize(
    "body, token, status",
    [
        ({"fault": "slow_down"}, TOKEN, "200"),
        ({"fault": "slow_down", "bucket": "ours"}, TOKEN, "200"),
        ({"fault": "slow_down"}, "another", "403"),
        ({"fault": "slow_down"}, "", "403"),
        ({"fault": "burn"}, TOKEN, "400"),
        ({"fault": "slow_down", "bucket": 1}, TOKEN, "400"),
        ({"fault": "slow_down", "when": "now"}, TOKEN, "400"),
        (b"slow_down", TOKEN, "400"),
        (b"[]", TOKEN, "400"),
    ],
)
def test_a_fault_takes_the_lab_s_token_and_a_known_name(gate, body, token, status):
    assert control(gate, body, token) == status
    assert ask(gate, "GET", "/ours/x", "OURS")[0] == ("503" if status == "200" else "200")


def test_faults_cannot_be_set_where_there_is_no_token(storage):
    gate = Gate(storage, ENDPOINT, KEYS, lambda *_object: False, Faults(""), lambda: NOW)
    assert control(gate, {"fault": "refuse"}, "") == "403"


def test_the_bucket_whose_name_is_lab_is_no_control_path(gate):
    assert ask(gate, "PUT", "/faults", body=b"{}", host=f"lab.{ENDPOINT}", x_lab_token=TOKEN)[0] == "403"


def test_one_fault_is_active_at_a_time(gate):
    for fault in ("slow_down", "forbid_put", "none"):
        assert control(gate, {"fault": fault}) == "200"
    assert ask(gate, "PUT", "/ours/x", "OURS") == ("200", "")
    assert control(gate, method="GET") == "200"


@pytest.mark.parametrize("method, status", [("GET", "503"), ("HEAD", "503"), ("PUT", "503"), ("DELETE", "503")])
def test_slow_down(gate, storage, method, status):
    control(gate, {"fault": "slow_down"})
    assert ask(gate, method, "/ours/x", "OURS") == (status, "" if method == "HEAD" else "SlowDown")
    assert storage.requests == []


@pytest.mark.parametrize("method, status", [("GET", "200"), ("HEAD", "200"), ("PUT", "403"), ("POST", "403"), ("DELETE", "403")])
def test_forbid_put(gate, method, status):
    control(gate, {"fault": "forbid_put"})
    assert ask(gate, method, "/ours/x", "OURS") == (status, "AccessDenied" if status == "403" else "")


@pytest.mark.parametrize("method, code", [("GET", "RequestTimeTooSkewed"), ("HEAD", "")])
def test_a_clock_that_is_ahead(gate, storage, method, code):
    control(gate, {"fault": "clock", "bucket": "our"})
    assert ask(gate, method, "/ours/x", "OURS") == ("403", code)
    assert storage.requests == []
    assert ask(gate, method, "/shared/x", "OURS") == ("200", "")


@pytest.mark.parametrize("host, uri", [(ENDPOINT, "/ours/x"), (f"ours.{ENDPOINT}", "/x"), (ENDPOINT, "/"), (ENDPOINT, "/ours")])
def test_refuse_gives_no_answer_and_health_still_does(gate, storage, host, uri):
    control(gate, {"fault": "refuse"})
    with pytest.raises(ConnectionResetError):
        ask(gate, "GET", uri, "OURS", host=host)
    assert storage.requests == []
    assert ask(gate, "GET", "/lab/health") == ("200", "")
    control(gate, {"fault": "none"})
    assert ask(gate, "GET", uri, "OURS", host=host) == ("200", "")


def test_a_fault_of_some_buckets_leaves_the_others_alone(gate):
    control(gate, {"fault": "refuse", "bucket": "our"})
    assert ask(gate, "PUT", "/shared/x", "OURS") == ("200", "")
    assert ask(gate, "GET", "/", "OURS") == ("200", "")
    with pytest.raises(ConnectionResetError):
        ask(gate, "GET", "/ours/x", "OURS")


@pytest.mark.parametrize("method, cut", [("GET", True), ("HEAD", False), ("PUT", False)])
def test_truncate_cuts_what_is_read_in_the_middle(gate, method, cut):
    control(gate, {"fault": "truncate"})
    read = []
    try:
        read += answer_of(gate, method, "/ours/x", "OURS")[1]
    except ConnectionResetError as error:
        read.append(error)
    assert [piece if isinstance(piece, bytes) else type(piece) for piece in read] == ([b"sto", ConnectionResetError] if cut else [b"stored"])


def test_a_hanging_request_keeps_no_other_one_waiting_and_ends_with_the_fault(gate):
    control(gate, {"fault": "hang", "bucket": "ours"})
    with concurrent.futures.ThreadPoolExecutor() as pool:
        hanging = [pool.submit(ask, gate, "PUT", "/ours/x", "OURS") for _request in range(2)]
        assert ask(gate, "PUT", "/shared/x", "OURS") == ("200", "")
        # There is room for two: every thread of the server would hang otherwise, and no one could lift the fault.
        wait_until(lambda: gate.faults._room._value == 0)
        with pytest.raises(ConnectionResetError):
            ask(gate, "GET", "/ours/x", "OURS")
        assert not any(request.done() for request in hanging)
        control(gate, {"fault": "none"})
        assert [type(request.exception(timeout=10)) for request in hanging] == [ConnectionResetError] * 2
    assert ask(gate, "PUT", "/ours/x", "OURS") == ("200", "")


def test_a_request_hangs_for_a_while_only(storage):
    gate = Gate(storage, ENDPOINT, KEYS, lambda *_object: False, Faults(TOKEN, 0.01), lambda: NOW)
    control(gate, {"fault": "hang"})
    with pytest.raises(ConnectionResetError):
        ask(gate, "GET", "/ours/x", "OURS")


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_lab_s_commands_know_every_fault():
    assert settings.FAULTS == FAULTS


@pytest.mark.parametrize("source, status", [("/ours/x", "200"), ("ours/x", "200"), ("/theirs/x", "403"), ("%74heirs/x", "403")])
def test_nothing_is_copied_out_of_another_s_bucket(gate, source, status):
    assert ask(gate, "PUT", "/ours/copy", "OURS", x_amz_copy_source=source)[0] == status


@pytest.mark.parametrize("key, secret, code", [("STRANGER", "secret", "InvalidAccessKeyId"), ("OURS", "their secret", "SignatureDoesNotMatch")])
def test_wrong_credentials(gate, key, secret, code):
    assert ask(gate, "GET", "/ours/x", key, secret=secret) == ("403", code)


@pytest.mark.parametrize(
    "method, uri, status",
    [
        ("GET", "/theirs/public%20picture.jpg", "200"),
        ("HEAD", "/theirs/public%20picture.jpg", "200"),
        ("PUT", "/theirs/public%20picture.jpg", "403"),
        ("DELETE", "/theirs/public%20picture.jpg", "403"),
        ("GET", "/theirs/private.jpg", "403"),
        ("GET", "/theirs/", "403"),
        ("GET", "/theirs", "403"),
        ("GET", "/", "403"),
        ("PUT", "/new", "403"),
        ("OPTIONS", "/theirs/private.jpg", "200"),
    ],
)
def test_strangers_read_what_is_public_and_nothing_else(gate, method, uri, status):
    assert ask(gate, method, uri)[0] == status


def test_a_refusal_names_its_code_and_hides_nothing_in_the_answer_to_head(gate):
    assert ask(gate, "GET", "/theirs/private.jpg") == ("403", "AccessDenied")
    assert ask(gate, "HEAD", "/theirs/private.jpg") == ("403", "")


def test_health_is_nobody_s_secret_and_no_object(gate, storage):
    assert ask(gate, "GET", "/lab/health", host="10.1.1.6") == ("200", "")
    assert storage.requests == []
    assert ask(gate, "GET", "/lab/health", host=f"ours.{ENDPOINT}")[0] == "403"


def test_a_body_has_to_be_the_one_that_was_signed(gate, storage):
    assert ask(gate, "PUT", "/ours/x", "OURS", b"body") == ("200", "")
    assert ask(gate, "PUT", "/ours/x", "OURS", b"another", hashlib.sha256(b"body").hexdigest()) == ("400", "XAmzContentSHA256Mismatch")
    assert ask(gate, "PUT", "/ours/x", "OURS", b"any", UNSIGNED) == ("200", "")
    assert [request["body"] for request in storage.requests] == [b"body", b"any"]


def wrapped(content, checksum=None):
    half = len(content) // 2
    checksum = checksum or base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (content[:half], content[half:]))
    return chunks + b"0\r\nx-amz-checksum-crc32:%s\r\n\r\n" % checksum.encode()


def test_a_body_in_chunks_is_stored_without_them(gate, storage):
    content = bytes(range(256)) * 100 + b"\r\n0\r\n"
    headers = {"content_encoding": "aws-chunked,gzip", "x_amz_trailer": "x-amz-checksum-crc32", "x_amz_decoded_content_length": str(len(content))}
    assert ask(gate, "PUT", "/ours/x", "OURS", wrapped(content), TRAILER, **headers) == ("200", "")
    request = storage.requests[0]
    assert (request["body"], request["CONTENT_LENGTH"], request["HTTP_CONTENT_ENCODING"]) == (content, str(len(content)), "gzip")
    assert base64.b64decode(request["HTTP_X_AMZ_CHECKSUM_CRC32"]) == zlib.crc32(content).to_bytes(4, "big")
    assert "HTTP_X_AMZ_TRAILER" not in request


@pytest.mark.parametrize(
    "body, length, code",
    [
        (wrapped(b"content", checksum="AAAAAA=="), "7", "BadDigest"),
        (wrapped(b"content"), "8", "IncompleteBody"),
        (b"7\r\nconte", "7", "InvalidRequest"),
        (b"content", "7", "InvalidRequest"),
    ],
)
def test_a_body_that_was_damaged_on_its_way_is_not_stored(gate, storage, body, length, code):
    assert ask(gate, "PUT", "/ours/x", "OURS", body, TRAILER, x_amz_decoded_content_length=length) == ("400", code)
    assert storage.requests == []


def test_signed_chunks_are_refused_rather_than_believed(gate):
    assert ask(gate, "PUT", "/ours/x", "OURS", b"", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD") == ("501", "NotImplemented")


def test_a_link_is_passed_on_without_its_signature(gate, storage):
    link = (
        f"/ours/x?response-content-type=a%2Fb&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=OURS%2F{NOW:%Y%m%d}%2Fnyc3%2Fs3%2Faws4_request"
        f"&X-Amz-Date={NOW:%Y%m%dT%H%M%SZ}&X-Amz-Expires=60&X-Amz-SignedHeaders=host"
    )
    path, _mark, query = link.partition("?")
    request = Request("GET", path, query, {"host": ENDPOINT})
    claim = Claim("OURS", (f"{NOW:%Y%m%d}", "nyc3", "s3"), f"{NOW:%Y%m%dT%H%M%SZ}", ("host",), "", UNSIGNED, 60)
    signed = signature._signature(request, claim, "our secret")
    assert ask(gate, "GET", f"{link}&X-Amz-Signature={signed}") == ("200", "")
    assert storage.requests[0]["REQUEST_URI"] == "/ours/x?response-content-type=a%2Fb"
    assert ask(gate, "GET", f"{link}&X-Amz-Signature={'0' * 64}") == ("403", "SignatureDoesNotMatch")
    assert ask(gate, "PUT", f"{link}&X-Amz-Signature={signed}") == ("403", "SignatureDoesNotMatch")


def allow(**changes):
    return {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*", **changes}


@pytest.mark.parametrize(
    "statements, expected",
    [
        ([], None),
        (allow(), True),
        ([allow(Principal={"AWS": "*"}, Action=["s3:ListBucket", "s3:GetObject"])], True),
        ([allow(Action="s3:*", Resource=["arn:aws:s3:::b/public/*", "arn:aws:s3:::b/k*"])], True),
        ([allow(Principal={"AWS": "arn:aws:iam:::user/one"})], None),
        ([allow(Action="s3:PutObject")], None),
        ([allow(Resource="arn:aws:s3:::b/other/*")], None),
        ([allow(Resource="arn:aws:s3:::c/*")], None),
        ([allow(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})], None),
        ([allow(), allow(Effect="Deny", Resource="arn:aws:s3:::b/key")], False),
    ],
)
def test_what_a_policy_says_to_strangers(statements, expected):
    assert readable_by_all({"Statement": statements}, "b", "key") is expected


def test_no_policy_says_nothing():
    assert readable_by_all(None, "b", "key") is None
