# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import io
import json
import pathlib
import re
import tarfile

import pytest
from lab import image_build, mirror, services, wheels
from lab.containers import File, Part, archive
from lab.errors import LabError
from lab.keys import Keys
from lab.settings import BUILDER_DROPLET, DEBIAN, DROPLETS


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


def test_every_listed_image_has_a_definition():
    for name, definition in mirror.listed_images().items():
        mirror.split_name(name)
        assert (image_build.DEFINITIONS / definition / "Dockerfile").is_file(), definition


DROPLET_RELEASES = {droplet.debian for droplet in [BUILDER_DROPLET, *(one for droplets in DROPLETS.values() for one in droplets)]}


def test_every_release_of_a_droplet_has_a_list_of_packages():
    for debian in DROPLET_RELEASES:
        assert (image_build.DEFINITIONS / "droplet" / f"packages-baked-{debian}.txt").is_file(), debian


class Engine:
    """An engine that has every image of a release, or builds what it is asked for."""

    def __init__(self, *there):
        self.there, self.asked, self.built, self.images = there, [], [], self

    def get(self, tag):
        self.asked.append(tag)
        if not tag.startswith(self.there):
            raise image_build.docker.errors.ImageNotFound(tag)

    def build(self, tag, buildargs, **options):
        self.built.append((tag.split(":")[0], buildargs))


@pytest.fixture
def no_mirror(monkeypatch):
    monkeypatch.setattr(image_build.apt, "find_mirror", lambda override: None)
    monkeypatch.setattr(image_build.apt, "find_options", lambda: {})


def test_a_droplet_is_built_on_its_own_release_and_everything_else_on_the_default(settings, no_mirror):
    engine = Engine("litefarm-lab/debian:")
    made = image_build.Images(engine, settings)
    default, older = made.base(), made.base("bookworm")
    assert default == made.base(DEBIAN) != older
    made.services()
    made.droplet(DEBIAN, "baked")
    made.droplet("bookworm", "baked")
    assert engine.built == [
        ("litefarm-lab/services", {"BASE": default}),
        (f"litefarm-lab/droplet-{DEBIAN}-baked", {"BASE": default, "FLAVOUR": "baked"}),
        ("litefarm-lab/droplet-bookworm-baked", {"BASE": older, "FLAVOUR": "baked"}),
    ]


def test_a_release_that_no_droplet_has_is_not_looked_for(settings, no_mirror):
    engine = Engine("litefarm-lab/")
    made = image_build.Images(engine, settings)
    made.droplet(DEBIAN, "bare")
    # The base, which is asked for once, and the droplet.
    assert len(engine.asked) == 2
    assert made._bases.keys() == {DEBIAN}


@pytest.fixture
def definitions(monkeypatch, tmp_path):
    monkeypatch.setattr(image_build, "DEFINITIONS", tmp_path)
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "thing" / "run").write_text("#!/bin/sh\n")
    (tmp_path / "thing" / "run").chmod(0o700)
    return tmp_path


def definition(settings, arguments=None, authorities=None):
    made = image_build.Images(client=None, settings=settings)
    made.authorities = authorities or {}
    return made._definition("thing", arguments or {})


def test_an_image_definition_s_identity_changes_with_everything_that_goes_in(settings, definitions):
    first = definition(settings)[0]
    assert definition(settings)[0] == first
    assert definition(settings, arguments={"BASE": "b"})[0] != first
    assert definition(settings, authorities={"proxy": "PEM"})[0] != first
    # What Python leaves behind when a test imports it.
    (definitions / "thing" / "__pycache__").mkdir()
    (definitions / "thing" / "__pycache__" / "gate.cpython-311.pyc").write_bytes(b"compiled")
    assert definition(settings)[0] == first
    (definitions / "thing" / "Dockerfile").write_text("FROM other\n")
    assert definition(settings)[0] != first


def test_an_image_definition_s_context_has_the_machine_s_authorities_and_executables(settings, definitions):
    _identity, files = definition(settings, authorities={"proxy": "PEM"})
    with tarfile.open(fileobj=io.BytesIO(image_build._tar(files))) as tar:
        assert tar.extractfile("ca-certificates/proxy.crt").read() == b"PEM"
        assert tar.getmember("run").mode == 0o755
        assert tar.getmember("Dockerfile").mode == 0o644


@pytest.mark.parametrize("name", ["node", "storage"])
def test_wheels_are_pinned_by_hash_and_come_from_nowhere_in_particular(name):
    text = (image_build.DEFINITIONS / name / wheels.LIST).read_text()
    listed = re.findall(r"^\S.*", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), re.MULTILINE)
    assert listed
    # pip would ask this machine's Python, and not the image's, about conditions.
    assert all(re.fullmatch(r"[a-z0-9.-]+==\S+ \\", line) for line in listed)
    assert text.count("--hash=sha256:") >= len(listed)
    assert "://" not in text and "index-url" not in text


def test_wheels_are_fetched_for_the_image_s_python_and_processor():
    command = wheels.download_command(pathlib.Path("/x/requirements.txt"), "arm64", pathlib.Path("/x/wheels"))
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:", "--python-version=3.13", "--platform=manylinux_2_28_aarch64"} <= set(command)
    assert "--platform=manylinux2014_x86_64" in wheels.download_command(pathlib.Path("a"), "amd64", pathlib.Path("b"))


def test_wheels_that_cannot_be_had_are_an_error_with_pip_s_words(monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "/nonexistent")
    with pytest.raises(LabError, match="nothing-of-this-name"):
        wheels.fetch(f"nothing-of-this-name==1.0 --hash=sha256:{'0' * 64}\n", "amd64")


def test_the_object_storage_has_its_real_names_and_the_environments_keys(settings, tmp_path):
    keys = Keys(tmp_path / "keys")
    part = services.storage_part(settings, "image", keys)
    assert part.number == 6
    names = ("litefarmapp.", "litefarm-lab-public.", "litefarm-production-backups.", "litefarm-beta-backups.", "")
    assert {f"{name}nyc3.digitaloceanspaces.com" for name in names} <= set(part.aliases)
    configuration = part.files["/etc/lab/storage.json"]
    assert configuration.mode == 0o600
    content = json.loads(configuration.content)
    opened = {name: (key["buckets"], key["writes"]) for name, key in content["keys"].items()}
    shared = ["litefarm-lab-private", "litefarm-lab-public"]
    assert opened == {
        keys.access_key("production").id: (["litefarm-app-secret", "litefarmapp", "litefarm-production-backups", *shared], True),
        keys.access_key("production-read-only").id: (["litefarm-app-secret", "litefarmapp", "litefarm-production-backups"], False),
        keys.access_key("beta").id: (["litefarm-beta-secret", "litefarmbeta", "litefarm-beta-backups", *shared], True),
        keys.access_key("beta-read-only").id: (["litefarm-beta-secret", "litefarmbeta", "litefarm-beta-backups"], False),
        keys.access_key("spare").id: (shared, True),
    }
    assert content["token"] == keys.token("storage-faults")
    # Everything that is not random is the same at the next `up`, which therefore leaves the container and its buckets alone.
    assert services.storage_part(settings, "image", Keys(tmp_path / "keys")).fingerprint() == part.fingerprint()
