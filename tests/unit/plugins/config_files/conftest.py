# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from tests.unit.plugins.config_files.host import Host


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path / "host")


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """A killed process loses nothing of what the kernel has; only a power cut does."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
