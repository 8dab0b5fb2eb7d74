# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Creates secrets and keeps them in an ansible-vault file."""

from __future__ import annotations

import datetime
import json
import os
import re
import secrets
import string

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID
except ImportError:
    # ansible-core depends on it; only a check that imports every plugin by itself does without.
    x509 = hashes = serialization = ec = NameOID = None
try:
    import yaml
except ImportError:
    yaml = None

from ansible_collections.litefarm.platform.plugins.module_utils._atomic_files import write_atomically
from ansible_collections.litefarm.platform.plugins.plugin_utils._secret_rules import kept, previous

# Letters and digits need no quoting in any file, URL or shell.
ALPHABET = string.ascii_letters + string.digits


class SecretError(Exception):
    """A secret cannot be created; the message is meant for a person."""


def token(length):
    return "".join(secrets.choice(ALPHABET) for _character in range(length))


def tls_key():
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def tls_certificate(key_pem, host_name, years):
    """A self-signed certificate: whoever has it can verify the server, and only the server has the key."""
    key = serialization.load_pem_private_key(key_pem.encode(), password=None)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host_name)])
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=365 * years + 1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host_name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def create_missing(wanted, present, vault):
    """Return the values of secrets that are not present and can be created, in the order of the list."""
    created = {}
    for secret in wanted:
        name, kind = secret["name"], secret["kind"]
        if name in present:
            continue
        if kind == "token":
            created[name] = token(secret["length"])
        elif kind == "tls_key":
            if secret["certificate"] in present:
                raise SecretError(
                    "The certificate %s is in %s and its key %s is not: remove the certificate with ansible-vault edit, and both are created."
                    % (secret["certificate"], vault, name)
                )
            created[name] = tls_key()
        elif kind == "tls_certificate":
            key = created.get(secret["key"]) or present[secret["key"]]
            try:
                created[name] = tls_certificate(key, secret["host_name"], secret["years"])
            except (ValueError, TypeError, AttributeError) as error:
                raise SecretError("The key %s in %s is not a private key in PEM format: remove it with ansible-vault edit." % (secret["key"], vault)) from error
    return created


def begin_rotation(wanted, values, vault):
    """Return the entries to write for new values of secrets that belong together. None, when their rotation is open already."""
    for secret in wanted:
        if not isinstance(values.get(secret["name"]), str) or not values[secret["name"]]:
            raise SecretError("The secret %s is not in %s: run playbooks/secrets.yml, which creates what is missing." % (secret["name"], vault))
    if any(is_open(secret, values) for secret in wanted):
        return {}
    entries = create_missing(wanted, {}, vault)
    # What a service accepts must reach the disk in the same moment as what its clients will use.
    entries.update({previous(secret["name"]): values[secret["name"]] for secret in wanted if secret.get("accepted_twice")})
    entries.update({kept(secret["name"], values[secret["name"]]): values[secret["name"]] for secret in wanted if secret.get("keep_previous")})
    return entries


def is_open(secret, values):
    """Is the previous value of this secret still accepted?"""
    return bool(secret.get("accepted_twice") and values.get(previous(secret["name"])))


def put(text, entries):
    """Set entries of a YAML document, where they are or at its end, and leave every other line of it as it is."""
    text = append(text, {})
    added = {}
    for name, value in entries.items():
        spans = _spans(text, name)
        if not spans:
            added[name] = value
        for start, end in spans:
            # A comment after a block of lines would be one of them.
            end = _end_of_line(text, end) if "\n" in value else end
            # A block of lines ends with a line's end, other values before it.
            text = text[:start] + _entry(name, value) + ("\n" if text[start:end].endswith("\n") else "") + text[end:]
    return append(text, added) if added else text


def remove(text, names):
    """Remove entries from a YAML document, with the rest of their last line."""
    for name in names:
        for start, end in _spans(text, name):
            text = text[:start] + text[_end_of_line(text, end) :]
    return text


def _end_of_line(text, end):
    """Where the next line begins."""
    return end if text[:end].endswith("\n") else text.find("\n", end) + 1 or len(text)


def _spans(text, name):
    """Where entries of this name begin and end in a YAML document, the last one first."""
    document = yaml.compose(text, Loader=yaml.SafeLoader)
    pairs = document.value if isinstance(document, yaml.MappingNode) else []
    return [(key.start_mark.index, value.end_mark.index) for key, value in reversed(pairs) if key.value == name]


def append(text, created):
    """Add secrets to a YAML document and leave every line of it as it is."""
    lines = [text.rstrip("\n")] if text.strip() else ["---"]
    return "\n".join(lines + [_entry(name, value) for name, value in created.items()]) + "\n"


def _entry(name, value):
    if "\n" in value:
        return "\n".join(["%s: |" % name] + ["  %s" % line for line in value.strip().splitlines()])
    # JSON's quotes are YAML's, whatever is between them.
    return "%s: %s" % (name, json.dumps(value, ensure_ascii=False))


def vault_id_of(ciphertext):
    """The vault id in the first line of an encrypted file, or None."""
    header = ciphertext.split("\n", 1)[0].strip().split(";")
    return header[3] if len(header) > 3 and re.fullmatch(r"1\.2", header[1]) else None


def write_private(path, text):
    """Replace a file at once, readable by its owner only. A link is followed, so that it stays one."""
    path = os.path.realpath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    # A name of its own, because another process may write the same file.
    write_atomically(path, text, 0o600, temporary=os.path.join(os.path.dirname(path), ".vault-%s" % secrets.token_hex(4)))
