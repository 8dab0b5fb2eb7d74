# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in a running container, which are asked for without the SDK."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import Engine
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import ServiceError

TALK = "import os, sys; print(sys.stdin.read(), os.getuid(), flush=True); print('error', file=sys.stderr); sys.exit(3)"
MANY = "for _ in range(2000): print('.' * 1000)"


@pytest.fixture
def ask(service):
    """Runs Python in the container of a running service."""
    service.recreate().good()
    container = service.container()
    program = container.attrs["Config"]["Entrypoint"][0]
    return lambda text, timeout=10, **more: Engine().execute(container.id, [program, "-c", text], timeout, **more)


def test_a_command_gets_its_input_and_gives_its_exit_code(ask):
    assert ask(TALK, user="65534", stdin="hellö") == (3, "hellö 65534\n", "error\n")


def test_a_long_answer_is_complete(ask):
    assert ask(MANY) == (0, ("." * 1000 + "\n") * 2000, "")


def test_a_command_that_goes_on_talking_is_left(ask):
    with pytest.raises(ServiceError, match="did not end within 1 s"):
        ask("import time\nfor _ in range(100): print('.', flush=True); time.sleep(0.1)", 1)


def test_a_program_that_is_not_there_says_so(service, ask):
    code, output, errors = Engine().execute(service.container().id, ["/no/such/program"], 10)
    assert code in (126, 127)
    assert "/no/such/program" in output + errors


def test_a_release_is_refused_because_of_what_a_command_says(service):
    program = service.engine.images.get(service.images["1"]).attrs["Config"]["Entrypoint"][0]
    version = "import os, sys; sys.exit('version ' + os.environ['VERSION'] + ' is not good' if os.environ['VERSION'] == '2' else 0)"
    # A command says nothing of the port: the old version, once it is back, is asked over HTTP too before anything relies on it.
    probes = [*service.arguments["probes"], {"name": "version", "kind": "exec", "command": [program, "-c", version]}]
    service.recreate(probes=probes).good()
    result = service.bad(image=service.images["2"], start_timeout=10)
    assert "version: bad, exit 1: version 2 is not good" in result["msg"]
    assert service.get() == (200, "version 1")
