# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An environment that is as it should be stays as it is."""

from __future__ import annotations

from tests.support import lab
from tests.support.deployment import variables


def test_a_second_run_and_a_check_run_report_no_change(environment):
    # Tests before this one may have left a newer release than the inventory's.
    first = lab.playbook("site.yml", *variables(force=True), environment=environment)
    assert first.status == 0, first.reasons
    for arguments in ([], ["--check", "--diff"]):
        run = lab.playbook("site.yml", *arguments, environment=environment)
        assert run.status == 0, run.reasons
        assert run.total("changed") == 0, run.reasons
