# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTPS as a browser speaks it, to names that are not in the DNS."""

from __future__ import annotations

import http.client
import socket
import ssl


class Connection(http.client.HTTPSConnection):
    """HTTPS to a droplet's address under the name that a user would type."""

    def __init__(self, name, address, ca_file, timeout=10):
        super().__init__(name, context=ssl.create_default_context(cafile=ca_file), timeout=timeout)
        self._address = address

    def connect(self):
        plain = socket.create_connection((self._address, 443), self.timeout)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)
