# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the package of the lab's object storage importable, as its image does."""

from __future__ import annotations

import ipaddress
import pathlib
import sys

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(CHECKOUT / "lab" / "images" / "storage"))


@pytest.fixture
def settings(tmp_path):
    from lab.settings import Settings

    return Settings(
        lab="unit",
        public=ipaddress.IPv4Network("10.1.1.0/24"),
        private=ipaddress.IPv4Network("10.1.2.0/24"),
        checkout=tmp_path,
    )
