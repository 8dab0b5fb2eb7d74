# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the certificates that an inventory brings in can serve their sites. Sentences never contain a key."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterable

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
except ImportError:
    # ansible-core depends on it; only a check that imports every plugin by itself does without.
    x509 = serialization = None

VARIABLE = "nginx_imported_certificates"
PRIVATE_KEY = re.compile(rb"-----BEGIN ([A-Z]+ )?PRIVATE KEY-----")
LARGEST = 100_000  # bytes of a file with a key


def look_at(
    imported: object, sites: dict[str, list[str]], known: Iterable[str], place: str, now: datetime.datetime | None = None
) -> tuple[list[str], list[str]]:
    """Sentences about what is wrong, and others about what does no harm.

    Args:
        imported: the variable's value, site to certificate and key.
        sites: the droplet's sites with their host names.
        known: names of sites that a droplet of the environment may have.
        place: where the variable stands.
    """
    if not isinstance(imported, dict):
        # The check of variables tells it.
        return [], []
    problems, warnings = [], []
    for site in sorted(set(imported) - set(sites) - set(known)):
        problems.append("%s in %s has an entry for %s, which is no site: use one of %s." % (VARIABLE, place, site, ", ".join(sorted({*sites, *known}))))
    for site in sorted(set(imported) & set(sites)):
        about = "The certificate of %s in %s, the entry %s," % (VARIABLE, place, site)
        problem, warning = _look_at_one(imported[site], sites[site], now or datetime.datetime.now(datetime.timezone.utc))
        problems += ["%s %s" % (about, problem)] if problem else []
        warnings += ["%s %s" % (about, warning)] if warning else []
    return problems, warnings


def _look_at_one(entry: object, names: list[str], now: datetime.datetime) -> tuple[str, str]:
    if not isinstance(entry, dict) or set(entry) != {"certificate", "key"}:
        return "needs two values, certificate and key, and no others: correct it.", ""
    try:
        chain = certificates(str(entry["certificate"]))
    except ValueError:
        return "cannot be read: set certificate to the text of a fullchain.pem, in PEM format.", ""
    try:
        key = serialization.load_pem_private_key(str(entry["key"]).encode(), password=None)
    except (ValueError, TypeError):
        return "has a key that cannot be read: set key to the text of a privkey.pem, in PEM format and without a passphrase.", ""
    first = chain[0]
    if first.public_key() != key.public_key():
        return "does not belong to its key: take both from the same server, the site's own certificate first.", ""
    own = names_of(first)
    missing = [name for name in names if not covers(own, name)]
    if missing:
        return "is for %s, and not for %s: remove it, or take one that is for all names of the site." % (", ".join(own) or "no name", ", ".join(missing)), ""
    begin, end = period(first)
    if end <= now:
        # certbot may have taken over long ago, and a release must not stop at what is left over.
        return "", "ended on %s and is not used: remove the entry." % end.strftime("%Y-%m-%d")
    if begin > now:
        return "", "is valid from %s on: browsers refuse it before." % begin.strftime("%Y-%m-%d %H:%M UTC")
    if len(chain) == 1 and first.issuer != first.subject:
        return "", "comes without the certificates of its authority, which many clients need: take fullchain.pem and not cert.pem."
    return "", ""


def certificates(text: str) -> list:
    found = re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", text, re.DOTALL)
    if not found:
        raise ValueError
    return [x509.load_pem_x509_certificate(each.encode()) for each in found]


def names_of(certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]


def covers(names: list[str], name: str) -> bool:
    # A wildcard stands for one label.
    return name.lower() in names or "*." + name.lower().partition(".")[2] in names


def period(certificate) -> tuple[datetime.datetime, datetime.datetime]:
    """Distributions ship versions of cryptography that know only a time without zone, which is UTC."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return tuple(moment.replace(tzinfo=datetime.timezone.utc) for moment in (certificate.not_valid_before, certificate.not_valid_after))


def unencrypted_keys(folders: Iterable[str]) -> list[str]:
    """Sentences about files beside an inventory's variables that have a private key in plain text."""
    problems = []
    for folder in dict.fromkeys(folders):
        for directory, _folders, names in os.walk(os.path.join(folder, "group_vars")):
            for name in sorted(names):
                path = os.path.join(directory, name)
                # Variables are looked at where secrets are.
                if name.endswith((".yml", ".yaml", ".json")) or not os.path.isfile(path) or os.path.getsize(path) > LARGEST:
                    continue
                with open(path, "rb") as file:
                    if PRIVATE_KEY.search(file.read()):
                        problems.append("The private key in %s is not encrypted: run ansible-vault encrypt %s." % (path, path))
    return problems
