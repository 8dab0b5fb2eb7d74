# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a droplet asks its neighbours: Redis, the image host and ports, good ones and broken ones."""

from __future__ import annotations

import socket
import zlib

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._verification import questions
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification import inside

from tests.unit.plugins.verify.servers import IMAGE_KEY, REDIS_PASSWORD


@pytest.fixture(name="closed")
def fixture_closed():
    """A port that is taken and that nobody answers on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


def ask_redis(address, password=REDIS_PASSWORD):
    host, _separator, port = address.rpartition(":")
    check = {"check": "redis", "kind": "redis", "host": host, "port": port, "password": password}
    rows = inside.check_redis(check, {"redis": {address: questions.redis(address, password, 2)}}, "one")
    assert password not in str(rows)
    return {row["check"]: (row["expected"], row["seen"], row["result"]) for row in rows}


GOOD_REDIS = {
    "redis without a password": ("NOAUTH", "NOAUTH", "ok"),
    "redis wrong password": ("WRONGPASS", "WRONGPASS", "ok"),
    "redis password": ("PONG", "PONG", "ok"),
    "redis powers": ("NOPERM", "NOPERM", "ok"),
}


def test_a_redis_as_it_should_be(redis):
    assert ask_redis(redis.address) == GOOD_REDIS
    assert ["PING"] in redis.seen and ["AUTH", REDIS_PASSWORD] in redis.seen


def test_a_redis_with_another_password(redis):
    redis.password = "another"
    refused = "WRONGPASS invalid username-password pair or user is disabled."
    assert ask_redis(redis.address) == dict(GOOD_REDIS, **{"redis password": ("PONG", refused, "FAIL"), "redis powers": ("NOPERM", refused, "FAIL")})


def test_a_redis_that_anybody_may_use(redis):
    redis.password = None
    answers = ask_redis(redis.address)
    assert answers["redis without a password"] == ("NOAUTH", "PONG", "FAIL")
    assert {result for _expected, _seen, result in answers.values()} == {"FAIL"}


def test_a_redis_that_obeys_the_application_in_everything(redis):
    redis.obeys = True
    assert ask_redis(redis.address) == dict(GOOD_REDIS, **{"redis powers": ("NOPERM", "obeys", "FAIL")})


def test_no_redis(closed):
    assert ask_redis("127.0.0.1:%d" % closed) == {"redis": ("answers", "Connection refused", "FAIL")}


def test_a_server_that_says_nothing_is_not_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = "127.0.0.1:%d" % silent.getsockname()[1]
        assert questions.redis(address, REDIS_PASSWORD, 0.2) == {"error": "no answer"}
        assert questions.image("http://%s/thumbnail" % address, IMAGE_KEY, 0.2) == {"error": "no answer"}


def ask_image(url, key=IMAGE_KEY):
    check = {"check": "image", "kind": "image", "url": url, "key_name": "beta", "key": key}
    rows = inside.check_image(check, {"images": {url: questions.image(url, key, 2)}}, "one")
    assert key not in str(rows)
    return {row["check"]: (row["expected"], row["seen"], row["result"]) for row in rows}


GOOD_IMAGE = {
    "image": ("key beta accepted", "a WebP picture of 16 bytes", "ok"),
    "image with a wrong key": ("401", "401", "ok"),
    "image without a key": ("401", "401", "ok"),
    "image of 25 MB": ("413", "413", "ok"),
    "image that is none": ("400, 406, 415 or 422", "406", "ok"),
}


def test_an_image_host_as_it_should_be(imaginary):
    assert ask_image(imaginary.url) == GOOD_IMAGE
    path, headers, body = imaginary.seen[0]
    assert path == "/thumbnail?width=16&type=webp"
    assert headers["API-Key"] == IMAGE_KEY and headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b'name="file"; filename="verify.png"' in body and questions.picture() in body
    assert max(len(body) for _path, _headers, body in imaginary.seen) < 1000


def test_an_environment_whose_key_the_image_host_does_not_know(imaginary):
    imaginary.keys = {"a-key-that-beta-does-not-have"}
    answers = ask_image(imaginary.url)
    assert answers["image"] == ("key beta accepted", "401: 127.0.0.1 does not know the key 'beta'", "FAIL")
    assert answers["image without a key"] == GOOD_IMAGE["image without a key"]


class Anything:
    def __contains__(self, _key):
        return True


def test_an_image_host_that_takes_any_key_and_any_size(imaginary):
    imaginary.keys, imaginary.limit = Anything(), 10**9
    answers = ask_image(imaginary.url)
    assert answers["image with a wrong key"] == ("401", "200", "FAIL")
    assert answers["image without a key"] == ("401", "200", "FAIL")
    assert answers["image of 25 MB"] == ("413", "not refused", "FAIL")
    assert answers["image"] == GOOD_IMAGE["image"]


def test_an_image_host_that_answers_something_else(imaginary):
    imaginary.answer = b"<html>"
    assert ask_image(imaginary.url)["image"] == ("key beta accepted", "200, but no WebP picture", "FAIL")


def test_no_image_host(closed):
    assert ask_image("http://127.0.0.1:%d/thumbnail" % closed) == {"image": ("key beta accepted", "Connection refused", "FAIL")}


def test_a_key_that_fits_no_header_is_not_shown(imaginary):
    assert questions.image(imaginary.url, "two\nlines", 2) == {"error": "the URL or the key cannot be sent"}


def test_the_picture_is_one():
    content = questions.picture(64)
    assert content[:8] == b"\x89PNG\r\n\x1a\n" and content[16:24] == b"\0\0\0\x40" * 2
    begin = content.index(b"IDAT") + 4
    assert len(zlib.decompress(content[begin : content.index(b"IEND") - 8])) == 64 * 65


def test_open_ports(redis, closed):
    assert questions.open_ports([("127.0.0.1", redis.port), ("127.0.0.1", closed)], 1) == [("127.0.0.1", redis.port)]
    assert questions.open_ports([], 1) == []
