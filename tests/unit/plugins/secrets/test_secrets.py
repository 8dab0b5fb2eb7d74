# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.litefarm.platform.plugins.action.preflight import certificate_problems
from ansible_collections.litefarm.platform.plugins.plugin_utils import _vault_file as vault_file
from cryptography import x509

from tests.support.playbooks import Environment

PAIR = [
    {"name": "vault_key", "services": ["postgres"], "kind": "tls_key", "certificate": "vault_certificate"},
    {"name": "vault_certificate", "services": ["postgres"], "kind": "tls_certificate", "key": "vault_key", "host_name": "postgres.litefarm.internal", "years": 10},
]
TOKEN = {"name": "vault_token", "services": ["api"], "kind": "token", "length": 40, "minimum": 24}
SUPPLIED = {"name": "vault_supplied", "services": ["api"], "kind": "supplied"}


def test_only_what_is_missing_and_can_be_made_is_made():
    assert vault_file.create_missing([TOKEN, SUPPLIED], {"vault_token": "there"}, "vault.yml") == {}
    created = vault_file.create_missing([TOKEN, SUPPLIED], {}, "vault.yml")
    assert list(created) == ["vault_token"] and len(created["vault_token"]) == 40 and created["vault_token"].isalnum()


def test_the_pair_belongs_together_and_names_the_server():
    created = vault_file.create_missing(PAIR, {}, "vault.yml")
    assert certificate_problems(PAIR, created, "vault.yml") == []
    certificate = x509.load_pem_x509_certificate(created["vault_certificate"].encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert names == ["postgres.litefarm.internal"]


def test_a_certificate_is_made_for_a_key_that_is_there():
    key = vault_file.tls_key()
    created = vault_file.create_missing(PAIR, {"vault_key": key}, "vault.yml")
    assert list(created) == ["vault_certificate"]
    assert certificate_problems(PAIR, dict(created, vault_key=key), "vault.yml") == []


def test_a_certificate_without_its_key_is_told():
    with pytest.raises(vault_file.SecretError, match="The certificate vault_certificate is in vault.yml and its key vault_key is not"):
        vault_file.create_missing(PAIR, {"vault_certificate": "there"}, "vault.yml")


def test_a_key_that_is_none_is_told_without_showing_it():
    with pytest.raises(vault_file.SecretError, match="The key vault_key in vault.yml is not a private key") as failure:
        vault_file.create_missing(PAIR, {"vault_key": "hunter2"}, "vault.yml")
    assert "hunter2" not in str(failure.value)


def test_a_foreign_or_expired_certificate_is_told():
    one, other = vault_file.tls_key(), vault_file.tls_key()
    problems = certificate_problems(PAIR, {"vault_key": one, "vault_certificate": vault_file.tls_certificate(other, "a", 1)}, "vault.yml")
    assert "does not belong to the key vault_key" in problems[0]
    problems = certificate_problems(PAIR, {"vault_key": one, "vault_certificate": vault_file.tls_certificate(one, "a", 0)}, "vault.yml")
    assert "is valid for" in problems[0]
    assert "cannot be read" in certificate_problems(PAIR, {"vault_key": "x", "vault_certificate": "y"}, "vault.yml")[0]


def test_lines_of_a_person_stay():
    text = "---\n# why\nvault_old: 'x'  # note\n"
    added = vault_file.append(text, {"vault_new": "abc", "vault_key": "-----BEGIN-----\nabc\n-----END-----\n"})
    assert added.startswith(text)
    assert yaml.safe_load(added) == {"vault_old": "x", "vault_new": "abc", "vault_key": "-----BEGIN-----\nabc\n-----END-----\n"}
    assert vault_file.append("", {"a": "b"}) == '---\na: "b"\n'


def test_the_file_is_private_and_a_link_stays_one(tmp_path):
    target, link = tmp_path / "real" / "vault.yml", tmp_path / "vault.yml"
    link.symlink_to(target)
    vault_file.write_private(str(link), "text")
    assert link.is_symlink() and target.read_text() == "text"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(target.parent) == ["vault.yml"]


def test_the_vault_id_is_read():
    vault = VaultLib([("production", VaultSecret(b"password"))])
    assert vault_file.vault_id_of(vault.encrypt("x", VaultSecret(b"password"), vault_id="production").decode()) == "production"
    assert vault_file.vault_id_of(vault.encrypt("x", VaultSecret(b"password")).decode()) is None


@pytest.fixture(name="environment")
def fixture_environment(tmp_path):
    return Environment(tmp_path / "inventory")


def content(environment):
    secret = VaultSecret(environment.password.read_bytes().strip())
    return VaultLib([("default", secret)]).decrypt(environment.vault.read_text()).decode()


def test_the_playbook_creates_once_and_never_overwrites(environment):
    process = environment.play("secrets.yml", "--check")
    assert "Would be created in %s:" % environment.vault in process.stdout
    assert not environment.vault.exists()
    process = environment.play("secrets.yml", "-vvv", "--diff")
    assert process.returncode == 0 and "changed=1" in process.stdout
    assert stat.S_IMODE(environment.vault.stat().st_mode) == 0o600
    first = content(environment)
    secrets = yaml.safe_load(first)
    assert len(secrets["vault_jwt_secret"]) == 64
    assert "vault_registry_password: an access token" in process.stdout
    assert not [name for name, value in secrets.items() if value.strip() in process.stdout]
    shortened = first.replace('vault_jwt_reset_secret: "%s"\n' % secrets["vault_jwt_reset_secret"], "")
    environment.vault.write_text(VaultLib().encrypt(shortened, VaultSecret(environment.password.read_bytes().strip()), vault_id="beside").decode())
    process = environment.play("secrets.yml")
    assert process.returncode == 0, process.stdout
    assert "Created in %s:\n  vault_jwt_reset_secret\n" % environment.vault in process.stdout
    assert environment.vault.read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;beside\n")
    assert content(environment).startswith(shortened)
    assert "changed=0" in environment.play("secrets.yml").stdout


def test_no_password_and_an_open_file_are_told(environment):
    process = environment.play("secrets.yml", password=False)
    assert process.returncode != 0 and "No vault password is given, and %s must be encrypted" % environment.vault in process.stdout + process.stderr
    environment.vault.write_text("---\nvault_old: 'x'\n")
    process = environment.play("secrets.yml")
    assert process.returncode != 0 and "is not encrypted: encrypt it with ansible-vault encrypt" in process.stdout + process.stderr
    assert environment.vault.read_text() == "---\nvault_old: 'x'\n"
