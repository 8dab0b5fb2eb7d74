# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What beta runs goes to production by its commit: the images that do not differ are the same ones."""

from __future__ import annotations

import json

import pytest

from tests.support import lab
from tests.support.deployment import variables

LEDGERS = {"production": "litefarmapp", "beta": "liteformbeta"}


def newest(environment):
    text = lab.connect(LEDGERS[environment]).check_output("tail -n 1 /var/lib/litefarm/deployment/history.jsonl")
    return json.loads(text)


def play(name, version, environment, **more):
    run = lab.playbook(name, *variables(litefarm_version=version, **more), environment=environment)
    assert run.status == 0, run.reasons
    return run


# By day each of its playbooks runs in other scenarios.
@pytest.mark.nightly
def test_production_takes_over_what_beta_runs():
    lab.lab("sample-release", "--tag", "v4.0.0", "--set", "behaviour=ok")
    play("playbooks/build.yml", "v4.0.0", "beta")
    # A second run of the tests on one lab goes back to it.
    play("playbooks/deploy.yml", "v4.0.0", "beta", force=True)
    beta = newest("beta")
    commit = beta["to"]["commit"]
    assert beta["to"]["version"] == "v4.0.0"

    built = play("playbooks/build.yml", commit, "production")
    changed = [line.partition("(item=")[2].rstrip(") ") for line in built.output.splitlines() if line.startswith("changed: ") and "(item=" in line]
    assert changed == ["webapp"], built.reasons
    play("playbooks/deploy.yml", commit, "production", force=True)
    production = newest("production")
    assert production["to"]["commit"] == commit
    for image in ("api", "export_scheduler"):
        assert production["images"][image] == beta["images"][image]
    assert production["images"]["webapp"] != beta["images"]["webapp"]
