# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site that nginx refuses leaves the previous configuration in place and serving."""

from __future__ import annotations

from tests.support import lab
from tests.support.load import Load
from tests.support.sites import REFUSED

CONFIGURATION = "cat /etc/nginx/nginx.conf /etc/nginx/sites.d/*.conf | sha256sum"


def test_the_previous_configuration_stays_and_serves(droplet, names, ca_file):
    before = droplet.check_output(CONFIGURATION)
    with Load(["https://app.litefarm.org/"], names, ca_file, rate=20) as load:
        run = lab.playbook("site.yml", "-e", REFUSED)
        report = load.stop()
    assert run.status != 0
    assert "no_directive" in run.output
    assert not report.failures, report
    assert droplet.check_output(CONFIGURATION) == before
