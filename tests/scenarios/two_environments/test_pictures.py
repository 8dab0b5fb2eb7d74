# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beta has its pictures made by production, with a key of its own."""

from __future__ import annotations

import json

import pytest

from tests.support import lab
from tests.support.farm import Farm
from tests.support.pictures import png, webp_width


def test_each_environment_makes_a_picture_smaller(environment):
    farm = Farm(environment)
    status, body = farm.upload(png(seed=3), "field.png")
    assert status == 201, body
    assert webp_width(farm.object(json.loads(body)["thumbnail_url"].partition(".com/")[2])) == 300


def test_each_environment_exports_to_its_own_bucket(environment):
    farm = Farm(environment)
    earlier = farm.exports()
    assert farm.request_export() == 200
    assert farm.wait_for_exports(earlier)


def test_verify_finds_the_environment_well(environment):
    run = lab.playbook("playbooks/verify.yml", environment=environment)
    assert run.status == 0, run.reasons
    assert run.total("changed") == 0


def test_verify_names_the_key_that_production_does_not_know():
    run = lab.playbook("playbooks/verify.yml", "-e", "vault_imaginary_token=a-key-that-production-never-had-0123456789", environment="beta")
    assert run.status != 0
    assert any("401" in line and "'beta'" in line for line in run.output.splitlines() if line.endswith("FAIL")), run.output


@pytest.mark.nightly
def test_the_key_of_beta_is_rotated_in_two_steps_and_works_all_the_time():
    beta = Farm("beta")
    old = lab.vault("production")["vault_imaginary_token_beta"]
    begun = lab.playbook("playbooks/rotate.yml", "-e", "secret=imaginary_token_beta", environment="production")
    assert begun.status == 0, begun.reasons
    assert "finish=true" in begun.output
    assert lab.vault("production")["vault_imaginary_token_beta_previous"] == old
    assert beta.upload(png(64, 64, seed=4), "old.png")[0] == 201

    new = lab.vault("production")["vault_imaginary_token_beta"]
    assert new != old
    lab.put_into_vault("beta", vault_imaginary_token=new)
    assert lab.playbook("site.yml", environment="beta").status == 0
    assert beta.upload(png(64, 64, seed=4), "new.png")[0] == 201

    ended = lab.playbook("playbooks/rotate.yml", "-e", "secret=imaginary_token_beta", "-e", "finish=true", environment="production")
    assert ended.status == 0, ended.reasons
    assert "vault_imaginary_token_beta_previous" not in lab.vault("production")
    assert beta.upload(png(64, 64, seed=4), "new.png")[0] == 201
