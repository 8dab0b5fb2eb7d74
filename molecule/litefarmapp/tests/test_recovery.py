# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is killed comes back by itself. The limits are generous; how long it took is printed."""

from __future__ import annotations

import time

import pytest

from tests.support import lab
from tests.support.load import Load

URLS = (
    "https://app.litefarm.org/",
    "https://api.app.litefarm.org/",
    "https://api.app.litefarm.org/login/user/nobody@example.org",
)


@pytest.fixture
def outage(names, ca_file, record_property):
    """Measures how long anything was amiss after a deed: until every URL has answered well for two seconds in a row."""

    def measure(deed, limit):
        with Load(URLS, names, ca_file, rate=5, timeout=2) as load:
            time.sleep(1)
            began = time.monotonic()
            deed()
            while not load.well_for(2.0):
                assert time.monotonic() - began < limit, f"not back after {limit} s: {load.stop()}"
                time.sleep(0.2)
            report = load.stop()
        seconds = report.last_failure - report.first_failure if report.failures else 0.0
        record_property("outage_seconds", round(seconds, 1))
        print(f"\noutage {seconds:.1f} s; {report}")

    return measure


@pytest.mark.parametrize("service", ["postgres", "api", "webapp"])
def test_a_killed_container_comes_back(droplet, outage, service):
    pid = droplet.check_output("docker inspect -f '{{.State.Pid}}' %s", service)
    outage(lambda: droplet.check_output(f"kill -9 {pid}"), limit=90)


@pytest.mark.parametrize("command", ["systemctl restart docker", "pkill -9 -x dockerd", "pkill -9 -x nginx"])
def test_a_restarted_or_killed_daemon_comes_back(droplet, outage, command):
    outage(lambda: droplet.check_output(command), limit=90)


def test_a_reboot_brings_everything_back(droplet, outage):
    outage(lambda: lab.reboot("litefarmapp"), limit=180)
    assert droplet.check_output("systemctl --failed --no-legend --plain") == ""
    run = lab.playbook("site.yml")
    assert run.status == 0, run.output
    assert run.total("changed") == 0, run.output
