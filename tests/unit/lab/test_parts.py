# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import io
import tarfile

import pytest
from lab import images, mirror
from lab.containers import File, Part, archive
from lab.errors import LabError


def test_what_a_part_is_made_of_decides_its_fingerprint():
    part = Part(name="git", image="i:1", number=5, files={"/a": File("x")})
    assert part.fingerprint() == Part(name="git", image="i:1", number=5, files={"/a": File("x")}).fingerprint()
    for change in ({"image": "i:2"}, {"number": 6}, {"files": {"/a": File("y")}}, {"files": {"/a": File("x", 0o600)}}):
        assert dataclasses.replace(part, **change).fingerprint() != part.fingerprint()


def test_files_of_a_part_keep_content_and_mode():
    with tarfile.open(fileobj=io.BytesIO(archive({"/etc/lab/key": File("secret", 0o600)}))) as tar:
        entry = tar.getmember("etc/lab/key")
        assert (entry.mode, tar.extractfile(entry).read()) == (0o600, b"secret")


@pytest.mark.parametrize(
    "name, expected",
    [("redis:8", ("library/redis", "8")), ("h2non/imaginary:1.2.4", ("h2non/imaginary", "1.2.4"))],
)
def test_names_in_a_mirror(name, expected):
    assert mirror.split_name(name) == expected


def test_an_image_without_a_tag_is_refused():
    with pytest.raises(LabError, match="redis"):
        mirror.split_name("redis")


def test_every_listed_image_has_a_recipe():
    for name, recipe in mirror.listed_images().items():
        mirror.split_name(name)
        assert (images.RECIPES / recipe / "Dockerfile").is_file(), recipe


@pytest.fixture
def recipes(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "RECIPES", tmp_path)
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "thing" / "run").write_text("#!/bin/sh\n")
    (tmp_path / "thing" / "run").chmod(0o700)
    return tmp_path


def recipe(settings, arguments=None, authorities=None):
    made = images.Images(client=None, settings=settings)
    made.authorities = authorities or {}
    return made._recipe("thing", arguments or {})


def test_a_recipe_s_identity_changes_with_everything_that_goes_in(settings, recipes):
    first = recipe(settings)[0]
    assert recipe(settings)[0] == first
    assert recipe(settings, arguments={"BASE": "b"})[0] != first
    assert recipe(settings, authorities={"proxy": "PEM"})[0] != first
    (recipes / "thing" / "Dockerfile").write_text("FROM other\n")
    assert recipe(settings)[0] != first


def test_a_recipe_s_context_has_the_machine_s_authorities_and_executables(settings, recipes):
    _identity, context = recipe(settings, authorities={"proxy": "PEM"})
    with tarfile.open(fileobj=io.BytesIO(context)) as tar:
        assert tar.extractfile("ca-certificates/proxy.crt").read() == b"PEM"
        assert tar.getmember("run").mode == 0o755
        assert tar.getmember("Dockerfile").mode == 0o644
