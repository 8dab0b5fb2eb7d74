# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is killed comes back by itself, and no export is lost. The limits are generous; how long it took is in the summary."""

from __future__ import annotations

import time

import pytest

from tests.support import lab
from tests.support.farm import ExportRequests, Farm
from tests.support.load import Load, Request
from tests.support.pictures import form, png

APP, FILES = "litefarmapp", "litefarm-imaginary"
CONTAINERS = {"postgres": APP, "api": APP, "webapp": APP, "redis": FILES, "imaginary": FILES, "export_scheduler": FILES}


@pytest.fixture(scope="module")
def requests():
    """What users do all the time: the page, the API with and without its database, a picture to be made smaller."""
    headers, body = form(png(64, 64), "picture.png")
    return [
        "https://app.litefarm.org/",
        "https://api.app.litefarm.org/",
        "https://api.app.litefarm.org/login/user/nobody@example.org",
        Request(
            "https://image.litefarm.org/thumbnail?width=16&type=webp", "POST",
            {**headers, "API-Key": lab.vault("production")["vault_imaginary_token"]}, body,
        ),
    ]  # fmt: skip


@pytest.fixture
def outage(names, ca_file, requests, record_property):
    """Measures how long anything was amiss after a deed: until everything has gone well for two seconds in a row, and every export has arrived."""
    farm = Farm("production")

    def measure(deed, limit):
        earlier = farm.exports()
        with ExportRequests(farm) as exports, Load(requests, names, ca_file, rate=5, timeout=2) as load:
            time.sleep(2)
            began = time.monotonic()
            deed()
            # What went well before says nothing of what it did.
            time.sleep(2)
            while not load.well_for(2.0):
                assert time.monotonic() - began < limit, f"not back after {limit} s: {load.stop()}"
                time.sleep(0.2)
            report = load.stop()
        seconds = report.last_failure - report.first_failure if report.failures else 0.0
        ended = time.monotonic()
        # Whoever takes up the work of a scheduler that was killed first waits until nobody else can be at it: a minute.
        farm.wait_for_exports(earlier, exports.accepted, seconds=180)
        late = time.monotonic() - ended
        record_property("outage", f"{seconds:.1f} s; {report}; exports: {exports.accepted} accepted, {exports.refused} refused, the last {late:.0f} s later")

    return measure


@pytest.mark.parametrize("service", CONTAINERS)
def test_a_killed_container_comes_back(outage, service):
    host = lab.connect(CONTAINERS[service])
    pid = host.check_output("docker inspect -f '{{.State.Pid}}' %s", service)
    outage(lambda: host.check_output(f"kill -9 {pid}"), limit=90)


@pytest.mark.parametrize("name", [APP, FILES])
@pytest.mark.parametrize("command", ["pkill -9 -x dockerd", "pkill -9 -x nginx"])
def test_a_killed_daemon_comes_back(outage, name, command):
    outage(lambda: lab.connect(name).check_output(command), limit=90)


@pytest.mark.parametrize("name", [APP, FILES])
def test_a_reboot_brings_everything_back(outage, name):
    outage(lambda: lab.reboot(name), limit=180)
    assert lab.connect(name).check_output("systemctl --failed --no-legend --plain") == ""


def test_after_all_that_nothing_is_to_be_done():
    run = lab.playbook("site.yml")
    assert run.status == 0, run.reasons
    assert run.total("changed") == 0, run.reasons
