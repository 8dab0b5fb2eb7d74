# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Production goes back to one droplet for the API, without anybody noticing; the scenarios after this one find it as they know it."""

from __future__ import annotations

import json

import pytest

from tests.support import lab
from tests.support.deployment import variables
from tests.support.load import Load

pytestmark = pytest.mark.last

API = "api.app.litefarm.org"


def test_production_goes_back_to_its_own_inventory_unnoticed(names, ca_file, record_property):
    with Load(["https://app.litefarm.org/", f"https://{API}/version"], names, ca_file, rate=20) as load:
        # The tests before this one have left a newer release than the inventory's.
        run = lab.playbook("site.yml", *variables(force=True), environment="production")
        report = load.stop()
    record_property("back", f"{run.seconds:.1f} s; {report}")
    assert run.status == 0, run.reasons
    assert not report.failures, report


def test_only_the_first_droplet_answers(ask):
    alone = lab.connect("litefarmapp").check_output("docker inspect -f '{{.Config.Hostname}}' api")
    assert {json.loads(ask(API, "/version").text)["instance"] for _ in range(10)} == {alone}
