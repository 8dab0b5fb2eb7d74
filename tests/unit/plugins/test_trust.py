# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificate authorities a program that reads one file is given."""

from __future__ import annotations

import io
import ssl

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _trust as trust


@pytest.fixture(name="system")
def fixture_system(tmp_path, monkeypatch):
    """The system's file, which does not exist yet; the library knows of none either."""
    path = tmp_path / "system.crt"
    paths = ssl.get_default_verify_paths()._replace(cafile=None)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(trust, "SYSTEM_FILE", str(path))
    return path


def bundle(pem):
    file = io.StringIO()
    trust.write_bundle(file, pem)
    return file.getvalue()


def test_the_given_authorities_stand_beside_the_systems(system):
    system.write_text("SYSTEM")
    assert bundle("OURS") == "SYSTEM\nOURS\n"


def test_without_a_system_file_there_are_the_given_ones(system):
    assert trust.system_file() is None
    assert bundle("OURS") == "OURS\n"


def test_the_librarys_own_file_comes_first(system, tmp_path, monkeypatch):
    system.write_text("SYSTEM")
    own = tmp_path / "own.pem"
    own.write_text("OWN")
    paths = ssl.get_default_verify_paths()._replace(cafile=str(own))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    assert bundle("OURS") == "OWN\nOURS\n"
