# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry that has a newer image under the same tag: it is found, and released through the gate of its service."""

from __future__ import annotations

import json

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._container_service import images
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import Container
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import Service, ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.plan import would_change

from . import fakes

OLD, NEWER = "sha256:redis:8", "sha256:newer"


@pytest.fixture(name="droplet", params=["recreate", "rolling"])
def fixture_droplet(request):
    droplet = fakes.Droplet(request.param == "rolling")
    droplet.update = request.param
    fakes.run(droplet, request.param, "redis:8")
    return droplet


def served(droplet):
    return droplet.named("web").image_id


def test_without_a_newer_one_nothing_happens(droplet):
    container = droplet.named("web").id
    assert not would_change(fakes.release(droplet, droplet.update, "redis:8", pull="always"))[0]
    assert not fakes.run(droplet, droplet.update, "redis:8", pull="always").changed
    assert droplet.named("web").id == container


def test_a_newer_one_is_taken_only_if_it_is_asked_for(droplet):
    droplet.registry["redis:8"] = NEWER
    assert not fakes.run(droplet, droplet.update, "redis:8").changed
    assert would_change(fakes.release(droplet, droplet.update, "redis:8", pull="always"))[0]
    assert served(droplet) == OLD
    assert fakes.run(droplet, droplet.update, "redis:8", pull="always").changed
    assert served(droplet) == NEWER
    assert not fakes.run(droplet, droplet.update, "redis:8").changed


@pytest.mark.parametrize("bad", ["broken", "unwell"])
def test_a_newer_one_that_is_bad_gives_the_tag_back(droplet, bad):
    droplet.registry["redis:8"] = NEWER
    getattr(droplet, bad).add(NEWER)
    with pytest.raises(ServiceError, match="The previous release"):
        fakes.run(droplet, droplet.update, "redis:8", pull="always")
    assert (served(droplet), droplet.named("web").state, droplet.images["redis:8"]) == (OLD, "running", OLD)
    assert not fakes.run(droplet, droplet.update, "redis:8").changed


def test_a_killed_run_does_not_hide_which_image_was_good(droplet):
    droplet.registry["redis:8"] = NEWER
    droplet.unwell.add(NEWER)
    with pytest.raises(fakes.Killed):
        fakes.release(droplet, droplet.update, "redis:8", fault="create", pull="always").present()
    with pytest.raises(ServiceError):
        fakes.run(droplet, droplet.update, "redis:8", pull="always")
    assert (served(droplet), droplet.images["redis:8"]) == (OLD, OLD)


def test_the_base_of_a_built_image_is_pulled_and_given_back():
    droplet = fakes.Droplet(False)
    options = {"image_recipe": "RUN install pgbackrest\n"}
    fakes.run(droplet, "recreate", "postgres:17", **options)
    first = served(droplet)
    droplet.registry["postgres:17"] = NEWER
    fakes.run(droplet, "recreate", "postgres:17", pull="always", **options)
    second = served(droplet)
    assert second != first and len(droplet.built) == 2
    droplet.registry["postgres:17"] = "sha256:newest"
    built_next = Service(fakes.parameters("recreate", "postgres:17", **options)).built_name("sha256:newest")
    droplet.broken.add(built_next)
    with pytest.raises(ServiceError):
        fakes.run(droplet, "recreate", "postgres:17", pull="always", **options)
    assert (served(droplet), droplet.images["postgres:17"]) == (second, NEWER)
    assert not fakes.run(droplet, "recreate", "postgres:17", **options).changed


def test_a_fixed_digest_is_never_asked_for_anew():
    moving = {"redis": "redis:latest", "r.example.org:5000/redis:8": "r.example.org:5000/redis:8"}
    for image, tag in ({"redis@sha256:" + "a" * 64: None, "a" * 64: None, **moving}).items():
        assert Service(fakes.parameters("recreate", image, pull="always")).moving_tag == tag
        assert Service(fakes.parameters("recreate", image)).moving_tag is None


def test_a_kept_declaration_does_not_have_the_option():
    """Files of declarations are what earlier versions wrote."""
    assert "pull" not in Service(fakes.parameters("recreate", "redis:8", pull="always")).declaration()


class Engine:
    """Three services with images by tag, by tag and built, and by digest."""

    def __init__(self):
        self.asked = []
        self.digests = {"redis:8": "sha256:1", "postgres:17": "sha256:9"}
        self.known = {
            "id-redis": {"Created": "2026-06-01T00:00:00.5Z", "RepoDigests": ["redis@sha256:1"], "Config": {"Labels": None}},
            "id-built": {"Created": "2026-06-30T00:00:00Z", "RepoDigests": [], "Config": {"Labels": {"litefarm.platform.base": "postgres:17"}}},
            "postgres:17": {"Created": "2026-05-01T00:00:00Z", "RepoDigests": ["postgres@sha256:2"]},
            "id-imaginary": {"Created": "1970-01-01T00:00:00Z", "RepoDigests": ["h2non/imaginary@sha256:3"], "Config": {}},
        }

    def containers(self, name):
        image = {"redis": "redis:8", "postgres": "litefarm.local/postgres:1", "imaginary": "h2non/imaginary@sha256:3"}.get(name)
        image_id = {"postgres": "id-built"}.get(name, "id-%s" % name)
        labels = {"litefarm.platform.image": image}
        made = {"Id": "c", "Names": ["/" + name], "State": "running", "ImageID": image_id, "Labels": labels}
        return [Container(made), Container({**made, "Names": ["/%s.previous.1" % name], "ImageID": "other"})] if image else []

    def image(self, reference):
        return self.known.get(reference)

    def registry_digest(self, reference):
        self.asked.append(reference)
        if reference not in self.digests:
            raise ServiceError("The registry of %s cannot be asked: no such host" % reference)
        return self.digests[reference]


NOW = 1782864000  # 2026-07-01
DAY = 86400


def ask(engine, tmp_path, now=NOW):
    return images.third_party(["redis", "postgres", "imaginary", "absent"], engine, str(tmp_path / "run" / "registry.json"), now)


def test_age_and_newer_images(tmp_path):
    engine = Engine()
    assert ask(engine, tmp_path) == {
        "redis": {"image": "redis:8", "age": 30 * DAY, "newer": False, "problem": ""},
        "postgres": {"image": "postgres:17", "age": 61 * DAY, "newer": True, "problem": ""},
        "imaginary": {"image": "h2non/imaginary@sha256:3", "age": None, "newer": None, "problem": "its digest is fixed"},
    }


def test_a_registry_is_asked_once_in_an_hour(tmp_path):
    engine = Engine()
    first = ask(engine, tmp_path)
    assert ask(engine, tmp_path, NOW + 3599)["postgres"]["newer"] == first["postgres"]["newer"]
    assert sorted(engine.asked) == ["postgres:17", "redis:8"]
    ask(engine, tmp_path, NOW + 3600)
    # Also a clock that was set back, and a file that was cut off.
    (tmp_path / "run" / "registry.json").write_text(json.dumps({"redis:8": {"digest": "sha256:1", "time": NOW + 9999}}))
    ask(engine, tmp_path)
    (tmp_path / "run" / "registry.json").write_text("{")
    ask(engine, tmp_path)
    assert len(engine.asked) == 8


def test_a_registry_that_cannot_be_asked_says_why(tmp_path):
    engine = Engine()
    engine.digests = {}
    found = ask(engine, tmp_path)
    assert (found["redis"]["newer"], found["redis"]["problem"]) == (None, "The registry of redis:8 cannot be asked: no such host")
    assert found["redis"]["age"] == 30 * DAY
    assert not (tmp_path / "run").exists()


def test_an_image_that_was_never_pulled(tmp_path):
    engine = Engine()
    engine.known["id-redis"]["RepoDigests"] = None
    assert ask(engine, tmp_path)["redis"]["problem"] == "it was not pulled from a registry, or was removed"
