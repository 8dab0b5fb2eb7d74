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

    def check(self, container, declaration=None):
        """The answers of one round to the probes of the service, or of the declaration that the container has of its own."""
        return [self._ask(probe, container) for probe in (declaration or self.service.params)["probes"] or []]

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
        """Where this container publishes a port, or its own address. What is declared may be another container's by now."""
        details = self.engine.inspect(container.id)
        return details.published.get(container_port) or (details.address, container_port)

    @staticmethod
    def _http(probe, address, port):
        connection = http.client.HTTPConnection(address, port, timeout=probe["timeout"])
        try:
            connection.request("GET", probe["path"], headers={"User-Agent": "litefarm-probe", "Connection": "close"})
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
