# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib

import pytest
import yaml
from lab.errors import LabError
from lab.settings import ACME, BUCKETS, BUILDER_DROPLET, DROPLETS, GIT, MIRROR, REGISTRY, STORAGE, environment_of, find_droplet, settings_from

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
ALL = [BUILDER_DROPLET, *DROPLETS["production"], *DROPLETS["beta"]]


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


@pytest.mark.parametrize("environment", sorted(DROPLETS))
def test_the_real_inventory_s_droplets_and_host_names_are_known(environment):
    inventory = CHECKOUT / "inventories" / environment
    known = {droplet.name for droplet in DROPLETS[environment]}
    assert set(yaml.safe_load((inventory / "hosts.yml").read_text())["litefarm"]["hosts"]) <= known
    variables = yaml.safe_load((inventory / "group_vars" / "litefarm" / "main.yml").read_text())
    host_names = {value for name, value in variables.items() if name.endswith("_host_name")}
    assert host_names
    assert host_names <= {name for droplet in DROPLETS[environment] for name in droplet.host_names}
    assert {variables[f"litefarm_{kind}_bucket"] for kind in ("private", "public")} == set(BUCKETS[environment])


def test_every_droplet_but_the_builder_belongs_to_an_environment():
    assert environment_of(find_droplet("litefarm-imaginary")) == "production"
    assert environment_of(find_droplet("export-beta")) == "beta"
    assert environment_of(BUILDER_DROPLET) is None
