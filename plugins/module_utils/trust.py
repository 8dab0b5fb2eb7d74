# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom a TLS client of the platform trusts."""

from __future__ import annotations

import ssl


def trust_context(ca_pem=None):
    """Trust the system's certificate authorities and the given ones."""
    context = ssl.create_default_context()
    if ca_pem:
        context.load_verify_locations(cadata=ca_pem)
    return context
