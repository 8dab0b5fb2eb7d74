# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a droplet asks its neighbours, as the services on it do: from its own address, and with the names that it resolves."""

from __future__ import annotations

import concurrent.futures
import http.client
import secrets
import socket
import ssl
import struct
import urllib.parse
import zlib

from ansible_collections.litefarm.platform.plugins.module_utils._verification.rows import reason_of

TOO_LARGE = 25 * 1024 * 1024
BOUNDARY = "-------------litefarm-verify"


def is_open(address, port, timeout):
    try:
        with socket.create_connection((address, port), timeout=timeout):
            return True
    except OSError:
        return False


def open_ports(pairs, timeout):
    """Those of the pairs of address and port that are open. Asked all at once, because one that a firewall drops answers with silence."""
    if not pairs:
        return []
    with concurrent.futures.ThreadPoolExecutor(min(len(pairs), 100)) as pool:
        answers = pool.map(lambda pair: is_open(pair[0], pair[1], timeout), pairs)
        return [pair for pair, answer in zip(pairs, answers) if answer]


def redis(address, password, timeout):
    """What Redis says to a stranger, to a wrong password, to the right one, and to a client that wants more than it may."""
    right = ("AUTH", password)
    conversations = {
        "stranger": [("PING",)],
        "wrong_password": [("AUTH", secrets.token_hex(16))],
        "password": [right, ("PING",)],
        "powers": [right, ("CONFIG", "GET", "maxmemory")],
    }
    try:
        return {name: _last_answer(address, commands, timeout) for name, commands in conversations.items()}
    except (OSError, ValueError) as error:
        return {"error": reason_of(error)}


def _last_answer(address, commands, timeout):
    """The first line of the answer to the last command, or of the one that was refused before it."""
    host, _separator, port = address.rpartition(":")
    line = ""
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        connection.sendall(b"".join(_encoded(command) for command in commands))
        with connection.makefile("rb") as answers:
            for _command in commands:
                line = answers.readline(200).decode("utf-8", "replace").strip()
                if not line or line.startswith("-"):
                    break
    return line


def _encoded(words):
    parts = [word.encode() for word in words]
    return b"*%d\r\n%s" % (len(parts), b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))


def image(url, key, timeout):
    """What the image host makes of a picture with the key, of other keys, and of what it should not take."""
    with_key = {"API-Key": key}
    accepted = _post(url, with_key, picture(), timeout)
    if "error" in accepted:
        return accepted
    return {
        "accepted": accepted,
        "wrong_key": _post(url, {"API-Key": secrets.token_urlsafe(32)}, picture(), timeout),
        "no_key": _post(url, {}, picture(), timeout),
        "no_picture": _post(url, with_key, b"This is no picture.\n", timeout),
        "too_large": _announce(url, with_key, timeout),
    }


def picture(side=64):
    """A grey square, as a PNG file."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    lines = (b"\0" + b"\x80" * side) * side
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def _post(url, headers, content, timeout):
    head = '--%s\r\nContent-Disposition: form-data; name="file"; filename="verify.png"\r\nContent-Type: image/png\r\n\r\n' % BOUNDARY
    body = head.encode() + content + ("\r\n--%s--\r\n" % BOUNDARY).encode()
    try:
        return _answer(url, headers, body, timeout)
    except ValueError:
        # Its message would show the key.
        return {"error": "the URL or the key cannot be sent"}
    except (OSError, http.client.HTTPException) as error:
        return {"error": reason_of(error)}


def _announce(url, headers, timeout):
    """Says how much would come and waits for the answer, which spares both sides 25 MB."""
    try:
        return _answer(url, dict(headers, **{"Content-Length": str(TOO_LARGE), "Expect": "100-continue"}), None, timeout)
    except socket.timeout:
        return {"error": "not refused"}
    except (OSError, http.client.HTTPException) as error:
        return {"error": reason_of(error)}


def _answer(url, headers, body, timeout):
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        common = {"User-Agent": "litefarm-verify", "Content-Type": "multipart/form-data; boundary=%s" % BOUNDARY}
        connection.request("POST", urllib.parse.urlunsplit(("", "", parts.path, parts.query, "")), body, dict(common, **headers))
        answer = connection.getresponse()
        content = answer.read(1000000)
        return {"status": answer.status, "bytes": len(content), "webp": content[:4] == b"RIFF" and content[8:12] == b"WEBP"}
    finally:
        connection.close()
