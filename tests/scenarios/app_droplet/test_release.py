# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""site.yml releases as deploy.yml does: nobody notices a good release, and a bad one leaves the old one serving. By day `default` has both."""

from __future__ import annotations

import pytest

from tests.support import lab
from tests.support.deployment import variables


@pytest.mark.nightly
def test_a_good_release_is_not_noticed(built, under_load):
    # A second run of the tests on one lab goes back to it.
    run, report = under_load("site.yml", *variables(litefarm_version=built("1.1.0", "behaviour=ok"), force=True))
    assert run.status == 0, run.reasons
    assert len(report.failures) == 0, str(report)
    assert b"1.1.0" in report.bodies("/version")[-1]


@pytest.mark.nightly
def test_a_bad_release_leaves_the_old_one_serving(under_load):
    bad = '{"litefarm_version": "v1.1.0", "api_env": {"SAMPLE_BEHAVIOUR": "unready"}, "api_start_timeout": 10}'
    run, report = under_load("site.yml", "-e", bad)
    assert run.status != 0
    assert "probe database: bad" in run.output.lower(), run.reasons
    assert "api_env" not in lab.playbook("playbooks/status.yml").output
    assert len(report.failures) == 0, str(report)
    assert all(b"1.1.0" in body for body in report.bodies("/version")), report.bodies("/version")


@pytest.mark.nightly
def test_after_a_bad_release_the_good_one_is_still_in_place(droplet):
    run = lab.playbook("site.yml", "-e", "litefarm_version=v1.1.0")
    assert run.status == 0, run.reasons
    assert run.total("changed") == 0, run.reasons
    assert droplet.check_output("docker ps -q --filter status=created --filter status=restarting") == ""


def test_a_droplet_that_is_not_ready_releases_nothing_and_gives_the_lock_back(droplet):
    services = [{"name": "x", "port": 1, "from": ["no address"]}]
    run = lab.playbook("site.yml", *variables(force=True, docker_log_max_mb=11, firewall_services=services))
    assert run.status != 0
    cause = "firewall_services of litefarmapp: no address is no address and no network"
    assert f"is not released: litefarmapp failed at 'Check that clients are addresses': {cause}, so nothing is released." in run.reasons, run.reasons
    assert run.output.count("[ERROR]") == 2, run.output
    assert not droplet.file("/var/lib/litefarm/deployment/lock.json").exists
    run = lab.playbook("site.yml", *variables(force=True))
    assert run.status == 0, run.reasons
