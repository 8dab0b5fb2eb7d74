# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of tests that have the droplet of web and API."""

from __future__ import annotations

import json
import urllib.parse

import pytest


class Authority:
    """The certificate authority, as the droplet sees it; a lab's has an address for a name."""

    def __init__(self, droplet):
        self.droplet = droplet
        settings = json.loads(droplet.check_output("cat /etc/litefarm/nginx/certificates.json"))
        self.route = f"unreachable {urllib.parse.urlsplit(settings['directory']).hostname}/32"

    def cut_off(self) -> None:
        self.droplet.check_output(f"ip route add {self.route}")

    def bring_back(self) -> None:
        self.droplet.check_output(f"ip route del {self.route} || ! ip route show type unreachable | grep .")


@pytest.fixture
def authority(droplet):
    """Cuts the droplet off from its certificate authority when a test asks for it, and never for longer than the test."""
    found = Authority(droplet)
    yield found
    found.bring_back()
