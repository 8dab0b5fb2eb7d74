# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample application and the stand-in images keep what the lab relies on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

SHARED = Path(__file__).parents[3] / "molecule" / "shared"
PACKAGES = SHARED / "sample" / "packages"
STAND_INS = sorted(path.parent.name for path in (SHARED / "images").glob("*/Dockerfile"))
LOCK_FILES = [PACKAGES / "api" / "package-lock.json", SHARED / "images" / "node" / "package-lock.json"]


@pytest.mark.parametrize("package", ["api", "webapp"])
def test_a_release_says_its_version_and_behaves(package):
    release = json.loads((PACKAGES / package / "release.json").read_text())
    assert release == {"version": "1.0.0", "behaviour": "ok"}


@pytest.mark.parametrize("package", ["api", "webapp"])
def test_dockerfiles_build_on_images_that_the_lab_offers(package):
    offered = yaml.safe_load((SHARED / "images.yml").read_text())
    wanted = set(re.findall(r"^FROM (\S+)", (PACKAGES / package / "prod.Dockerfile").read_text(), flags=re.MULTILINE))
    assert wanted <= set(offered)
    assert set(offered.values()) <= set(STAND_INS)


@pytest.mark.parametrize("lock_file", LOCK_FILES, ids=lambda path: path.parent.name)
def test_lock_files_pin_contents_and_no_registry(lock_file):
    packages = json.loads(lock_file.read_text())["packages"]
    del packages[""]
    assert packages
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not [name for name, package in packages.items() if "resolved" in package]


def test_the_documented_behaviours_are_those_of_the_code():
    code = "".join(path.read_text() for path in PACKAGES.glob("**/*.js") if "node_modules" not in path.parts)
    implemented = set(re.findall(r"behaves\('([a-z-]+)'\)|behaviour [!=]== '([a-z-]+)'|startsWith\('([a-z-]+-migration)'\)", code))
    documented = set(re.findall(r"^\| `([a-z-]+)` \| (?:API|webapp|both) \|", (SHARED / "sample" / "README.md").read_text(), flags=re.MULTILINE))
    assert {name for names in implemented for name in names if name} | {"ok"} == documented
