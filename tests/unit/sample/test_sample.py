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

LAB = Path(__file__).parents[3] / "lab"
PACKAGES = LAB / "sample" / "packages"
STAND_INS = sorted(path.parent.name for path in (LAB / "images").glob("*/Dockerfile"))
LOCK_FILES = [PACKAGES / "api" / "package-lock.json", LAB / "images" / "node" / "package-lock.json"]


@pytest.mark.parametrize("package", ["api", "webapp"])
def test_a_release_says_its_version_and_behaves(package):
    release = json.loads((PACKAGES / package / "release.json").read_text())
    assert release == {"version": "1.0.0", "behaviour": "ok"}


@pytest.mark.parametrize("package", ["api", "webapp"])
def test_dockerfiles_build_on_images_that_the_lab_offers(package):
    offered = yaml.safe_load((LAB / "images.yml").read_text())
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
    documented = set(re.findall(r"^\| `([a-z-]+)` \| (?:API|webapp|scheduler|both) \|", (LAB / "sample" / "README.md").read_text(), flags=re.MULTILINE))
    assert {name for names in implemented for name in names if name} | {"ok"} == documented


def test_the_lock_file_belongs_to_the_package_file():
    package = json.loads((PACKAGES / "api" / "package.json").read_text())
    locked = json.loads((PACKAGES / "api" / "package-lock.json").read_text())["packages"]
    assert locked[""]["dependencies"] == package["dependencies"]
    # The keys in Redis are those of LiteFarm's Bull.
    assert locked["node_modules/bull"]["version"].startswith("3.")


def test_crops_have_names_in_every_language_of_the_scheduler():
    jobs = PACKAGES / "api" / "src" / "jobs" / "locales"
    languages = set(re.findall(r"'([a-z]{2})'", (jobs / "translator.js").read_text()))
    script = json.loads((PACKAGES / "api" / "package.json").read_text())["scripts"]["scheduler"]
    assert languages == {"en", "es", "pt", "fr", "de", "hi", "pa", "ml", "km"}
    assert set(re.search(r"for l in ([a-z ]+);", script).group(1).split()) == languages
    assert {path.parent.name for path in jobs.glob("*/translation.json")} == languages
    names = {path.parent.name: json.loads(path.read_text()) for path in (PACKAGES / "webapp" / "public" / "locales").glob("*/crop.json")}
    assert set(names) == languages
    seeded = re.search(r"\[(.+)\]\.map\(\(name\)", (PACKAGES / "api" / "db" / "migration" / "20260103000000_create_crop_with_photos.js").read_text())
    keys = {name.upper() for name in re.findall(r"'(\w+)'", seeded.group(1))}
    assert all(set(crops) == keys and all(crops.values()) for crops in names.values())


def test_names_of_crops_come_from_the_webapp_alone():
    """As with LiteFarm, the API's image lacks them: whoever builds the scheduler's has to add them."""
    assert not list((PACKAGES / "api").glob("src/jobs/locales/*/crop.json"))
    assert "src/jobs/locales/*/crop.json" in (PACKAGES / "api" / ".gitignore").read_text().splitlines()


def test_the_sample_farm_and_its_user_keep_their_ids():
    migration = (PACKAGES / "api" / "db" / "migration" / "20260106000000_add_sample_farm.js").read_text()
    readme = (LAB / "sample" / "README.md").read_text()
    for name, value in {"farm_id": "5a3bb6f4-0000-4000-8000-000000000001", "user_id": "5a3bb6f4-0000-4000-8000-0000000000aa"}.items():
        assert f"const {name} = '{value}';" in migration
        assert f"`{value}`" in readme


def test_queues_have_litefarms_names():
    code = "".join(path.read_text() for path in (PACKAGES / "api" / "src").glob("**/*.js"))
    assert "queue('retrieve')" in code
    assert "const QUEUES = ['retrieve', 'excel', 'zip', 'upload', 'email'];" in code
    # The space at the end is LiteFarm's.
    assert "queue('Schedule driver ')" in code
    assert "queue('Notification API requests')" in code
