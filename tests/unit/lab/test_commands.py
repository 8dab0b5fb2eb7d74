# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from lab.__main__ import arguments
from lab.commands import Lab, selected
from lab.errors import LabError

BOTH = {
    "production": "litefarm: {hosts: {litefarmapp: , litefarm-imaginary: }}\n",
    "beta": "litefarm: {hosts: {liteformbeta: , export-beta: }}\n",
}
SCALED = "litefarm: {hosts: {litefarmapi: }}\nload_balancer: {hosts: {litefarmapp: }}\n"
FOUR = ["litefarmapp", "litefarm-imaginary", "liteformbeta", "export-beta"]


@pytest.fixture
def checkout(settings):
    """Settings whose checkout has the inventories of the environments."""
    for name, text in BOTH.items():
        (settings.checkout / "inventories" / name).mkdir(parents=True)
        (settings.checkout / "inventories" / name / "hosts.yml").write_text(text)
    (settings.checkout / "molecule" / "scaled" / "inventory").mkdir(parents=True)
    (settings.checkout / "molecule" / "scaled" / "inventory" / "scaled.yml").write_text(SCALED)
    return settings


@pytest.mark.parametrize(
    "environments, names, expected_environments, expected_droplets",
    [
        ([], [], ["production"], FOUR[:2]),
        (["beta"], [], ["beta"], FOUR[2:]),
        (["production", "beta"], [], ["production", "beta"], FOUR),
        (["beta", "production", "beta"], [], ["beta", "production"], FOUR[2:] + FOUR[:2]),
        (["production"], ["litefarmapp"], ["production"], ["litefarmapp"]),
        # Droplets bring their environments along; the one that was asked for stays the main one.
        ([], ["export-beta"], ["beta"], ["export-beta"]),
        ([], ["export-beta", "litefarmapp"], ["beta", "production"], ["export-beta", "litefarmapp"]),
        (["production"], ["export-beta"], ["production", "beta"], ["export-beta"]),
        ([], ["builder1"], ["production"], ["builder1"]),
        # Only who asks for it has the second droplet for the API.
        (["scaled"], [], ["scaled"], [*FOUR[:2], "litefarmapi"]),
        (["production", "scaled"], [], ["production", "scaled"], [*FOUR[:2], "litefarmapi"]),
        ([], ["litefarmapi"], ["scaled"], ["litefarmapi"]),
    ],
)
def test_which_environments_and_droplets_are_meant(checkout, environments, names, expected_environments, expected_droplets):
    found, droplets = selected(checkout, environments, names)
    assert (found, [droplet.name for droplet in droplets]) == (expected_environments, expected_droplets)


def test_the_farm_that_verify_asks_for_is_the_sample_s_and_no_one_else_s(settings, tmp_path):
    sample = Lab(settings)._repositories()
    assert sample["litefarm_verify_farm_id"] == "5a3bb6f4-0000-4000-8000-000000000001"
    assert sample["litefarm_verify_user_id"] == "5a3bb6f4-0000-4000-8000-0000000000aa"
    object.__setattr__(settings, "repository", "https://example.org/application.git")
    assert Lab(settings)._repositories() == {"litefarm_repo": "https://example.org/application.git"}


@pytest.fixture
def parser():
    return arguments()


def test_environments_add_up_on_the_command_line(parser):
    options = parser.parse_args(["up", "--environment", "production", "--environment", "beta", "--droplet", "export-beta"])
    assert (options.environments, options.droplet, options.flavour) == (["production", "beta"], ["export-beta"], "baked")
    assert parser.parse_args(["up"]).environments == []


def test_a_fault_of_the_object_storage_on_the_command_line(parser, capsys):
    options = parser.parse_args(["storage-fault", "hang", "--bucket", "litefarm-beta"])
    assert (options.fault, options.bucket) == ("hang", "litefarm-beta")
    with pytest.raises(SystemExit):
        parser.parse_args(["storage-fault", "burn"])
    assert "invalid choice: 'burn'" in capsys.readouterr().err


def test_a_fault_of_a_lab_that_is_not_up_is_an_error(settings):
    with pytest.raises(LabError, match="The lab 'unit' is not up: run `python -m lab up` first."):
        Lab(settings).storage_fault("hang", "")


def test_an_unknown_environment_is_refused(parser, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(["up", "--environment", "staging"])
    assert "staging" in capsys.readouterr().err
