# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The export scheduler: one, connected, and not replaced by one that is not."""

from __future__ import annotations

import time

import pytest

from tests.support import lab
from tests.support.night import sample

pytestmark = pytest.mark.group("export_scheduler")

RUNNING = "docker ps --no-trunc -q --filter label=litefarm.platform.service=export_scheduler"
TEMPORARY = "/srv/litefarm/exports/temp"


def assert_connected(droplet):
    """Within a minute: a Redis that has just restarted is come back to with patience."""
    deadline = time.monotonic() + 60
    while (probe := droplet.run("docker exec export_scheduler node /etc/litefarm/probe.js 5")).rc:
        assert time.monotonic() < deadline, probe.stdout
        time.sleep(0.5)


def test_one_runs_and_says_that_it_is_connected(droplet):
    assert len(droplet.check_output(RUNNING).splitlines()) == 1
    assert_connected(droplet)


# By day beta's droplet stands for both: the role is the same.
@pytest.mark.nightly("litefarm-imaginary")
@pytest.mark.parametrize(
    ("given", "told"),
    sample([("export_scheduler_redis_password=not-the-password-of-redis-at-all", "WRONGPASS"), ("export_scheduler_redis_port=6380", "6380")]),
)
def test_one_that_redis_does_not_let_in_leaves_the_old_one_running(droplet, given, told):
    before = droplet.check_output(RUNNING)
    run = lab.playbook("site.yml", "-e", given, "-e", "export_scheduler_start_timeout=15", environment=lab.environment_of(droplet.name))
    assert run.status != 0
    assert told in run.output, run.reasons
    assert droplet.check_output(RUNNING) == before
    assert_connected(droplet)


def test_what_exports_left_behind_goes_with_age(droplet):
    # The droplet's own rule, for two seconds instead of two days: the times of a file cannot all be set back.
    droplet.check_output("sed -E 's/ [0-9]+h$/ 2s/' /etc/tmpfiles.d/litefarm-exports.conf > /run/litefarm-exports.conf && grep -q 2s /run/litefarm-exports.conf")
    droplet.check_output(f"mkdir {TEMPORARY}/old {TEMPORARY}/new && touch {TEMPORARY}/old/file && sleep 3 && touch {TEMPORARY}/new/file")
    droplet.check_output("systemd-tmpfiles --clean /run/litefarm-exports.conf; rm /run/litefarm-exports.conf")
    assert not droplet.file(f"{TEMPORARY}/old").exists
    assert droplet.file(f"{TEMPORARY}/new/file").exists
    assert droplet.file(TEMPORARY).uid == 1000
    droplet.check_output(f"rm -r {TEMPORARY}/new")
