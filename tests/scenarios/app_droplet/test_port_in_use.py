# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration that nginx finds correct and does not take over, because a port is in use, is refused like any other."""

from __future__ import annotations

import pytest

from tests.support import lab
from tests.support.load import Load

PORT = 8099
CONFIGURATION = "cat /etc/nginx/nginx.conf /etc/nginx/sites.d/*.conf | sha256sum"
BY_HAND = "/etc/nginx/sites.d/by-hand.conf"


@pytest.fixture(name="occupied")
def fixture_occupied(droplet):
    droplet.check_output(f"systemd-run --unit=litefarm-test-port python3 -m http.server {PORT} --bind 127.0.0.1")
    yield
    droplet.check_output("systemctl stop litefarm-test-port")


# By day the release below: both are undone by the same reload that takes no effect.
@pytest.mark.nightly
def test_a_changed_configuration_is_taken_back_and_tried_again(droplet, names, ca_file, occupied):
    before = droplet.check_output(CONFIGURATION)
    with Load(["https://app.litefarm.org/"], names, ca_file, rate=20) as load:
        runs = [lab.playbook("site.yml", "-e", f"nginx_status_port={PORT}") for _twice in range(2)]
        report = load.stop()
    for run in runs:
        assert run.status != 0 and "Address already in use" in run.output, run.reasons
    assert not report.failures, report
    assert droplet.check_output(CONFIGURATION) == before


def test_a_release_is_refused_and_the_old_one_serves(droplet, names, ca_file, occupied):
    droplet.check_output(f"printf 'server {{ listen 127.0.0.1:{PORT}; }}' > {BY_HAND} && nginx -t")
    old = droplet.check_output("docker inspect --format '{{.Id}}' webapp")
    try:
        with Load(["https://app.litefarm.org/"], names, ca_file, rate=20) as load:
            run = lab.playbook("playbooks/deploy.yml", "-e", '{"webapp_memory_mb": 65}')
            report = load.stop()
        assert run.status != 0 and "Address already in use" in run.output, run.reasons
        assert droplet.check_output("docker inspect --format '{{.Id}} {{.State.Running}}' webapp") == f"{old} true"
    finally:
        droplet.check_output(f"rm {BY_HAND}")
    assert not report.failures, report
    assert lab.playbook("site.yml").status == 0
    assert droplet.check_output("docker ps --all --quiet --filter name=webapp.next") == ""
