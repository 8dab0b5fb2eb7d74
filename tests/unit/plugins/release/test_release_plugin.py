# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib

import pytest
from ansible_collections.litefarm.platform.plugins.action.release import resolve
from ansible_collections.litefarm.platform.plugins.plugin_utils._release import image_tag

from tests.support.release import FakeRegistry, GitFolder

NAMES = {key: "litefarm_%s in main.yml" % key for key in ("repo", "version", "registry", "username")}
DIGEST = "sha256:" + "a" * 64
OTHER_DIGEST = "sha256:" + "b" * 64
SETTINGS = {"VITE_ENV": "production"}
RECIPE = "ARG BASE\nFROM ${BASE}\n"
# In this order an image comes before the one that it is built on.
STACKED = {"above": {"base": "api", "recipe": RECIPE}, "api": {"repository": "api"}}


@pytest.fixture(name="folder", scope="module")
def fixture_folder(tmp_path_factory):
    return GitFolder(tmp_path_factory.mktemp("git") / "repo")


@pytest.fixture(name="fake")
def fixture_fake():
    with FakeRegistry("basic") as fake:
        yield fake


def ask(folder, fake, **changes):
    arguments = {
        "repo": str(folder.path),
        "version": "v1.0.0",
        "environment": "production",
        "registry": "%s/litefarm" % fake.address,
        "registry_username": "litefarm",
        "registry_password": "correct-horse",
        "images": {"api": {"repository": "api"}, "webapp": {"repository": "webapp", "settings": SETTINGS}},
        "ca_certificates": {},
        "images_may_be_missing": False,
        "architecture": "",
    }
    return resolve(dict(arguments, **changes), NAMES)


def publish(folder, fake):
    fake.tags["litefarm/api:%s" % folder.first] = DIGEST
    fake.tags["litefarm/webapp:%s" % image_tag(folder.first, "production", SETTINGS)] = DIGEST


def test_a_release_is_a_commit_and_digests(folder, fake):
    publish(folder, fake)
    commit, images, problems = ask(folder, fake)
    assert problems == []
    assert commit == folder.first
    assert images["api"]["reference"] == "%s/litefarm/api@%s" % (fake.address, DIGEST)
    assert images["webapp"]["tag"] == image_tag(folder.first, "production", SETTINGS)


def test_other_settings_are_another_image():
    one, other = image_tag("c", "beta", {"A": "1"}), image_tag("c", "beta", {"A": "2"})
    assert one != other and one.startswith("c-beta-") and len(one) == len("c-beta-") + 8
    assert image_tag("c", "beta", {"A": "1", "B": "2"}) == image_tag("c", "beta", {"B": "2", "A": "1"})
    assert image_tag("c", "beta", None) == "c"


def test_images_that_are_not_built_are_one_sentence(folder, fake):
    _commit, images, problems = ask(folder, fake)
    assert len(problems) == 1
    assert "does not have %s/litefarm/api:%s and %s/litefarm/webapp:" % (fake.address, folder.first, fake.address) in problems[0]
    assert "run playbooks/build.yml" in problems[0]
    assert images["api"]["reference"] == "unresolved"
    assert ask(folder, fake, images_may_be_missing=True)[2] == []


def test_the_base_and_the_recipe_are_part_of_the_image():
    tag = image_tag("c", base=DIGEST, recipe=RECIPE)
    assert tag == "c-" + hashlib.sha256((DIGEST + RECIPE).encode()).hexdigest()[:8]
    assert len({tag, image_tag("c", base="sha256:" + "b" * 64, recipe=RECIPE), image_tag("c", base=DIGEST, recipe=RECIPE + "\n"), image_tag("c")}) == 4


def test_an_image_on_top_of_another_is_found_by_the_digest_below(folder, fake):
    publish(folder, fake)
    fake.tags["litefarm/above:%s" % image_tag(folder.first, base=DIGEST, recipe=RECIPE)] = OTHER_DIGEST
    _commit, images, problems = ask(folder, fake, images=STACKED)
    assert problems == []
    assert images["above"]["reference"] == "%s/litefarm/above@%s" % (fake.address, OTHER_DIGEST)
    assert images["above"]["base"] == images["api"]["reference"] == "%s/litefarm/api@%s" % (fake.address, DIGEST)
    assert "base" not in images["api"]


def test_what_stands_on_another_base_is_missing(folder, fake):
    publish(folder, fake)
    fake.tags["litefarm/above:%s" % image_tag(folder.first, base=DIGEST, recipe=RECIPE)] = OTHER_DIGEST
    fake.tags["litefarm/api:%s" % folder.first] = OTHER_DIGEST
    _commit, images, problems = ask(folder, fake, images=STACKED)
    tag = image_tag(folder.first, base=OTHER_DIGEST, recipe=RECIPE)
    assert (images["above"]["digest"], images["above"]["base"]) == (None, images["api"]["reference"])
    assert len(problems) == 1 and "does not have %s/litefarm/above:%s: run" % (fake.address, tag) in problems[0]


def test_what_stands_on_a_missing_image_is_missing_without_a_word(folder, fake):
    _commit, images, problems = ask(folder, fake, images=STACKED)
    assert len(problems) == 1 and "does not have %s/litefarm/api:%s: run" % (fake.address, folder.first) in problems[0]
    assert images["above"] == {
        "name": "%s/litefarm/above" % fake.address,
        "tag": "%s-unresolved" % folder.first,
        "digest": None,
        "reference": "unresolved",
        "base": "unresolved",
    }


def test_an_image_for_another_architecture_is_told_and_built_again(folder, fake):
    publish(folder, fake)
    fake.has("litefarm/api", folder.first, DIGEST, "arm64")
    fake.has("litefarm/webapp", image_tag(folder.first, "production", SETTINGS), OTHER_DIGEST, "arm64", "amd64")
    _commit, images, problems = ask(folder, fake, architecture="amd64")
    assert problems == [
        "The registry's %s/litefarm/api:%s is for arm64, and litefarm_architecture is amd64: "
        "run playbooks/build.yml for this environment, which replaces it." % (fake.address, folder.first)
    ]
    _commit, images, problems = ask(folder, fake, architecture="amd64", images_may_be_missing=True)
    assert problems == []
    assert (images["api"]["digest"], images["webapp"]["digest"]) == (None, OTHER_DIGEST)
    # Without the question it is as it is: preflight asks once droplets lack the image.
    assert ask(folder, fake)[1]["api"]["digest"] == DIGEST


def test_what_stands_on_an_image_for_another_architecture_is_built_again_too(folder, fake):
    fake.has("litefarm/api", folder.first, DIGEST, "arm64")
    fake.has("litefarm/above", image_tag(folder.first, base=DIGEST, recipe=RECIPE), OTHER_DIGEST, "arm64")
    _commit, images, problems = ask(folder, fake, images=STACKED, architecture="amd64", images_may_be_missing=True)
    assert (images["above"]["tag"], images["above"]["digest"], problems) == ("%s-unresolved" % folder.first, None, [])


@pytest.mark.parametrize("base", ["none", "above"])
def test_a_base_is_an_image_that_stands_on_no_other(folder, fake, base):
    publish(folder, fake)
    problems = ask(folder, fake, images={**STACKED, "top": {"base": base}})[2]
    assert len(problems) == 1
    assert problems[0].startswith("The image top is to be built on '%s', which is no image of the release that stands on no other: correct " % base)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"repo": ""}, "litefarm_repo is not set: name LiteFarm's git repository as litefarm_repo in main.yml."),
        ({"version": ""}, "litefarm_version is not set: name the tag, branch or commit to run as litefarm_version in main.yml."),
        ({"registry": ""}, "litefarm_registry is not set: name the registry of the images as litefarm_registry in main.yml."),
        ({"version": "v9"}, "There is no tag, branch or commit 'v9' in {path}: correct litefarm_version in main.yml."),
        ({"version": "0" * 40}, "There is no tag, branch or commit '" + "0" * 40 + "' in {path}: correct litefarm_version in main.yml."),
        (
            {"registry_password": "wrong"},
            "The registry {address} refuses the login of 'litefarm': correct vault_registry_password in the vault, or litefarm_username in main.yml.",
        ),
        (
            {"registry": "127.0.0.1:1/litefarm"},
            "The registry 127.0.0.1:1 cannot be reached (Connection refused): correct litefarm_registry in main.yml.",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(folder, fake, changes, sentence):
    _commit, images, problems = ask(folder, fake, **changes)
    assert problems == [sentence.format(path=folder.path, address=fake.address)]
    assert images["api"]["reference"] == "unresolved"


def test_an_unreachable_repository_is_one_sentence(folder, fake, tmp_path):
    problems = ask(folder, fake, repo=str(tmp_path / "none"))[2]
    assert len(problems) == 1
    assert problems[0].startswith("The git repository %s cannot be reached" % (tmp_path / "none"))
    assert problems[0].endswith("correct litefarm_repo in main.yml.")


def test_a_full_commit_is_enough(folder, fake):
    publish(folder, fake)
    assert ask(folder, fake, version=folder.first)[2] == []
