# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This scenario's droplet is the one with Debian 12: a lab that gave it another release would test nothing."""

from __future__ import annotations


def test_the_droplet_runs_debian_12_with_its_own_packages(droplet):
    assert droplet.check_output(". /etc/os-release && echo $ID $VERSION_ID") == "debian 12"
    assert droplet.check_output("docker version --format '{{.Server.Version}}'").startswith("20.10.")
