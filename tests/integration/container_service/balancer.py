# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for nginx: sends each new connection to the upstream file's first server, as it was at the last SIGHUP; open ones stay.

Where the first server refuses, or breaks off before it answers, the backup is asked, as nginx does for GET.
"""

import re
import signal
import socket
import sys
import threading

path, port = sys.argv[1], int(sys.argv[2])
targets = []


def load(*unused):
    try:
        with open(path, encoding="utf-8") as file:
            targets[:] = [int(port) for port in re.findall(r"^server 127\.0\.0\.1:(\d+) (?:max_fails=0|backup);$", file.read(), re.MULTILINE)]
    except FileNotFoundError:
        targets.clear()


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def ask(port, request):
    """A connection to a server that has begun to answer, and the beginning of its answer."""
    try:
        server = socket.create_connection(("127.0.0.1", port), 5)
        server.settimeout(None)
        server.sendall(request)
        return server, server.recv(65536)
    except OSError:
        return None, b""


def serve(client):
    request = client.recv(65536)
    for port in list(targets):
        server, answer = ask(port, request)
        if answer:
            client.sendall(answer)
            pump(server, client)
            break
    else:
        client.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    client.close()


load()
signal.signal(signal.SIGHUP, load)
listener = socket.create_server(("127.0.0.1", port), backlog=128)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
