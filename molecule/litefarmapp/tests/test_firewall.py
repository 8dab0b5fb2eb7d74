# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stranger on the droplet's networks can reach: SSH and the web, whatever Docker publishes."""

from __future__ import annotations

import json

import pytest

from tests.support import lab

WORLD = [22, 80, 443]


def scan(network):
    """All TCP ports of the droplet, seen from a container that is nobody's peer."""
    address = lab.status()["droplets"]["litefarmapp"][f"{network}_address"]
    return json.loads(lab.as_stranger(network, lab.PROJECT / "tests" / "support" / "ports.py", address))


@pytest.mark.parametrize("network", ["public", "private"])
def test_only_ssh_and_the_web_answer(network):
    assert scan(network) == {"open": WORLD, "refused": []}


def test_a_docker_restart_opens_nothing(droplet):
    droplet.check_output("systemctl restart docker")
    assert scan("public") == {"open": WORLD, "refused": []}
    assert scan("private") == {"open": WORLD, "refused": []}
