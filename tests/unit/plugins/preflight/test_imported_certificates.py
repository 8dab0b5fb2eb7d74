# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that an inventory brings in: what cannot serve is refused before the first change."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.litefarm.platform.plugins.plugin_utils._imported_certificates import look_at, unencrypted_keys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.timezone.utc)
SITES = {"webapp": ["app.example.org"], "api": ["api.example.org", "www.example.org"]}


def pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def certificate(key, *names, begins=-30, ends=60, issuer=None):
    builder = x509.CertificateBuilder().subject_name(named(names[0])).issuer_name(named(issuer or names[0])).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW + datetime.timedelta(days=begins)).not_valid_after(NOW + datetime.timedelta(days=ends))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


KEY, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _number in range(2))
AUTHORITY = certificate(OTHER, "Authority")


def entry(*names, key=KEY, **options):
    return {"certificate": certificate(KEY, *names, **options) + "\n" + AUTHORITY, "key": pem(key)}


@pytest.mark.parametrize(
    ("site", "value", "problem", "warning"),
    [
        ("webapp", entry("app.example.org", issuer="Authority"), None, None),
        ("webapp", entry("*.example.org"), None, None),
        ("api", entry("api.example.org", "www.example.org", "more.example.org"), None, None),
        ("api", entry("api.example.org"), "the entry api, is for api.example.org, and not for www.example.org: remove it, or", None),
        ("webapp", entry("*.app.example.org"), "is for *.app.example.org, and not for app.example.org", None),
        ("webapp", entry("app.example.org", key=OTHER), "does not belong to its key: take both from the same server", None),
        ("webapp", {"certificate": AUTHORITY + entry("app.example.org")["certificate"], "key": pem(KEY)}, "the site's own certificate first.", None),
        ("webapp", entry("app.example.org", ends=-1), None, "ended on 2026-05-31 and is not used: remove the entry."),
        ("webapp", entry("app.example.org", begins=1), None, "is valid from 2026-06-02 00:00 UTC on: browsers refuse it before."),
        ("webapp", {"certificate": certificate(KEY, "app.example.org", issuer="R3"), "key": pem(KEY)}, None, "take fullchain.pem and not cert.pem."),
        ("webapp", dict(entry("app.example.org"), certificate="/etc/fullchain.pem"), "cannot be read: set certificate to the text of a fullchain.pem", None),
        ("webapp", dict(entry("app.example.org"), key="secretsecret"), "has a key that cannot be read: set key to the text of a privkey.pem", None),
        ("webapp", {"certificate": "x"}, "needs two values, certificate and key, and no others", None),
        ("webapp", "x", "needs two values, certificate and key, and no others", None),
        ("wepapp", entry("app.example.org"), "has an entry for wepapp, which is no site: use one of api, images, webapp.", None),
        # Of another droplet.
        ("images", entry("app.example.org"), None, None),
    ],
)
def test_what_cannot_serve_is_a_problem_and_what_is_left_over_a_warning(site, value, problem, warning):
    problems, warnings = look_at({site: value}, SITES, ["webapp", "api", "images"], "main.yml", NOW)
    for found, expected in ((problems, problem), (warnings, warning)):
        assert len(found) == (expected is not None)
        assert not expected or expected in found[0] and "nginx_imported_certificates in main.yml" in found[0]
    assert "secretsecret" not in str(problems) and "PRIVATE" not in str(problems + warnings)


def test_a_key_with_a_passphrase_cannot_be_used():
    encrypted = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"long")).decode()
    problems, _warnings = look_at({"webapp": dict(entry("app.example.org"), key=encrypted)}, SITES, [], "main.yml", NOW)
    assert len(problems) == 1 and "without a passphrase" in problems[0]


def test_a_value_of_another_form_is_told_by_the_check_of_variables():
    assert look_at(["x"], SITES, [], "main.yml") == ([], [])


def test_a_key_in_plain_text_beside_the_variables_is_refused(tmp_path):
    folder = tmp_path / "group_vars" / "litefarm"
    folder.mkdir(parents=True)
    (folder / "webapp.pem").write_text(AUTHORITY)
    (folder / "webapp.key").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    assert unencrypted_keys([str(tmp_path), str(tmp_path)]) == []
    (folder / "webapp.key").write_text(pem(KEY))
    (sentence,) = unencrypted_keys([str(tmp_path), str(tmp_path)])
    assert sentence == "The private key in %s is not encrypted: run ansible-vault encrypt %s." % ((folder / "webapp.key",) * 2)
