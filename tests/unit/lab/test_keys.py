# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress
import ssl
import stat

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from lab.keys import Keys, known_hosts


def test_keys_are_made_once_and_belong_to_their_owner_alone(tmp_path):
    keys = Keys(tmp_path / "keys")
    first = (keys.authority(), keys.ssh("operator"), keys.password("registry"), keys.htpasswd("user", "secret"))
    again = Keys(tmp_path / "keys")
    assert (again.authority(), again.ssh("operator"), again.password("registry"), again.htpasswd("user", "secret")) == first
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys.folder.iterdir()} == {0o600}


def test_passwords_differ(tmp_path):
    keys = Keys(tmp_path)
    assert keys.password("registry") != keys.password("vault")
    assert len(keys.password("registry")) >= 32


def test_access_keys_look_like_the_real_ones_and_differ(tmp_path):
    keys = Keys(tmp_path)
    production, beta = keys.access_key("production"), keys.access_key("beta")
    assert (len(production.id), len(production.secret)) == (20, 40)
    assert len({production.id, production.secret, beta.id, beta.secret}) == 4
    assert Keys(tmp_path).access_key("production") == production
    assert keys.token("imaginary-beta").isalnum()


def test_half_a_pair_is_made_anew(tmp_path):
    keys = Keys(tmp_path)
    (tmp_path / "ssh-operator.key").write_text("left by a run that was killed")
    pair = keys.ssh("operator")
    private = serialization.load_ssh_private_key(pair.private.encode(), None)
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    assert pair.public.startswith(public)


def test_certificates_are_believed_by_who_trusts_the_authority(tmp_path):
    keys = Keys(tmp_path)
    pair = keys.certificate("registry", "10.1.1.2")
    certificate = x509.load_pem_x509_certificate(pair.public.encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(keys.authority().public.encode()))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ipaddress.ip_address("10.1.1.2") in names.get_values_for_type(x509.IPAddress)
    assert "registry" in names.get_values_for_type(x509.DNSName)
    storage = x509.load_pem_x509_certificate(keys.certificate("storage", "10.1.1.6", "s3.example", "*.s3.example").public.encode())
    names = storage.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert {"storage", "s3.example", "*.s3.example"} <= set(names)
    ssl.create_default_context(cadata=keys.authority().public)


def test_registry_login_is_stored_as_a_hash(tmp_path):
    line = Keys(tmp_path).htpasswd("litefarm", "secret")
    assert line.startswith("litefarm:$2y$")
    assert "secret" not in line


def test_known_hosts_lines():
    text = known_hosts({"10.1.1.12": "ssh-ed25519 BBBB two@lab\n", "10.1.1.11": "ssh-ed25519 AAAA one@lab\n"})
    assert text == "10.1.1.11 ssh-ed25519 AAAA\n10.1.1.12 ssh-ed25519 BBBB\n"
    assert known_hosts({}) == ""
