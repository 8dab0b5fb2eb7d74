# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stranger on a droplet's networks can reach: SSH and the web, whatever Docker publishes."""

from __future__ import annotations

import pytest

from tests.support import lab
from tests.support.ports import WORLD

OPEN = {"open": WORLD, "refused": []}


@pytest.mark.parametrize("network", ["public", "private"])
def test_only_ssh_and_the_web_answer_a_stranger(droplet, network):
    assert lab.scan_as_stranger(droplet.name, network) == OPEN


def test_a_docker_restart_opens_nothing(droplet):
    droplet.check_output("systemctl restart docker")
    assert lab.scan_as_stranger(droplet.name, "public") == OPEN
    assert lab.scan_as_stranger(droplet.name, "private") == OPEN
