# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A probe asks the container that it judges, wherever the declared release would publish its ports."""

from __future__ import annotations

import http.server
import threading

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import Container, Details
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import Service
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.probes import Prober

from . import fakes


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *unused):
        """Nothing of it belongs into a test's output."""


@pytest.fixture(name="ports")
def fixture_ports():
    """Ports of two services on this machine."""
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield [server.server_address[1] for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


def details(bindings, address=""):
    state = {"Running": True, "Status": "running", "ExitCode": 0, "OOMKilled": False, "Error": "", "StartedAt": "", "FinishedAt": ""}
    networks = {"litefarm": {"IPAddress": address}}
    return Details(
        {
            "State": state,
            "RestartCount": 0,
            "HostConfig": {"RestartPolicy": {"Name": "no"}, "PortBindings": bindings},
            "Config": {},
            "Image": "x",
            "NetworkSettings": {"Networks": networks},
        }
    )


def prober(published, declared):
    """A container that publishes one port, under a declaration that says others."""

    class Engine:
        def inspect(self, _container_id):
            return published

    probe = {"name": "alive", "kind": "http", "port": 80, "path": "/new", "status": [200], "contains": None, "timeout": 1}
    ports = [{"container": 80, "address": "127.0.0.1", "host": declared}]
    return Prober(Service(fakes.parameters("rolling", "app:1", ports=ports, probes=[probe])), Engine()), probe


RETAINED = Container({"Id": "x", "Names": ["/web.previous.1"], "State": "running", "ImageID": "i", "Labels": {"litefarm.platform.port": "15000"}})


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", ""])
def test_the_published_port_is_the_containers_own(ports, address):
    """Both declared ports belong to somebody else now, who answers well."""
    asked, _probe = prober(details({"80/tcp": [{"HostIp": address, "HostPort": "1"}]}), ports)
    assert asked.target(80, RETAINED) == ("127.0.0.1", 1)
    assert not asked.check(RETAINED)[0].good
    asked, _probe = prober(details({"80/tcp": [{"HostIp": address, "HostPort": str(ports[1])}]}), [1, 2])
    assert asked.check(RETAINED)[0].good


def test_a_port_that_is_not_published_is_asked_in_the_container(ports):
    for bindings in (None, {}, {"80/tcp": None}, {"81/tcp": [{"HostIp": "", "HostPort": "81"}]}):
        assert prober(details(bindings, "172.18.0.2"), ports)[0].target(80, RETAINED) == ("172.18.0.2", 80)


def test_a_container_of_another_declaration_is_asked_its_own_probes(ports):
    asked, probe = prober(details({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(ports[0])}]}), ports)
    own = {"probes": [dict(probe, path="/old", contains="/old")]}
    assert "GET /new" in str(asked.check(RETAINED)[0])
    (answer,) = asked.check(RETAINED, own)
    assert answer.good and "GET /old" in str(answer)
    assert asked.check(RETAINED, {"probes": []}) == []
