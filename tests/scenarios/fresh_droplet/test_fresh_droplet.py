# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A check run on a droplet that has nothing yet tells what it would do, and does none of it."""

from __future__ import annotations

import pytest

from tests.support import lab

# What connecting and looking leaves behind, and what moves by itself.
MOVING = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/log", "/var/lib/systemd", "/root/.ansible", "/var/lib/docker")


def fingerprint(droplet):
    """Every file of the droplet with its size, mode, owner and time of change."""
    prune = " -o ".join(f"-path {path}" for path in MOVING)
    listing = droplet.check_output(f"find / \\( {prune} \\) -prune -o -type f -printf '%p %s %m %u %T@\\n' | sort")
    return listing.splitlines()


@pytest.fixture(scope="module")
def check_run():
    (name,) = lab.droplets()
    droplet = lab.connect(name)
    before = fingerprint(droplet)
    run = lab.playbook("site.yml", "--check", "--diff")
    return run, before, fingerprint(droplet)


def test_the_check_run_ends_well(check_run):
    run, _, _ = check_run
    assert run.status == 0, run.reasons


def test_it_says_what_it_would_create(check_run):
    run, _, _ = check_run
    assert run.total("changed") >= 10, run.reasons
    for created in ("/etc/nginx/nginx.conf", "/etc/docker/daemon.json", "postgres:17", "deploy"):
        assert created in run.output, f"{created} is not announced:\n{run.output}"


def test_it_changes_nothing(check_run):
    _, before, after = check_run
    assert after == before
