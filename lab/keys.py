# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything in the lab that is secret or proves identity. Made once per lab, kept in its state folder, random."""

from __future__ import annotations

import datetime
import ipaddress
import os
import secrets
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = datetime.timedelta(days=3650)
_LETTERS_AND_DIGITS = string.ascii_letters + string.digits


@dataclass(frozen=True)
class KeyPair:
    private: str
    public: str


@dataclass(frozen=True)
class AccessKey:
    id: str
    secret: str


def write_private(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(content)
    partial.rename(path)


class Keys:
    def __init__(self, folder: Path):
        self.folder = folder

    def authority(self) -> KeyPair:
        """The certificate authority behind the lab's registry, mirror, ACME server and object storage."""
        return self._pair("authority", lambda: _new_authority())

    def certificate(self, part: str, address: str, *names: str) -> KeyPair:
        """A server's key and certificate, for its name, its address, a published port of this machine, and the names it plays."""
        return self._pair(f"{part}-{address}", lambda: _new_certificate(self.authority(), part, address, names))

    def ssh(self, who: str) -> KeyPair:
        return self._pair(f"ssh-{who}", lambda: _new_ssh_key(who))

    def password(self, what: str) -> str:
        return self._text(f"{what}-password", lambda: secrets.token_urlsafe(24))

    def token(self, what: str) -> str:
        """Letters and digits, which need no quoting anywhere."""
        return self._text(f"{what}-token", lambda: _drawn(_LETTERS_AND_DIGITS, 64))

    def access_key(self, environment: str) -> AccessKey:
        """An environment's key to the object storage, as long as those of the real one."""
        return AccessKey(
            id=self._text(f"spaces-{environment}-id", lambda: "DO00" + _drawn(string.ascii_uppercase + string.digits, 16)),
            secret=self._text(f"spaces-{environment}-secret", lambda: _drawn(_LETTERS_AND_DIGITS, 40)),
        )

    def htpasswd(self, user: str, password: str) -> str:
        return self._text("htpasswd", lambda: f"{user}:{_bcrypt(password)}\n")

    def path(self, name: str) -> Path:
        return self.folder / name

    def _text(self, name: str, make: Callable[[], str]) -> str:
        path = self.folder / name
        if not path.exists():
            write_private(path, make())
        return path.read_text()

    def _pair(self, name: str, make: Callable[[], KeyPair]) -> KeyPair:
        private, public = self.folder / f"{name}.key", self.folder / f"{name}.pub"
        # The public half is written last: a pair is there when both are.
        if not public.exists():
            pair = make()
            write_private(private, pair.private)
            write_private(public, pair.public)
        return KeyPair(private.read_text(), public.read_text())


def _drawn(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _character in range(length))


def known_hosts(hosts: dict[str, str]) -> str:
    """Lines for OpenSSH: address to the droplet's public host key."""
    return "".join(f"{address} {' '.join(key.split()[:2])}\n" for address, key in sorted(hosts.items()))


def _bcrypt(password: str) -> str:
    # passlib brings its own bcrypt, slow and therefore off by default; a handful of hashes does not need a fast one.
    os.environ["PASSLIB_BUILTIN_BCRYPT"] = "enabled"
    from passlib.hash import bcrypt

    return bcrypt.using(rounds=5, ident="2y").hash(password)


def _pem(key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _new_ssh_key(who: str) -> KeyPair:
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    return KeyPair(private, f"{public} {who}@lab\n")


def _builder(subject: str, issuer: x509.Name | None, key) -> x509.CertificateBuilder:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _LIFE)
    )


def _new_authority() -> KeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(f"LiteFarm lab {secrets.token_hex(4)}", None, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(_pem(key), certificate.public_bytes(serialization.Encoding.PEM).decode())


def _new_certificate(authority: KeyPair, part: str, address: str, others: Iterable[str]) -> KeyPair:
    authority_key = serialization.load_pem_private_key(authority.private.encode(), None)
    authority_certificate = x509.load_pem_x509_certificate(authority.public.encode())
    key = ec.generate_private_key(ec.SECP256R1())
    names = [
        x509.DNSName(part),
        x509.DNSName("localhost"),
        *(x509.DNSName(name) for name in others),
        x509.IPAddress(ipaddress.ip_address(address)),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    certificate = (
        _builder(part, authority_certificate.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return KeyPair(_pem(key), certificate.public_bytes(serialization.Encoding.PEM).decode())


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs_certificates, crl_sign=signs_certificates, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )
