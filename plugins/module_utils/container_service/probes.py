# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes, made from the droplet: an image may have neither a shell nor curl."""

from __future__ import annotations

import http.client
import socket

from .model import ServiceError


class Answer:
    def __init__(self, name, good, said):
        self.name = name
        self.good = good
        self.said = said

    def __str__(self):
        return "%s: %s, %s" % (self.name, "good" if self.good else "bad", self.said)


class Prober:
    def __init__(self, service, engine):
        self.service = service
        self.engine = engine
        self.probes = service.params["probes"] or []

    def check(self, container):
        """The answers of one round."""
        return [self._ask(probe, container) for probe in self.probes]

    def _ask(self, probe, container):
        try:
            if probe["kind"] == "exec":
                return self._execute(probe, container)
            address, port = self.target(probe["port"], container)
            if probe["kind"] == "http":
                return self._http(probe, address, port)
            with socket.create_connection((address, port), probe["timeout"]):
                return Answer(probe["name"], True, "%s:%d accepts connections" % (address, port))
        except ServiceError as error:
            return Answer(probe["name"], False, error.message)
        except Exception as error:
            # Whatever a service under test answers, it is an answer.
            return Answer(probe["name"], False, "%s: %s" % (type(error).__name__, error))

    def target(self, container_port, container):
        """The published address of a port, or the container's own one."""
        slot_port = container.port
        for port in self.service.params["ports"] or []:
            if port["container"] == container_port:
                hosts = self.service.params["ports"][0]["host"]
                slot = hosts.index(slot_port) if slot_port in hosts else 0
                address = port["address"]
                return ("127.0.0.1" if address == "0.0.0.0" else address), port["host"][slot]
        return self.engine.inspect(container.id).address, container_port

    @staticmethod
    def _http(probe, address, port):
        connection = http.client.HTTPConnection(address, port, timeout=probe["timeout"])
        try:
            connection.request("GET", probe["path"], headers=dict({"User-Agent": "litefarm-probe", "Connection": "close"}, **(probe["headers"] or {})))
            answer = connection.getresponse()
            content = answer.read(65536).decode(errors="replace")
        finally:
            connection.close()
        said = "GET %s answered %d" % (probe["path"], answer.status)
        if answer.status not in probe["status"]:
            return Answer(probe["name"], False, "%s, wanted %s: %s" % (said, " or ".join(str(s) for s in probe["status"]), content[:200]))
        if probe["contains"] and probe["contains"] not in content:
            return Answer(probe["name"], False, "%s without '%s': %s" % (said, probe["contains"], content[:200]))
        return Answer(probe["name"], True, said)

    def _execute(self, probe, container):
        code, output, errors = self.engine.execute(container.id, probe["command"], probe["timeout"])
        return Answer(probe["name"], code == 0, "exit %d: %s" % (code, (output + errors).strip()[-200:]))
