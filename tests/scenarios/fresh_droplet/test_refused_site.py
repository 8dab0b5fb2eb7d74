# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A first run with a site that nginx refuses. Runs after the check run; the scenario goes on from what it leaves behind."""

from __future__ import annotations

from tests.support import lab
from tests.support.sites import REFUSED


def test_on_a_fresh_droplet_nothing_is_configured_and_nginx_does_not_start(droplet):
    run = lab.playbook("site.yml", "-e", REFUSED)
    assert run.status != 0
    assert "no_directive" in run.output
    assert droplet.run("systemctl is-active nginx").stdout.strip() == "inactive"
    assert not droplet.file("/etc/nginx/sites.d/refused.conf").exists
    assert droplet.run("ss -Hltn 'sport = :443'").stdout == ""
