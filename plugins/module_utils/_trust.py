# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom a TLS client of the platform trusts."""

from __future__ import annotations

import os
import ssl

# Of Debian and Ubuntu, where the library may look at the folder alone.
SYSTEM_FILE = "/etc/ssl/certs/ca-certificates.crt"


def trust_context(ca_pem=None):
    """Trust the system's certificate authorities and the given ones."""
    context = ssl.create_default_context()
    if ca_pem:
        context.load_verify_locations(cadata=ca_pem)
    return context


def system_file():
    """The file with the system's certificate authorities, or None."""
    return ssl.get_default_verify_paths().cafile or (SYSTEM_FILE if os.path.exists(SYSTEM_FILE) else None)


def write_bundle(file, ca_pem):
    """Write the system's certificate authorities and the given ones to an open file, for a program that reads one file only."""
    system = system_file()
    if system:
        with open(system, encoding="utf-8") as source:
            file.write(source.read() + "\n")
    file.write(ca_pem + "\n")
    file.flush()
