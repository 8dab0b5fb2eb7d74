# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How secrets are compared and named without being shown."""

from __future__ import annotations

import hashlib


def fingerprint(text):
    """By this a secret is compared with another one; what is random and long cannot be guessed from it."""
    return hashlib.sha256(text.strip().encode()).hexdigest()


def key_id(value):
    """By this a person knows a key from others of the same name: it is shown, and part of the places of what the key encrypts."""
    return fingerprint(value)[:8]
