# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A droplet that is as it should be stays as it is."""

from __future__ import annotations

from tests.support import lab


def test_a_check_run_on_the_converged_droplet_reports_no_change():
    run = lab.playbook("site.yml", "--check", "--diff")
    assert run.status == 0, run.output
    assert run.total("changed") == 0, run.output


def test_verify_finds_the_environment_well():
    run = lab.playbook("playbooks/verify.yml")
    assert run.status == 0, run.output
    assert run.total("changed") == 0
