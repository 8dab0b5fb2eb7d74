# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import pytest
import yaml
from lab.errors import LabError
from lab.inventory import droplets_of
from lab.settings import ACME, BUCKETS, BUILDER_DROPLET, CHECKOUT, DROPLETS, GIT, MIRROR, REGISTRY, STORAGE, VARIATIONS
from lab.settings import environment_of, find_droplet, main_of, members_of, settings_from

from tests.support import lab, playbooks

ALL = [BUILDER_DROPLET, *(droplet for droplets in DROPLETS.values() for droplet in droplets)]


def test_defaults():
    settings = settings_from({})
    assert (settings.lab, str(settings.public), str(settings.private)) == ("litefarm", "10.89.10.0/24", "10.89.20.0/24")
    assert settings.public_address(REGISTRY) == "10.89.10.2"
    assert settings.private_address(11) == "10.89.20.11"
    assert settings.name("mirror") == "litefarm-mirror"


def test_empty_variables_count_as_unset():
    settings = settings_from({"LITEFARM_LAB": "", "LITEFARM_LAB_NET": "", "LITEFARM_REPO": "", "LITEFARM_VERSION": ""})
    assert (settings.lab, settings.repository, settings.version) == ("litefarm", None, None)


@pytest.mark.parametrize(
    "environment, named",
    [
        ({"LITEFARM_LAB": "../up"}, "LITEFARM_LAB"),
        ({"LITEFARM_LAB": "Lab"}, "LITEFARM_LAB"),
        ({"LITEFARM_LAB_NET": "10.1.1.7/24"}, "LITEFARM_LAB_NET"),
        ({"LITEFARM_LAB_NET": "10.1.0.0/16"}, "/24"),
        ({"LITEFARM_LAB_PRIVATE_NET": "somewhere"}, "LITEFARM_LAB_PRIVATE_NET"),
        ({"LITEFARM_LAB_NET": "10.89.20.0/24"}, "overlap"),
    ],
)
def test_what_cannot_be_is_said(environment, named):
    with pytest.raises(LabError, match=named):
        settings_from(environment)


def test_no_two_parts_share_an_address():
    numbers = [droplet.number for droplet in ALL] + [REGISTRY, MIRROR, ACME, GIT, STORAGE]
    assert len(set(numbers)) == len(numbers)
    # The engine hands out the upper half by itself; the first address is the gateway's.
    assert all(2 <= number < 128 for number in numbers)


def test_unknown_droplet_names_the_known_ones():
    with pytest.raises(LabError, match="litefarmapp, litefarm-imaginary, liteformbeta, export-beta"):
        find_droplet("litefarmap")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Settings of a checkout whose inventories are those of the unit tests."""
    monkeypatch.setattr(lab, "INVENTORIES", playbooks.INVENTORIES)
    (tmp_path / "inventories").symlink_to(playbooks.INVENTORIES)
    (tmp_path / "molecule").symlink_to(CHECKOUT / "molecule")
    return dataclasses.replace(settings_from({}), checkout=tmp_path)


@pytest.mark.parametrize("environment", sorted(DROPLETS))
def test_an_inventory_s_droplets_and_host_names_are_known(environment, checkout):
    inventories = checkout.inventories(environment)
    assert droplets_of(inventories) == [droplet.name for droplet in members_of(environment)]
    variables = yaml.safe_load((inventories[0] / "group_vars" / "litefarm" / "main.yml").read_text())
    host_names = {value for name, value in variables.items() if name.endswith("_host_name")}
    assert host_names
    assert host_names <= {name for droplet in members_of(environment) for name in droplet.host_names}
    backups = yaml.safe_load((CHECKOUT / "playbooks" / "group_vars" / "all.yml").read_text())["litefarm_backup_bucket"]
    backups = backups.replace("{{ litefarm_environment }}", variables["litefarm_environment"])
    assert {backups, *(variables[f"litefarm_{kind}_bucket"] for kind in ("private", "public"))} == set(BUCKETS[main_of(environment)])


def test_every_droplet_but_the_builder_belongs_to_an_environment():
    assert environment_of(find_droplet("litefarm-imaginary")) == "production"
    assert environment_of(find_droplet("export-beta")) == "beta"
    assert environment_of(find_droplet("litefarmapi")) == "scaled"
    assert environment_of(BUILDER_DROPLET) is None


@pytest.mark.parametrize("environment", sorted(DROPLETS))
def test_tests_see_the_groups_that_the_lab_runs(environment, checkout):
    assert lab.VARIATIONS == VARIATIONS
    groups = lab.hosts(environment)
    assert groups["litefarm"] == [droplet.name for droplet in members_of(environment)]
    assert {name for members in groups.values() for name in members} == set(groups["litefarm"])


def test_the_scaled_environment_has_two_droplets_for_the_api_behind_one(checkout):
    groups = lab.hosts("scaled")
    assert groups["api"] == ["litefarmapp", "litefarmapi"]
    assert groups["load_balancer"] == ["litefarmapp"]
    assert set(groups["litefarm"]) == set(groups["nginx"])
    for only in ("postgres", "redis", "export_scheduler"):
        assert len(groups[only]) == 1
    assert "litefarmapi" not in lab.hosts("production")["litefarm"]
