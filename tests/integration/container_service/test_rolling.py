# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import http.client
import json
import time

import pytest

from tests.support.night import sample

PASSWORD = "correct-horse-battery"


def test_first_release_then_unchanged(service):
    service.rolling()
    first = service.good()
    assert first["changed"] and first["release"]["phase"] == "committed" and first["release"]["number"] == 1
    assert service.get() == (200, "version 1")
    second = service.good()
    assert not second["changed"] and second["release"]["phase"] == "current"
    assert service.containers() == {"": "running"}


def test_good_release_drops_no_request(service, load):
    service.rolling().good()
    with load() as requests:
        result = service.good(image=service.images["2"])
    assert requests.failures == [] and len(requests.answers) > 50
    assert requests.versions == {"version 1", "version 2"}
    assert service.get() == (200, "version 2")
    assert result["release"]["previous"]["number"] == 1
    assert service.containers() == {"": "running", ".previous.1": "exited"}


@pytest.mark.parametrize(
    ("mode", "exit_reason", "start_timeout"),
    [("exit", "exit code 3", 30), ("deaf", "it runs", 5), ("unready", "it runs", 5), ("memory", "out of memory: the limit is 64 MB", 30)],
)
def test_bad_release_is_refused_and_nobody_notices(service, load, mode, exit_reason, start_timeout):
    service.rolling().good()
    with load() as requests:
        result = service.bad(image=service.images["2"], env={"MODE": mode}, start_timeout=start_timeout)
    assert requests.failures == [], result["msg"]
    assert service.get() == (200, "version 1")
    assert service.containers() == {"": "running"}
    assert "keeps serving" in result["msg"].splitlines()[0]
    assert result["exit"].startswith(exit_reason), result
    assert result["log"][0] == "starting version 2 with password ********"
    assert PASSWORD not in result["output"]
    assert not service.good()["changed"]


def wait_until(reached, seconds=20):
    limit = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < limit
        time.sleep(0.05)


def exhaust(service, suffix):
    """Has a container use more memory than it may, and waits until the engine has started it again."""
    container = service.container(suffix)
    connection = http.client.HTTPConnection("127.0.0.1", int(container.labels["litefarm.platform.port"]), timeout=10)
    with pytest.raises((OSError, http.client.HTTPException)):
        connection.request("GET", "/exhaust")
        connection.getresponse()
    connection.close()

    def started_again():
        container.reload()
        return container.attrs["RestartCount"] == 1 and container.status == "running"

    wait_until(started_again)


@pytest.mark.parametrize("suffixes", sample([["", ".next"], [""]]))
def test_memory_that_runs_out_in_the_old_container_does_not_take_the_new_one_back(service, suffixes):
    # Long enough for both to run out of memory and start again, however busy the machine is.
    service.rolling(settle=10.0 * len(suffixes)).good()
    old = service.file.read_text()
    process = service.start(image=service.images["2"])
    wait_until(lambda: service.file.read_text() != old)
    for suffix in suffixes:
        exhaust(service, suffix)
    output, errors = process.stdout.read(), process.stderr.read()
    process.wait()
    assert output, errors
    result = json.loads(output)
    assert not result.get("failed"), result["msg"]
    assert ("ran out of memory" in json.dumps(result.get("warnings", []))) == (".next" in suffixes)
    assert service.get() == (200, "version 2")
    assert service.containers() == {"": "running", ".previous.1": "exited"}


def test_release_that_crashes_while_it_settles_is_taken_back(service, load):
    service.rolling(settle=3.0).good()
    with load() as requests:
        result = service.bad(image=service.images["2"], env={"MODE": "crash=1"})
    assert result["exit"].startswith("exit code 7") and "giving up after 1.0 s" in result["log"]
    assert service.get() == (200, "version 1")
    assert service.containers() == {"": "running"}
    assert requests.failures == [] and "version 2" in requests.versions
