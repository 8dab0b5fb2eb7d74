# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe tells a scheduler that works from one that only runs."""

from __future__ import annotations

import http.server
import os
import socket
import socketserver
import subprocess
import threading

import pytest

from tests.support.node import NODE

PASSWORD = "geheim geheim"


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    password: str | None = PASSWORD
    ping = "+PONG"


class Redis(socketserver.StreamRequestHandler):
    """As much of Redis as the probe asks for."""

    def words(self):
        count = int(self.rfile.readline()[1:])
        return [self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2].decode() for _word in range(count)]

    def handle(self):
        known = self.server.password is None
        try:
            while True:
                name, *arguments = self.words()
                if name == "AUTH":
                    known = arguments == [self.server.password]
                    answer = "+OK" if known else "-WRONGPASS invalid username-password pair or user is disabled."
                else:
                    answer = self.server.ping if known else "-NOAUTH Authentication required."
                self.wfile.write(f"{answer}\r\n".encode())
        except (ValueError, OSError):
            return


@pytest.fixture
def serve():
    """serve(Handler): a server on a port of its own."""
    servers = []

    def start(handler):
        server = Server(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def redis(serve):
    return serve(Redis)


@pytest.fixture
def hold():
    """hold(port, 5): that many connections, as the scheduler holds them."""
    sockets = []
    yield lambda port, count: sockets.extend(socket.create_connection(("127.0.0.1", port)) for _number in range(count))
    for connection in sockets:
        connection.close()


@pytest.fixture
def probe(repo):
    def run(*arguments, **environment):
        command = [NODE, str(repo / "roles" / "export_scheduler" / "files" / "probe.js"), *map(str, arguments)]
        environment = {"PATH": os.environ["PATH"], "REDIS_HOST": "127.0.0.1", **{key: str(value) for key, value in environment.items()}}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
        assert done.stderr == ""
        assert "geheim" not in done.stdout
        assert done.stdout.count("\n") == 1
        return done.returncode, done.stdout.strip()

    return run


def port_of(server):
    return server.server_address[1]


def test_a_scheduler_that_is_connected_is_healthy(redis, hold, probe):
    hold(port_of(redis), 5)
    status, said = probe(5, REDIS_PORT=port_of(redis), REDIS_PASSWORD=PASSWORD)
    assert (status, said) == (0, f"Redis at 127.0.0.1:{port_of(redis)} takes the password, the scheduler holds 5 connections")


@pytest.mark.parametrize("held", [0, 4])
def test_a_scheduler_that_lacks_connections_is_not(redis, hold, probe, held):
    hold(port_of(redis), held)
    status, said = probe(5, REDIS_PORT=port_of(redis), REDIS_PASSWORD=PASSWORD)
    assert status == 1
    assert said == f"the scheduler holds only {held} connections to Redis at 127.0.0.1:{port_of(redis)}, wanted 5"


def test_connections_to_something_else_do_not_count(redis, serve, hold, probe):
    hold(port_of(serve(Redis)), 5)
    assert probe(1, REDIS_PORT=port_of(redis), REDIS_PASSWORD=PASSWORD)[0] == 1


@pytest.mark.parametrize(("password", "reason"), [("geheim", "refuses the password (WRONGPASS)"), ("", "refuses PING (NOAUTH)")])
def test_a_wrong_password_is_noticed_although_connections_stand(redis, hold, probe, password, reason):
    hold(port_of(redis), 5)
    assert probe(5, REDIS_PORT=port_of(redis), REDIS_PASSWORD=password) == (1, f"Redis at 127.0.0.1:{port_of(redis)} {reason}")


@pytest.mark.parametrize("answer", ["-LOADING Redis is loading the dataset in memory", "-MISCONF Errors writing to the AOF file"])
def test_a_redis_that_cannot_work_is_noticed(redis, hold, probe, answer):
    redis.ping = answer
    hold(port_of(redis), 5)
    status, said = probe(5, REDIS_PORT=port_of(redis), REDIS_PASSWORD=PASSWORD)
    assert status == 1
    assert said.endswith("refuses PING (%s)" % answer[1:].split()[0])


def test_a_redis_that_is_not_there_is_noticed(probe):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        status, said = probe(5, REDIS_PORT=port, REDIS_PASSWORD=PASSWORD)
    assert (status, said) == (1, f"Redis at 127.0.0.1:{port} is not reachable (ECONNREFUSED)")


def test_a_redis_that_says_nothing_is_noticed_in_time(probe):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        status, said = probe(5, REDIS_PORT=port, REDIS_PASSWORD=PASSWORD, PROBE_TIMEOUT_MS=300)
    assert (status, said) == (1, f"Redis at 127.0.0.1:{port} does not answer within 300 ms")


class Api(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        self.send_response(self.status if self.path == "/" else 404)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"OK")

    def log_message(self, format, *args):
        """Nothing: the test says what went wrong."""


class BrokenApi(Api):
    status = 502


def test_an_api_that_answers_is_told(serve, probe):
    port = port_of(serve(Api))
    assert probe("--api", API_URL=f"http://127.0.0.1:{port}") == (0, f"the API at http://127.0.0.1:{port} answers")


def test_an_api_that_is_broken_or_gone_is_told_apart(serve, probe):
    port = port_of(serve(BrokenApi))
    assert probe("--api", API_URL=f"http://127.0.0.1:{port}") == (1, f"the API at http://127.0.0.1:{port} answers 502")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert probe("--api", API_URL=f"http://127.0.0.1:{port}") == (1, f"the API at http://127.0.0.1:{port} does not answer (ECONNREFUSED)")
