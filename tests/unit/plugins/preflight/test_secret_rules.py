# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils.secret_rules import check, needed, pem_weakness, weakness
from ansible_collections.litefarm.platform.plugins.plugin_utils.vault_file import tls_certificate, tls_key, token

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
