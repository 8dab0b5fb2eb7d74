# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stranger on a droplet's networks can reach: SSH and the web, whatever Docker publishes."""

from __future__ import annotations

import pytest

from tests.support import lab
from tests.support.ports import WORLD


# By day test_ports.py looks at them.
@pytest.mark.nightly("litefarm-imaginary", "liteformbeta")
def test_only_ssh_and_the_web_answer_a_stranger_also_when_docker_has_restarted(droplet):
    droplet.check_output("systemctl restart docker")
    for network in ("public", "private"):
        assert lab.scan_as_stranger(droplet.name, network) == {"open": WORLD, "refused": []}, network
