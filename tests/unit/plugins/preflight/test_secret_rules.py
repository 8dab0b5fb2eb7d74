# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
import yaml
from ansible_collections.litefarm.platform.plugins.plugin_utils import _deployed_secrets as deployed_secrets
from ansible_collections.litefarm.platform.plugins.plugin_utils._secret_rules import (
    check,
    names,
    needed,
    needed_to_go_back,
    pem_weakness,
    rotated_together,
    rotation_meaning,
    weakness,
)
from ansible_collections.litefarm.platform.plugins.plugin_utils._vault_file import tls_certificate, tls_key, token

from tests.support.playbooks import INVENTORIES, REPO

ALL = yaml.safe_load((REPO / "playbooks" / "vars" / "secrets.yml").read_text())["litefarm_secrets"]
STRONG = "q8Zr2LmXw0VtKc5JhYpB7NdFs3GaEu9T"
ONE = {"name": "vault_one", "services": ["api"], "kind": "token", "length": 40, "minimum": 24}
TWO = dict(ONE, name="vault_two")
SUPPLIED = {"name": "vault_key", "services": ["api"], "kind": "supplied", "minimum": 8, "required": True, "obtain": "the control panel"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (STRONG, None),
        ("changeme" + STRONG, "is a placeholder"),
        ("CHANGE-ME", "is a placeholder"),
        ("<your password>", "is a placeholder"),
        ("replace_me_please_with_something", "is a placeholder"),
        ("short", "is too short (5 characters, at least 24 are needed)"),
        ("a" * 40, "repeats few characters"),
        ("abcABC12" * 5, "repeats few characters"),
        ("passwordpasswordpassword", "consists of common words"),
        (" " + STRONG, "begins or ends with white space"),
        (12345678901234567890123456, "is not a text"),
    ],
)
def test_weakness(value, reason):
    assert weakness(value, 24) == reason


def test_generated_secrets_are_strong():
    assert [weakness(token(40), 24) for _each in range(300)] == [None] * 300


def test_a_secret_of_any_length_may_be_allowed():
    assert weakness("x", 0) is None


def test_pem_documents_are_recognised():
    key = tls_key()
    assert pem_weakness(key, "tls_key") is None
    assert pem_weakness(tls_certificate(key, "a.example.org", 1), "tls_certificate") is None
    assert pem_weakness(key, "tls_certificate") == "is not a certificate in PEM format"
    assert pem_weakness("nonsense", "tls_key") == "is not a private key in PEM format"


def test_secrets_of_absent_services_are_not_needed():
    redis = dict(ONE, name="vault_redis", services=["redis"])
    assert needed([ONE, redis], {"api": ["one"], "redis": []}) == [ONE]


def test_a_secret_may_be_needed_only_without_a_service():
    created = dict(ONE, services=["imaginary"])
    supplied = dict(SUPPLIED, name="vault_one", services=["api"], without=["imaginary"])
    assert needed([created, supplied], {"api": ["one"], "imaginary": ["two"]}) == [created]
    assert needed([created, supplied], {"api": ["one"], "imaginary": []}) == [supplied]
    assert needed([created, supplied], {"api": ["one"]}) == [supplied]
    assert needed([created, supplied], {"webapp": ["one"]}) == []


def test_going_back_needs_what_its_services_read():
    created = dict(ONE, services=["imaginary"])
    supplied = dict(SUPPLIED, name="vault_one", services=["api"], without=["imaginary"])
    unused = dict(ONE, name="vault_registry", services=["api"], going_back=False)
    backups = dict(ONE, name="vault_backups", services=["all"])
    groups = {"api": ["one"], "imaginary": ["two"]}
    assert needed([created, supplied, unused, backups], groups) == [created, unused, backups]
    assert needed_to_go_back([created, supplied, unused, backups], groups, ["api"]) == [created]
    assert needed_to_go_back([created, supplied, unused, backups], {"api": ["one"]}, ["api"]) == [supplied]
    assert needed_to_go_back([created, unused, backups], groups, ["webapp"]) == []


def test_keys_of_backups_are_looked_for_only_where_backups_are_used(monkeypatch):
    monkeypatch.setattr(deployed_secrets, "evaluate", lambda *_arguments: (False, None))
    monkeypatch.setattr(deployed_secrets, "_vault", lambda *_arguments: {"environment": "mine", "files": []})
    monkeypatch.setattr(deployed_secrets, "_backup_keys", lambda *_arguments: [])

    def told(environment, **with_backups):
        deployed = {"one": {"environment": environment, "files": [], "backup_key": "0123abcd"}}
        return [sentence.partition(" ")[0] for sentence in deployed_secrets.foreign(deployed, None, None, {}, "vault.yml", **with_backups)]

    assert (told("mine"), told("mine", with_backups=False)) == (["The"], [])
    assert told("other") == told("other", with_backups=False) == ["Services"]


@pytest.mark.parametrize("environment", ["production", "beta"])
def test_an_environment_needs_each_secret_once(environment):
    inventory = yaml.safe_load((INVENTORIES / environment / "hosts.yml").read_text())
    wanted = needed(ALL, {group: list(content.get("hosts") or []) for group, content in inventory.items()})
    kinds = {secret["name"]: secret["kind"] for secret in wanted}
    assert len(kinds) == len(wanted)
    assert kinds["vault_imaginary_token"] == {"production": "token", "beta": "supplied"}[environment]
    assert ("vault_imaginary_token_beta" in kinds) == (environment == "production")
    assert {"vault_redis_password", "vault_redis_admin_password", "vault_spaces_access_key_id"} <= set(kinds)


def test_whatever_can_be_rotated_says_what_that_means():
    for secret in ALL:
        if secret["kind"] != "supplied":
            assert rotation_meaning(rotated_together(ALL, secret["name"])), secret["name"]


def test_only_secrets_that_are_accepted_twice_have_a_previous_value():
    assert names([ONE, dict(TWO, accepted_twice=True), SUPPLIED]) == {"vault_one", "vault_two", "vault_two_previous", "vault_key"}


def test_a_person_may_leave_the_prefix_out_and_name_half_a_pair():
    key = {"name": "vault_tls_key", "kind": "tls_key", "certificate": "vault_tls_certificate", "rotation": "a restart"}
    certificate = {"name": "vault_tls_certificate", "kind": "tls_certificate", "key": "vault_tls_key"}
    secrets = [ONE, key, TWO, certificate]
    assert rotated_together(secrets, "one") == rotated_together(secrets, "vault_one") == [ONE]
    assert rotated_together(secrets, "tls_certificate") == rotated_together(secrets, "tls_key") == [key, certificate]
    assert rotation_meaning([certificate, key]) == "a restart"
    assert rotated_together(secrets, "three") == rotated_together(secrets, "") == []


def test_missing_secrets_are_one_sentence():
    assert check([ONE, TWO], {}, "vault.yml") == [
        "The secrets vault_one, vault_two are missing in vault.yml: run playbooks/secrets.yml, which creates what is missing."
    ]


def test_a_missing_secret_that_a_person_supplies_says_where_to_get_it():
    assert check([SUPPLIED], {}, "vault.yml") == ["The secret vault_key is missing in vault.yml: put it in with ansible-vault edit (the control panel)."]
    assert check([dict(SUPPLIED, required=False)], {}, "vault.yml") == []
    assert check([dict(SUPPLIED, required=False)], {"vault_key": "changeme!"}, "vault.yml") == [
        "The secret vault_key in vault.yml is a placeholder: put in a real one (the control panel)."
    ]


def test_a_weak_secret_is_told_without_its_value():
    problems = check([ONE], {"vault_one": "hunter2"}, "vault.yml")
    assert len(problems) == 1
    assert "is too short" in problems[0] and "playbooks/secrets.yml creates a strong one" in problems[0]
    assert "hunter2" not in problems[0]


def test_equal_secrets_are_told():
    problems = check([ONE, TWO], {"vault_one": STRONG, "vault_two": STRONG}, "vault.yml")
    assert problems == ["The secrets vault_one and vault_two in vault.yml are equal: remove one, and playbooks/secrets.yml creates another."]


def test_strong_secrets_are_fine():
    assert check([ONE, SUPPLIED], {"vault_one": STRONG, "vault_key": "d0p_v1_8fz"}, "vault.yml") == []


def test_an_environment_that_is_older_than_an_optional_secret_runs_without_it():
    optional = {"name": "vault_id", "services": ["all"], "kind": "token", "minimum": 24, "optional": True}
    assert check([optional], {}, "vault.yml") == []
    # One that is there is looked at.
    assert "vault_id" in check([optional], {"vault_id": "short"}, "vault.yml")[0]
