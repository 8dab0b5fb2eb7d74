# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module is really killed, on a real engine. Every cell of the table is a unit test; these show that the fake does not flatter."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.support.night import sample


@pytest.mark.parametrize("step", sample(["write", "keep", "retire", "create", "start", "reload", "stop", "name"], by_day=3))
def test_rolling_killed_at(service, load, step):
    service.rolling(settle=0.2).good()
    with load() as requests:
        service.killed(image=service.images["2"], fault=step)
        service.good(image=service.images["2"])
    assert requests.failures == []
    assert service.get() == (200, "version 2")
    left = {"": "running", ".previous.1": "exited"}
    assert service.containers() == left
    assert not service.good(image=service.images["2"])["changed"]


@pytest.mark.parametrize("step", sample(["stop", "probe", "create", "start", "retire", "name"], by_day=2))
def test_recreate_killed_at(service, step):
    service.recreate(settle=0.2).good()
    service.killed(image=service.images["2"], fault=step)
    service.good(image=service.images["2"])
    assert service.get() == (200, "version 2")
    assert service.containers() == {"": "running", ".previous.1": "exited"}
    assert not service.good(image=service.images["2"])["changed"]


@pytest.mark.parametrize("step", sample(["back", "halt"]))
def test_recreate_killed_while_it_goes_back(service, step):
    service.recreate().good()
    service.killed(image=service.images["2"], env={"MODE": "exit"}, fault=step)
    service.good()
    assert service.get() == (200, "version 1")
    assert service.containers() == {"": "running"}


def test_two_at_once(service):
    service.recreate().good()
    first = service.start(image=service.images["2"], env={"MODE": "deaf"}, start_timeout=60)
    deadline = time.monotonic() + 30
    while service.containers().get(".next") != "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    second = service.bad(image=service.images["3"])
    assert "process %d holds it since" % first.pid in second["msg"]
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    service.good(image=service.images["3"])
    assert service.get() == (200, "version 3")
