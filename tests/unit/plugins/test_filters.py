# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters, against known verifiers and against what quoting has to survive."""

from __future__ import annotations

import urllib.parse

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.litefarm.platform.plugins.filter import postgres


def parts(verifier):
    mechanism, rounds_and_salt, keys = verifier.split("$")
    return mechanism, rounds_and_salt.split(":")[0], keys.split(":")


def test_the_verifier_of_the_rfc_comes_out_when_its_salt_goes_in(monkeypatch):
    """RFC 7677, section 3: user "user", password "pencil"."""
    salt = postgres.base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    compute = postgres.hashlib.pbkdf2_hmac

    def fixed_salt(name, secret, given_salt, rounds):
        return salt if given_salt.startswith(b"litefarm") else compute(name, secret, given_salt, rounds)

    monkeypatch.setattr(postgres.hashlib, "pbkdf2_hmac", fixed_salt)
    assert postgres.scram_verifier("pencil", "user") == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


def test_the_verifier_is_the_same_each_time_and_differs_by_password_and_role():
    verifier = postgres.scram_verifier("correct-horse", "litefarm")
    assert verifier == postgres.scram_verifier("correct-horse", "litefarm")
    assert parts(verifier)[:2] == ("SCRAM-SHA-256", "4096")
    others = {verifier, postgres.scram_verifier("correct-horse", "other"), postgres.scram_verifier("correct-hors", "litefarm")}
    assert len(others) == 3


def test_the_verifier_does_not_contain_the_password():
    assert "correct-horse" not in postgres.scram_verifier("correct-horse", "litefarm")


@pytest.mark.parametrize("password", ["", None, 12345, "pässwort", "with blank", "line\n", "tab\t"])
def test_a_password_that_clients_would_prepare_differently_is_refused(password):
    with pytest.raises(AnsibleFilterError, match="scram_verifier"):
        postgres.scram_verifier(password, "litefarm")


def test_the_refusal_does_not_repeat_the_password():
    with pytest.raises(AnsibleFilterError) as caught:
        postgres.scram_verifier("geheimnis mit blank", "litefarm")
    assert "geheimnis" not in str(caught.value)


@pytest.mark.parametrize("password", ["simple", "p/w", "a@b:c", "100%", "q?x=1&y=#frag", "[::1]", "'\"\\ "])
def test_a_url_gives_back_what_went_in(password):
    url = postgres.postgres_url(
        {"host": "database.internal", "port": "5432", "database": "lite/farm", "user": "lite farm", "password": password, "query": {"sslmode": "verify-full"}}
    )
    found = urllib.parse.urlsplit(url)
    assert (found.hostname, found.port) == ("database.internal", 5432)
    assert urllib.parse.unquote(found.password) == password
    assert urllib.parse.unquote(found.username) == "lite farm"
    assert urllib.parse.unquote(found.path[1:]) == "lite/farm"
    assert dict(urllib.parse.parse_qsl(found.query)) == {"sslmode": "verify-full"}


def test_a_path_in_a_url_stays_readable():
    url = postgres.postgres_url({"host": "::1", "port": 1, "database": "d", "user": "u", "password": "p", "query": {"sslrootcert": "/etc/ca.crt"}})
    assert url == "postgresql://u:p@[::1]:1/d?sslrootcert=/etc/ca.crt"


def test_a_url_names_what_is_missing():
    with pytest.raises(AnsibleFilterError, match="user, password missing or empty"):
        postgres.postgres_url({"host": "h", "port": 1, "database": "d", "password": ""})


@pytest.mark.parametrize(
    ("value", "literal"),
    [("plain", "'plain'"), ("it's", "'it''s'"), ("back\\slash", " E'back\\\\slash'"), ("\\' OR 1=1 --", " E'\\\\'' OR 1=1 --'"), (5, "'5'")],
)
def test_a_literal_ends_where_it_should(value, literal):
    assert postgres.sql_literal(value) == literal


def test_a_literal_cannot_hold_nul():
    with pytest.raises(AnsibleFilterError, match="NUL"):
        postgres.sql_literal("a\x00b")


@pytest.mark.parametrize(
    ("value", "setting"),
    [(True, "on"), (False, "off"), (100, "100"), (0.9, "0.9"), ("128MB", "'128MB'"), ("it's", "'it''s'"), ("*", "'*'"), ("a\\b", "'a\\\\b'")],
)
def test_a_setting_is_written_as_the_server_reads_it(value, setting):
    assert postgres.pg_conf(value) == setting


def test_every_filter_is_documented(repo):
    documented = {path.stem for path in (repo / "plugins" / "filter").glob("*.yml")}
    assert documented >= set(postgres.FilterModule().filters())
