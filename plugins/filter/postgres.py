# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for PostgreSQL: what a control node can work out so that no password has to travel."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import urllib.parse

from ansible.errors import AnsibleFilterError

ITERATIONS = 4096
SALT_BYTES = 16


def _text(name, value):
    if not isinstance(value, str) or not value:
        raise AnsibleFilterError("%s: the input must be a non-empty text, not %s" % (name, type(value).__name__))
    return value


def scram_verifier(password, role):
    """What PostgreSQL stores for a password (RFC 5802 and 7677), the same each time it is asked for."""
    _text("scram_verifier", password)
    _text("scram_verifier", role)
    if not re.match(r"^[\x21-\x7e]+\Z", password):
        raise AnsibleFilterError("scram_verifier: the password of role %s may consist of printable ASCII characters only" % role)
    secret = password.encode("ascii")
    # As slow to compute as the verifier itself: a plain hash of the password as its salt would be a short cut for guessing it.
    salt = hashlib.pbkdf2_hmac("sha256", secret, b"litefarm.platform/" + role.encode(), ITERATIONS)[:SALT_BYTES]
    salted = hashlib.pbkdf2_hmac("sha256", secret, salt, ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode("ascii") for part in (salt, stored_key, server_key)]
    return "SCRAM-SHA-256$%d:%s$%s:%s" % (ITERATIONS, *encoded)


def postgres_url(parts):
    """A connection URL with every part percent-encoded."""
    missing = [key for key in ("host", "port", "database", "user", "password") if not parts.get(key)]
    if missing:
        raise AnsibleFilterError("postgres_url: %s missing or empty" % ", ".join(missing))
    quoted = {key: urllib.parse.quote(str(parts[key]), safe="") for key in ("user", "password", "database")}
    host = str(parts["host"])
    if ":" in host:
        host = "[%s]" % host
    query = urllib.parse.urlencode(parts.get("query") or {}, safe="/")
    url = "postgresql://%s:%s@%s:%d/%s" % (quoted["user"], quoted["password"], host, int(parts["port"]), quoted["database"])
    return url + "?" + query if query else url


def sql_literal(value):
    """A text as an SQL literal, whatever standard_conforming_strings says."""
    text = str(value)
    if "\x00" in text:
        raise AnsibleFilterError("sql_literal: PostgreSQL has no text with a NUL character")
    quoted = text.replace("'", "''")
    return " E'%s'" % quoted.replace("\\", "\\\\") if "\\" in quoted else "'%s'" % quoted


def pg_conf(value):
    """A value as postgresql.conf wants it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (int, float)):
        return str(value)
    return "'%s'" % str(value).replace("\\", "\\\\").replace("'", "''")


class FilterModule:
    def filters(self):
        return {
            "pg_conf": pg_conf,
            "postgres_url": postgres_url,
            "scram_verifier": scram_verifier,
            "sql_literal": sql_literal,
        }
