# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.template import Templar
from ansible.vars.manager import VariableManager
from lab.errors import LabError
from lab.inventory import Overlay, droplets_of, supplied_secrets
from lab.keys import Keys
from lab.settings import BUILDER_DROPLET, members_of


@pytest.fixture
def overlay(settings, tmp_path):
    real = tmp_path / "inventories" / "production"
    group_vars = real / "group_vars" / "litefarm"
    group_vars.mkdir(parents=True)
    (real / "hosts.yml").write_text("litefarm: {hosts: {litefarmapp: {ansible_host: 203.0.113.10, litefarm_private_address: 192.0.2.10}}}\n")
    (group_vars / "main.yml").write_text("litefarm_repo: https://real.example/x.git\nlitefarm_environment: production\n")
    (group_vars / "vault.yml").write_text("encrypted with a password that the lab does not have")
    return Overlay(settings, "production")


@pytest.fixture
def keys(settings):
    return Keys(settings.state / "keys")


@pytest.fixture
def scaled(overlay, settings, tmp_path):
    folder = tmp_path / "molecule" / "scaled" / "inventory"
    folder.mkdir(parents=True)
    (folder / "scaled.yml").write_text(
        "litefarm: {hosts: {litefarmapi: {ansible_host: 203.0.113.12, litefarm_private_address: 192.0.2.12}}}\nload_balancer: {hosts: {litefarmapp: }}\n"
    )
    return Overlay(settings, "scaled")


def write(overlay, keys, endpoints):
    overlay.write([BUILDER_DROPLET, *members_of(overlay.path.name)], endpoints, keys)


def variables(overlay, host, password=None):
    loader = DataLoader()
    if password:
        loader.set_vault_secrets([("default", VaultSecret(password.encode()))])
    inventory = InventoryManager(loader=loader, sources=[str(overlay.path)])
    return VariableManager(loader=loader, inventory=inventory).get_vars(host=inventory.get_host(host))


def test_the_lab_s_addresses_and_endpoints_win_and_the_rest_is_the_real_inventory_s(overlay, keys):
    write(overlay, keys, {"litefarm_repo": "git://10.1.1.5/sample.git"})
    found = variables(overlay, "litefarmapp")
    assert found["litefarm_repo"] == "git://10.1.1.5/sample.git"
    assert found["litefarm_environment"] == "production"
    assert found["ansible_host"] == "10.1.1.11"
    assert found["litefarm_private_address"] == "10.1.2.11"


@pytest.mark.parametrize(("given", "value"), [({}, True), ({"new_database": False}, False), ({"litefarm_new_database": False}, False)])
def test_a_lab_may_get_a_database_unless_the_command_line_refuses_it(overlay, keys, given, value):
    write(overlay, keys, {})
    found = variables(overlay, "litefarmapp")
    assert Templar(loader=DataLoader(), variables={**found, **given}).template(found["postgres_new_database"]) is value


def test_host_keys_are_checked(overlay, keys, settings):
    write(overlay, keys, {})
    arguments = variables(overlay, "litefarmapp")["ansible_ssh_common_args"]
    assert "StrictHostKeyChecking=yes" in arguments
    assert f"UserKnownHostsFile={settings.state}/known_hosts" in arguments


def test_the_builder_is_a_host_of_its_group_and_of_no_environment(overlay, keys):
    write(overlay, keys, {})
    inventory = InventoryManager(loader=DataLoader(), sources=[str(overlay.path)])
    assert inventory.get_groups_dict()["builder"] == [BUILDER_DROPLET.name]
    assert inventory.get_groups_dict()["litefarm"] == ["litefarmapp"]


def test_the_real_vault_is_never_linked_and_the_lab_s_own_is_written_once(overlay, keys):
    write(overlay, keys, {})
    overlay.write_vault({"vault_registry_password": "first"}, "lab password")
    overlay.write_vault({"vault_registry_password": "second"}, "lab password")
    vault = overlay.group_vars / "vault.yml"
    assert vault.read_text().startswith("$ANSIBLE_VAULT;")
    assert not vault.is_symlink()
    assert variables(overlay, "litefarmapp", "lab password")["vault_registry_password"] == "first"


def test_what_an_older_lab_s_vault_lacks_is_added_and_its_own_stays(overlay, keys):
    write(overlay, keys, {})
    overlay.write_vault({"vault_registry_password": "first"}, "lab password")
    created = VaultLib([("default", VaultSecret(b"lab password"))])
    vault = overlay.group_vars / "vault.yml"
    # As secrets.yml adds to it, and as a person comments on it.
    text = created.decrypt(vault.read_bytes()).decode() + '# made by hand\nvault_jwt_secret: "created"\n'
    vault.write_bytes(created.encrypt(text, VaultSecret(b"lab password")))
    overlay.write_vault({"vault_registry_password": "second", "vault_spaces_access_key_id": "0123"}, "lab password")
    found = variables(overlay, "litefarmapp", "lab password")
    assert (found["vault_registry_password"], found["vault_jwt_secret"], found["vault_spaces_access_key_id"]) == ("first", "created", "0123")
    assert created.decrypt(vault.read_bytes()).decode().startswith(text)


def test_a_vault_that_has_everything_is_not_written_again(overlay, keys):
    write(overlay, keys, {})
    overlay.write_vault({"vault_registry_password": "first"}, "lab password")
    before = (overlay.group_vars / "vault.yml").read_bytes()
    overlay.write_vault({"vault_registry_password": "first"}, "lab password")
    assert (overlay.group_vars / "vault.yml").read_bytes() == before


def test_a_vault_with_another_password_is_left_alone(overlay, keys):
    write(overlay, keys, {})
    overlay.write_vault({"vault_registry_password": "first"}, "lab password")
    before = (overlay.group_vars / "vault.yml").read_bytes()
    with pytest.raises(LabError, match="cannot be decrypted"):
        overlay.write_vault({"vault_registry_password": "first"}, "another")
    assert (overlay.group_vars / "vault.yml").read_bytes() == before


def test_beta_is_given_the_key_that_production_made_for_it(keys):
    production, beta = supplied_secrets("production", keys), supplied_secrets("beta", keys)
    assert production["vault_imaginary_token_beta"] == beta["vault_imaginary_token"]
    assert "vault_imaginary_token" not in production
    assert production["vault_spaces_access_key_id"] != beta["vault_spaces_access_key_id"]
    assert production["vault_registry_password"] == beta["vault_registry_password"]


def test_files_that_left_the_real_inventory_leave_the_overlay(overlay, keys):
    extra = overlay.real[0] / "group_vars" / "litefarm" / "extra.yml"
    extra.write_text("a: 1\n")
    write(overlay, keys, {})
    assert variables(overlay, "litefarmapp")["a"] == 1
    extra.unlink()
    write(overlay, keys, {})
    assert not (overlay.group_vars / "extra.yml").is_symlink()


def test_certificates_stay_readable(overlay, keys):
    write(overlay, keys, {"litefarm_ca_certificates": {"lab": "-----BEGIN\nabc\n-----END\n"}})
    path = overlay.group_vars / "overlay.yml"
    assert "  lab: |\n    -----BEGIN\n    abc\n" in path.read_text()
    assert yaml.safe_load(path.read_text())["litefarm_ca_certificates"]["lab"] == "-----BEGIN\nabc\n-----END\n"


def test_droplets_of_an_environment(overlay):
    assert droplets_of(overlay.real) == ["litefarmapp"]


def test_a_variation_adds_droplets_and_groups_to_its_main_environment(scaled, keys):
    write(scaled, keys, {"litefarm_repo": "git://10.1.1.5/sample.git"})
    groups = InventoryManager(loader=DataLoader(), sources=[str(scaled.path)]).get_groups_dict()
    assert (groups["litefarm"], groups["load_balancer"]) == (["litefarmapp", "litefarmapi"], ["litefarmapp"])
    assert droplets_of(scaled.real) == ["litefarmapp", "litefarmapi"]
    found = variables(scaled, "litefarmapi")
    assert (found["ansible_host"], found["litefarm_private_address"]) == ("10.1.1.13", "10.1.2.13")
    assert (found["litefarm_environment"], found["litefarm_repo"]) == ("production", "git://10.1.1.5/sample.git")
    assert variables(scaled, "litefarmapp")["ansible_host"] == "10.1.1.11"


@pytest.mark.parametrize("order", [("production", "scaled"), ("scaled", "production")])
def test_a_variation_and_its_main_environment_have_one_vault(overlay, scaled, keys, order):
    for name in order * 2:
        write({"production": overlay, "scaled": scaled}[name], keys, {})
    overlay.write_vault({"vault_registry_password": "first"}, "lab password")
    assert variables(scaled, "litefarmapi", "lab password")["vault_registry_password"] == "first"
    # As secrets.yml writes it: a new file in the place of the old one.
    partial = scaled.group_vars / ".vault.partial"
    partial.write_bytes(VaultLib([]).encrypt('vault_jwt_secret: "created"', VaultSecret(b"lab password")))
    partial.rename(scaled.group_vars / "vault.yml")
    assert variables(overlay, "litefarmapp", "lab password")["vault_jwt_secret"] == "created"


def test_production_itself_knows_nothing_of_the_variation(overlay, scaled, keys):
    write(scaled, keys, {})
    write(overlay, keys, {})
    groups = InventoryManager(loader=DataLoader(), sources=[str(overlay.path)]).get_groups_dict()
    assert groups["litefarm"] == ["litefarmapp"]
    assert "load_balancer" not in groups
