# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is a secret there, and is it one? Sentences never contain a value."""

from __future__ import annotations

import math
import re

from ansible_collections.litefarm.platform.plugins.module_utils._fingerprint import key_id

PLACEHOLDERS = re.compile(
    r"change.?me|placeholder|replace.?(me|this)|to.?be.?(done|set)|example|dummy|insert.?here|your.?(secret|password|key)|^<.*>$", re.IGNORECASE
)
COMMON = ("password", "secret", "litefarm", "postgres", "qwerty", "123456", "abcdef", "letmein", "admin")


def needed(secrets, groups):
    """The secrets of the list that this environment's services use."""

    def used(services):
        return "all" in services or any(groups.get(service) for service in services)

    return [secret for secret in secrets if used(secret["services"]) and not used(secret.get("without", []))]


def needed_to_go_back(secrets, groups, services):
    """Those of the needed secrets that the services themselves use, so that a run that replaces nothing else needs no other."""
    names = {secret["name"] for secret in secrets if secret.get("going_back", True) and set(services) & set(secret["services"])}
    return [secret for secret in needed(secrets, groups) if secret["name"] in names]


def previous(name):
    """The name of the value that is accepted as well while a secret is rotated."""
    return "%s_previous" % name


def kept(name, value):
    """The name under which the value before a rotation stays in the vault."""
    return "%s_%s" % (name, key_id(value))


def names(secrets, present=()):
    """Every name that a vault may have: of values before a rotation, those that are present."""
    known = {secret["name"] for secret in secrets} | {previous(secret["name"]) for secret in secrets if secret.get("accepted_twice")}
    keeping = [re.compile(r"%s_[0-9a-f]{8}" % re.escape(secret["name"])) for secret in secrets if secret.get("keep_previous")]
    return known | {name for name in present if any(pattern.fullmatch(name) for pattern in keeping)}


def rotated_together(secrets, name):
    """The secrets that get new values when a person names one of them: itself, and the other one of a pair. None have that name: []."""
    for secret in secrets:
        if name in (secret["name"], secret["name"].removeprefix("vault_")):
            pair = {secret["name"], secret.get("key"), secret.get("certificate")}
            return [each for each in secrets if each["name"] in pair]
    return []


def rotation_meaning(secrets):
    """What a rotation of secrets that belong together means for people."""
    return next((secret["rotation"] for secret in secrets if secret.get("rotation")), "")


def weakness(value, minimum):
    """Why a value is no secret, or None."""
    if not isinstance(value, str):
        return "is not a text"
    if value != value.strip():
        return "begins or ends with white space"
    if PLACEHOLDERS.search(value):
        return "is a placeholder"
    if len(value) < minimum:
        return "is too short (%d characters, at least %d are needed)" % (len(value), minimum)
    rest = value.lower()
    for word in COMMON:
        rest = rest.replace(word, "")
    if minimum and len(rest) < minimum / 2:
        return "consists of common words"
    if minimum and _bits(value) < 2.5 * minimum:
        return "repeats few characters"
    return None


def _bits(value):
    """The information in a value if its characters were drawn by their frequency, without exact repetitions."""
    unit = re.fullmatch(r"(.+?)\1+", value, re.DOTALL)
    text = unit.group(1) if unit else value
    counts = [text.count(character) / len(text) for character in set(text)]
    return len(text) * -sum(share * math.log2(share) for share in counts)


def pem_weakness(value, kind):
    """Why a value is no PEM document of its kind, or None."""
    word = {"tls_certificate": "CERTIFICATE", "tls_key": "PRIVATE KEY"}[kind]
    if isinstance(value, str) and re.search(r"-----BEGIN ([A-Z]+ )?%s-----.+-----END ([A-Z]+ )?%s-----" % (word, word), value, re.DOTALL):
        return None
    return "is not a %s in PEM format" % word.lower()


def check(secrets, values, vault):
    """Sentences about missing, weak and repeated secrets. C(values) has only what is defined."""
    problems, seen, missing = [], {}, []
    for secret in secrets:
        name, kind = secret["name"], secret["kind"]
        value = values.get(name)
        supplied = kind == "supplied"
        if value is None or value == "":
            if not supplied and not secret.get("optional"):
                missing.append(name)
            elif supplied and secret.get("required"):
                problems.append("The secret %s is missing in %s: put it in with ansible-vault edit (%s)." % (name, vault, secret["obtain"]))
            continue
        reason = weakness(value, secret.get("minimum", 0)) if kind in ("token", "supplied") else pem_weakness(value, kind)
        if reason:
            advice = "remove it with ansible-vault edit, and playbooks/secrets.yml creates a strong one"
            if supplied:
                advice = "put in a real one (%s)" % secret["obtain"]
            problems.append("The secret %s in %s %s: %s." % (name, vault, reason, advice))
        elif kind == "token" and value in seen:
            problems.append("The secrets %s and %s in %s are equal: remove one, and playbooks/secrets.yml creates another." % (seen[value], name, vault))
        elif kind == "token":
            seen[value] = name
    if missing:
        what = "The secret %s is" % missing[0] if len(missing) == 1 else "The secrets %s are" % ", ".join(missing)
        problems.insert(0, "%s missing in %s: run playbooks/secrets.yml, which creates what is missing." % (what, vault))
    return problems


def recognises(deployed, vault):
    """Was a droplet deployed from this vault? As M(litefarm.platform.droplet_info) returns C(deployed_with).

    A droplet that no run has told its environment yet has the two secrets of the database. They are rotated one at a time, so one that is
    the same is enough. A droplet that has none of all this runs with no secrets.
    """
    if deployed.get("environment"):
        return deployed["environment"] == vault["environment"]
    return not deployed.get("files") or bool(set(deployed["files"]) & set(vault["files"]))


def foreign(deployed, vault, path):
    """A sentence about droplets that run with secrets of another vault. C(deployed): droplet to what it was deployed with."""
    hosts = sorted(host for host, known in deployed.items() if not recognises(known, vault))
    if not hosts:
        return []
    return [
        "Services on %s already run with secrets that are not those of %s: get the team's vault.yml from its repository, and make no new one. "
        "Only if it is lost for good, replace every secret with -e litefarm_new_secrets=true." % (" and ".join(hosts), path)
    ]


def lost_backup_keys(deployed, keys, path):
    """A sentence for each key of droplets' backups that the vault has not any more. C(keys): IDs of those that it has."""
    lacking = {}
    for host, known in sorted(deployed.items()):
        if known.get("backup_key") and known["backup_key"] not in keys:
            lacking.setdefault(known["backup_key"], []).append(host)
    return [
        "The backups of %s need the encryption key %s, which %s lacks: put it there as vault_backup_encryption_key, or as vault_backup_encryption_key_%s "
        "if a new key is meant. It is on the printed copy and, as repo1-cipher-pass, in /etc/litefarm/postgres/pgbackrest.conf on the droplet."
        % (" and ".join(hosts), key, path, key)
        for key, hosts in lacking.items()
    ]
