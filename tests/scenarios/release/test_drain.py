# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request that takes nearly as long as the drain survives a release: neither the old container nor the old worker of nginx ends it before."""

from __future__ import annotations

import json
import re

import pytest

from tests.support import lab
from tests.support.deployment import leftovers, running, variables
from tests.support.load import Load, Request

VERSION = "https://api.app.litefarm.org/version"
# Seconds. The former time for the workers of nginx, half of this drain, is much less than what the request takes.
DRAIN, TAKES = 60, 50
# Before its turn a request may have waited for as long.
QUEUE = 30
SLOW = f"https://api.app.litefarm.org/slow?ms={TAKES * 1000}"


def lives():
    """Seconds for which old workers of nginx live, by droplet."""
    found = {}
    for name in lab.droplets("nginx"):
        (seconds,) = re.findall(r"^worker_shutdown_timeout (\d+)s;$", lab.connect(name).check_output("cat /etc/nginx/nginx.conf"), re.MULTILINE)
        found[name] = int(seconds)
    return found


@pytest.fixture
def long_drain():
    """The environment with a long drain of the API, and afterwards as its inventory says."""
    run = lab.playbook("site.yml", *variables(api_drain_timeout=DRAIN))
    assert run.status == 0, run.reasons
    yield
    run = lab.playbook("site.yml")
    assert run.status == 0, run.reasons


def test_workers_of_nginx_live_as_long_as_imaginarys_drain():
    defaults = (lab.PROJECT / "roles" / "imaginary" / "defaults" / "main.yml").read_text()
    drain = int(re.search(r"^imaginary_drain_timeout: (\d+)$", defaults, re.MULTILINE)[1])
    with_imaginary = lab.droplets("nginx", "imaginary")
    assert with_imaginary
    assert all(lives()[name] >= drain for name in with_imaginary)


@pytest.mark.nightly
@pytest.mark.usefixtures("long_drain")
def test_a_request_of_50_s_survives_a_release_with_a_drain_of_60_s(names, ca_file, record_property):
    assert all(seconds == DRAIN + QUEUE for seconds in lives().values())
    before = running()
    # One every second, so that some begin just before the switch.
    with Load([Request(SLOW, rate=1), Request(VERSION, rate=20)], names, ca_file, timeout=TAKES + 20) as load:
        run = lab.playbook("playbooks/deploy.yml", *variables(api_drain_timeout=DRAIN, api_env={"ANOTHER": "setting"}))
        report = load.stop()
    record_property("deploy.yml", f"{run.seconds:.1f} s; {report}")
    assert run.status == 0, run.reasons
    assert "were cut" not in run.output
    assert len(report.failures) == 0, str(report)
    assert running() == before
    old, new = [json.loads(body)["instance"] for body in report.bodies("/version")]
    assert old != new
    switch = report.of(VERSION).first_seen(new.encode())
    # Begun on the old container, and ended when nginx's workers would have been gone after half of the time.
    carried = [answer for answer in report.of(SLOW).answers if answer.began < switch and answer.began + answer.seconds > switch + DRAIN / 2]
    assert carried
    assert leftovers() == []
