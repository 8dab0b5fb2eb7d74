# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from lab import host

ROUTES = "Iface\tDestination\tGateway\nbr0\t0000590A\t00000000\n{uplink}\t00000000\t010200C0\n"


@pytest.mark.parametrize("mtu, expected", [(1400, 1400), (1500, 1500), (9000, 1500)])
def test_mtu_is_the_uplink_s_and_never_more_than_ethernet_s(tmp_path, mtu, expected):
    (tmp_path / "route").write_text(ROUTES.format(uplink="eth7"))
    (tmp_path / "net" / "eth7").mkdir(parents=True)
    (tmp_path / "net" / "eth7" / "mtu").write_text(f"{mtu}\n")
    assert host.uplink_mtu(tmp_path / "route", tmp_path / "net") == expected


def test_mtu_without_an_uplink(tmp_path):
    (tmp_path / "route").write_text("Iface\tDestination\tGateway\n")
    assert host.uplink_mtu(tmp_path / "route", tmp_path) == 1500


def test_authorities_of_this_machine(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "proxy.crt").write_text("P")
    (tmp_path / "sub" / "other.crt").write_text("O")
    (tmp_path / "notes.txt").write_text("no certificate")
    assert host.extra_authorities(tmp_path) == {"proxy": "P", "other": "O"}
    assert host.extra_authorities(tmp_path / "missing") == {}


@pytest.mark.parametrize(
    "release, expected",
    [
        ("ID=debian\n", True),
        ('ID=ubuntu\nID_LIKE=debian\n', True),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True),
        ('ID=fedora\n', False),
    ],
)
def test_whether_the_engine_can_be_installed_here(tmp_path, release, expected):
    (tmp_path / "os-release").write_text(release)
    assert host.is_debian_like(tmp_path / "os-release") is expected
    assert host.is_debian_like(tmp_path / "missing") is False
