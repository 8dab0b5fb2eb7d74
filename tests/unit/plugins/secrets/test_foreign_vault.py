# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second operator whose checkout has no vault, or another one, than the one that the droplets were deployed from."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.litefarm.platform.plugins.filter.postgres import scram_verifier
from ansible_collections.litefarm.platform.plugins.module_utils._fingerprint import fingerprint, key_id
from ansible_collections.litefarm.platform.plugins.modules import droplet_info
from ansible_collections.litefarm.platform.plugins.plugin_utils._secret_rules import foreign, recognises

from tests.support.ansible_run import COMPILED
from tests.support.playbooks import REPO, Environment, problems

REFUSAL = "already run with secrets that are not those of %s: get the team's vault.yml from its repository, and make no new one."

# Before a module of Ansible starts: the files that a droplet keeps are others.
REDIRECT = """
import builtins

real, kept = builtins.open, {kept!r}
builtins.open = lambda path, *arguments, **options: real(kept.get(path, path) if isinstance(path, str) else path, *arguments, **options)
"""


def secrets_of(environment):
    library = VaultLib([("default", VaultSecret(environment.password.read_bytes().strip()))])
    return yaml.safe_load(library.decrypt(environment.vault.read_text()))


@pytest.fixture(name="environment")
def fixture_environment(tmp_path):
    """Production, whose droplets are this machine and keep what is in the files `kept` and `backrest`."""
    environment = Environment(tmp_path / "inventory")
    environment.kept, environment.backrest = tmp_path / "environment_id", tmp_path / "pgbackrest"
    environment.kept.write_text("")
    environment.backrest.write_text("")
    (tmp_path / "site").mkdir()
    files = {"/etc/litefarm/environment_id": str(environment.kept), "/etc/litefarm/postgres/pgbackrest": str(environment.backrest)}
    (tmp_path / "site" / "sitecustomize.py").write_text((COMPILED / "sitecustomize.py").read_text() + REDIRECT.format(kept=files))
    interpreter = tmp_path / "python"
    interpreter.write_text('#!/bin/sh\nPYTHONPATH=%s exec %s "$@"\n' % (tmp_path / "site", sys.executable))
    interpreter.chmod(0o755)
    for droplet in environment.droplets:
        environment.host(droplet, ansible_python_interpreter=str(interpreter))
    return environment


@pytest.fixture(name="deployed")
def fixture_deployed(environment):
    """The same, after secrets.yml and what site.yml leaves on the droplets."""
    assert environment.play("secrets.yml").returncode == 0
    identity = secrets_of(environment)["vault_environment_id"]
    environment.kept.write_text(hashlib.sha256(identity.encode()).hexdigest() + "\n")
    return environment


def test_the_own_vault_is_recognised_and_completed(deployed):
    process = deployed.play("secrets.yml")
    assert process.returncode == 0 and "Every secret that can be created is there already." in process.stdout
    assert not [sentence for sentence in problems(deployed.play("preflight.yml")) if "already run" in sentence]


def test_a_checkout_without_the_vault_makes_no_new_one(deployed):
    deployed.vault.unlink()
    told = REFUSAL % deployed.vault
    process = deployed.play("secrets.yml")
    assert process.returncode != 0 and told in " ".join(process.stdout.split())
    assert not deployed.vault.exists()
    found = problems(deployed.play("preflight.yml"))
    assert len([sentence for sentence in found if told in sentence]) == 1
    # What makes a second vault is not advised.
    assert not [sentence for sentence in found if "secrets.yml" in sentence]


@pytest.mark.parametrize("text", ["", "---\nvault_environment_id: %s\nvault_jwt_secret: %s\n" % ("k8Zr2LmXw0VtKc5JhYpB7NdFs3GaEu9T" * 2, "x4Qa" * 16)])
def test_another_vault_is_not_rotated(deployed, text):
    """A rotation begins in the vault, before site.yml looks at the droplets."""
    library = VaultLib([("default", VaultSecret(deployed.password.read_bytes().strip()))])
    if text:
        deployed.vault.write_text(library.encrypt(text).decode())
    else:
        deployed.vault.unlink()
    before = deployed.vault.read_text() if text else None
    process = deployed.play("rotate.yml", "-e", "secret=jwt_secret")
    assert process.returncode != 0 and REFUSAL % deployed.vault in " ".join(process.stdout.split())
    assert (deployed.vault.read_text() if deployed.vault.exists() else None) == before


@pytest.mark.parametrize("identity", ["vault_environment_id: %s\n" % ("k8Zr2LmXw0VtKc5JhYpB7NdFs3GaEu9T" * 2), ""])
def test_another_vault_is_refused_until_it_is_wanted(deployed, identity):
    """The one that somebody has made since, and one from before vaults had an identity."""
    library = VaultLib([("default", VaultSecret(deployed.password.read_bytes().strip()))])
    deployed.vault.write_text(library.encrypt("---\n%s" % identity).decode())
    before = deployed.vault.read_text()
    process = deployed.play("secrets.yml")
    assert process.returncode != 0 and REFUSAL % deployed.vault in " ".join(process.stdout.split())
    assert deployed.vault.read_text() == before
    assert [sentence for sentence in problems(deployed.play("preflight.yml")) if REFUSAL % deployed.vault in sentence]
    assert deployed.play("secrets.yml", "-e", "new_secrets=true").returncode == 0
    assert not [sentence for sentence in problems(deployed.play("preflight.yml", "-e", "new_secrets=true")) if "already run" in sentence]


def change(environment, **secrets):
    """As ansible-vault edit does; None takes an entry away."""
    entries = {name: value for name, value in {**secrets_of(environment), **secrets}.items() if value is not None}
    library = VaultLib([("default", VaultSecret(environment.password.read_bytes().strip()))])
    environment.vault.write_text(library.encrypt(yaml.safe_dump(entries)).decode())


@pytest.mark.parametrize("value", [None, "h9" * 32])
def test_a_key_that_backups_need_is_not_made_anew(deployed, value):
    """Lost, or changed by hand: the next site.yml would take the last copy of it from the droplet."""
    key = secrets_of(deployed)["vault_backup_encryption_key"]
    deployed.backrest.write_text("#!/bin/sh\nplace=/production/postgres/%s\n" % key_id(key))
    assert deployed.play("secrets.yml").returncode == 0
    change(deployed, vault_backup_encryption_key=value)
    before = deployed.vault.read_text()
    told = "need the encryption key %s, which %s lacks: put it there as vault_backup_encryption_key" % (key_id(key), deployed.vault)
    process = deployed.play("secrets.yml")
    assert process.returncode != 0 and told in " ".join(process.stdout.split())
    assert deployed.vault.read_text() == before
    found = problems(deployed.play("preflight.yml"))
    assert [sentence for sentence in found if told in sentence] and not [sentence for sentence in found if "secrets.yml" in sentence]
    change(deployed, **{"vault_backup_encryption_key_%s" % key_id(key): key})
    assert deployed.play("secrets.yml").returncode == 0


def test_a_first_vault_is_made_before_there_are_droplets(environment):
    for droplet in environment.droplets:
        environment.host(droplet, ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=1)
    process = environment.play("secrets.yml")
    assert process.returncode == 0, process.stdout
    reason = "connect to host 127.0.0.1 port 1: Connection refused"
    told = "litefarm-imaginary and litefarmapp cannot be asked (%s), so it is not known whether other secrets are in use there. Preflight asks again" % reason
    assert told in process.stdout
    assert len(secrets_of(environment)["vault_environment_id"]) == 40


def test_the_identity_is_not_rotated(deployed):
    before = deployed.vault.read_text()
    process = deployed.play("rotate.yml", "-e", "secret=environment_id")
    assert process.returncode != 0 and "vault_environment_id is not rotated: it stays the same, because" in process.stdout
    listed = deployed.play("rotate.yml")
    assert listed.returncode == 0 and "vault_jwt_secret: everybody is logged out" in listed.stdout, listed.stdout
    assert "vault_environment_id:" not in listed.stdout
    assert deployed.vault.read_text() == before


def verifier(password):
    return scram_verifier(password, "litefarm") + "\n"


@pytest.fixture(name="droplet")
def fixture_droplet(tmp_path):
    """The files of a droplet that was deployed before droplets kept their environment."""

    def write(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    write("etc/litefarm/postgres/application.verifier", verifier("first"))
    write("var/lib/litefarm/services/postgres/0123/etc__litefarm__server.crt", "first certificate")
    return tmp_path


@pytest.mark.parametrize(
    ("password", "certificate", "own"),
    [("first", "first certificate\n", True), ("rotated", "first certificate", True), ("first", "rotated", True), ("other", "other", False), (None, None, False)],
)
def test_a_droplet_without_the_identity_is_recognised_by_its_database(droplet, password, certificate, own):
    """Each of the two can be rotated before the droplet has been told."""
    found = droplet_info.deployed_with(str(droplet))
    vault = {"environment": "new", "files": [fingerprint(text) for text in (password and verifier(password), certificate) if text]}
    assert recognises(found, vault) == own
    assert bool(foreign({"litefarmapp": found, "second": {}}, vault, "vault.yml")) != own


def test_the_identity_decides_alone(droplet):
    (droplet / "etc/litefarm/environment_id").write_text("mine\n")
    found = droplet_info.deployed_with(str(droplet))
    assert recognises(found, {"environment": "mine", "files": []})
    assert not recognises(found, {"environment": "other", "files": found["files"]})
    assert not recognises(found, {"environment": "", "files": found["files"]})


def test_the_key_of_the_backups_is_known_by_the_place_that_the_role_gives_them(droplet, repo):
    script = (repo / "roles/postgres/templates/pgbackrest.sh.j2").read_text()
    assert "\nplace={{ postgres__archive_place }}\n" in script
    (droplet / "etc/litefarm/postgres/pgbackrest").write_text(script.replace("{{ postgres__archive_place }}", "/production/postgres/0123abcd"))
    assert droplet_info.deployed_with(str(droplet))["backup_key"] == "0123abcd"


def test_an_empty_droplet_belongs_to_nobody(tmp_path):
    assert recognises(droplet_info.deployed_with(str(tmp_path)), {"environment": "mine", "files": []})


def test_no_file_tells_the_secret_that_it_was_made_of(droplet):
    assert not [value for value in droplet_info.deployed_with(str(droplet))["files"] if len(value) != 64 or "first" in value]


@pytest.mark.parametrize(("path", "ignored"), [("inventories/production/group_vars/litefarm/vault.yml", False), (".vault-password", True), (".venv", True)])
def test_the_encrypted_vault_belongs_into_the_repository(path, ignored):
    done = subprocess.run(["git", "check-ignore", "--quiet", "--no-index", path], cwd=REPO, check=False)
    assert (done.returncode == 0) == ignored
