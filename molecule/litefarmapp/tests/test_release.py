# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases under load: a good one replaces the old one, a bad one does not, and no request fails either way."""

from __future__ import annotations

import pytest

from tests.support import lab
from tests.support.load import Load

PAGE, API = "https://app.litefarm.org/", "https://api.app.litefarm.org/version"


@pytest.fixture(scope="module")
def built():
    """Builds a version of the sample application that behaves as asked; returns its version."""

    def build(version, behaviour):
        lab.lab("sample-release", "--tag", f"v{version}", "--set", f"version={version}", "--set", f"behaviour={behaviour}")
        run = lab.playbook("playbooks/build.yml", "-e", f"litefarm_version=v{version}")
        assert run.status == 0, run.output
        return f"v{version}"

    return build


@pytest.fixture
def release(names, ca_file, record_property):
    """Deploys a version with everything shown, at 50 requests a second on web and API."""

    def deploy(version, *arguments):
        with Load([PAGE, API], names, ca_file, rate=50) as load:
            run = lab.playbook("site.yml", "-vvv", "--diff", "-e", f"litefarm_version={version}", *arguments)
            report = load.stop()
        record_property("deployment", f"{run.seconds:.1f} s; {report}")
        return run, report

    return deploy


def test_a_good_release_is_not_noticed(built, release):
    run, report = release(built("1.1.0", "ok"))
    assert run.status == 0, run.output[-6000:]
    assert not report.failures, report
    assert b"1.1.0" in report.bodies("/version")[-1]


@pytest.mark.parametrize(
    ("version", "behaviour", "shown"),
    [
        ("1.2.0", "crash-at-start", "exit"),
        ("1.2.1", "never-listens", "probe"),
        ("1.2.2", "unready", "probe database: bad"),
        ("1.2.3", "bad-migration", "migrat"),
    ],
)
def test_a_bad_release_leaves_the_old_one_serving(built, release, version, behaviour, shown):
    # Bad ones that never answer are waited for; ten seconds are enough for the sample.
    run, report = release(built(version, behaviour), "-e", "api_start_timeout=10")
    assert run.status != 0
    assert shown in run.output.lower(), run.output[-6000:]
    assert not report.failures, report
    assert all(b"1.1.0" in body for body in report.bodies("/version")), report.bodies("/version")


def test_after_bad_releases_the_good_one_is_still_in_place(droplet):
    run = lab.playbook("site.yml", "-e", "litefarm_version=v1.1.0")
    assert run.status == 0, run.output
    assert run.total("changed") == 0, run.output
    assert droplet.check_output("docker ps -q --filter status=created --filter status=restarting") == ""
