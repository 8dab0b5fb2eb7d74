# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.server
import socketserver

import pytest

from tests.unit.plugins.verify import servers


@pytest.fixture(name="redis")
def fixture_redis():
    fake = servers.FakeRedis()
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), servers.redis_handler(fake))
    server.daemon_threads = True
    with servers.serving(server) as port:
        fake.port, fake.address = port, "127.0.0.1:%d" % port
        yield fake


@pytest.fixture(name="imaginary")
def fixture_imaginary():
    fake = servers.FakeImaginary()
    with servers.serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), servers.imaginary_handler(fake))) as port:
        fake.base = "http://127.0.0.1:%d" % port
        fake.url = fake.base + "/thumbnail?width=16&type=webp"
        yield fake


@pytest.fixture(name="world")
def fixture_world():
    fake = servers.FakeEnvironment()
    with servers.serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), servers.environment_handler(fake))) as port:
        fake.endpoint = "http://127.0.0.1:%d" % port
        fake.url = "http://api.example.org:%d/organic_certifier_survey/request_export" % port
        yield fake
