# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many pictures a second are made smaller under an address. It runs with a bare Python on the droplet of imaginary.

Reads one JSON object from standard input (url, host_name, headers, body in base64, clients, seconds) and prints one: pictures, seconds, statuses.
"""

from __future__ import annotations

import base64
import collections
import http.client
import json
import socket
import ssl
import sys
import threading
import time
from urllib.parse import urlsplit


def connect(url: str, host_name: str) -> http.client.HTTPConnection:
    """A connection that stays open, to the address of the URL under the host name."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(host_name, timeout=30)
    plain = socket.create_connection((parts.hostname, parts.port), 30)
    connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host_name) if parts.scheme == "https" else plain
    return connection


def client(order: dict, path: str, deadline: float, statuses: collections.Counter) -> None:
    """Posts one picture after the other until the deadline."""
    body = base64.b64decode(order["body"])
    connection = connect(order["url"], order["host_name"])
    while time.monotonic() < deadline:
        connection.request("POST", path, body=body, headers=order["headers"])
        answer = connection.getresponse()
        answer.read()
        statuses[answer.status] += 1


def main() -> None:
    order = json.load(sys.stdin)
    parts = urlsplit(order["url"])
    path = f"{parts.path}?{parts.query}"
    # One counter each, because threads must not share one.
    counters = [collections.Counter() for _ in range(order["clients"])]
    began = time.monotonic()
    threads = [threading.Thread(target=client, args=(order, path, began + order["seconds"], counter)) for counter in counters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sum(counters, collections.Counter())
    print(json.dumps({"pictures": statuses[200], "seconds": time.monotonic() - began, "statuses": dict(statuses)}))


if __name__ == "__main__":
    main()
