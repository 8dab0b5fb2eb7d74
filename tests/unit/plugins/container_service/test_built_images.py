# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image that is built on the droplet: only its base image and its recipe may ever change it."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import Service
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.plan import would_change

from . import fakes

RECIPE = "RUN install pgbackrest\n"


@pytest.fixture
def droplet():
    return fakes.Droplet(False)


def deployed(droplet, recipe=RECIPE, image="postgres:17", **more):
    release = fakes.run(droplet, "recreate", image, image_recipe=recipe, **more)
    return droplet.named("web").body["Image"], release


def test_it_is_built_once_and_then_found(droplet):
    image, _release = deployed(droplet)
    assert image.startswith("litefarm.local/postgres:")
    assert droplet.built == [(image, "FROM postgres:17\nRUN install pgbackrest\n")]
    container = droplet.named("web").id
    assert deployed(droplet)[0] == image and droplet.named("web").id == container
    assert len(droplet.built) == 1


def test_another_recipe_or_another_base_is_another_image(droplet):
    first, _release = deployed(droplet)
    second, _release = deployed(droplet, recipe="RUN install pgbackrest=2.55\n")
    assert first != second
    droplet.images["postgres:17"] = "sha256:newer"
    assert deployed(droplet)[0] not in (first, second)
    assert len(droplet.built) == 3


def test_a_base_that_was_removed_from_the_droplet_replaces_no_container(droplet, monkeypatch):
    """`docker image prune --all` takes it, and the registry may have a newer one by then."""
    image, _release = deployed(droplet)
    del droplet.images["postgres:17"]
    monkeypatch.setattr(fakes.Engine, "pull", lambda *arguments: pytest.fail("a newer base would replace the database's container"))
    container = droplet.named("web").id
    assert deployed(droplet)[0] == image and droplet.named("web").id == container


def test_the_base_of_the_present_image_is_kept(droplet):
    """Its own container was made from the base image before there was a recipe; that one goes, and the image stays."""
    deployed(droplet, recipe="")
    deployed(droplet, retain=0)
    assert "postgres:17" in droplet.images and droplet.removed_images == []


def test_what_is_no_more_used_is_removed(droplet):
    first, _release = deployed(droplet)
    second, _release = deployed(droplet, recipe="RUN other\n", retain=0)
    assert droplet.removed_images == ["sha256:%s" % first] and second in droplet.images


def test_a_check_run_builds_nothing(droplet):
    planned = fakes.release(droplet, "recreate", "postgres:17", image_recipe=RECIPE)
    assert would_change(planned)[0]
    assert droplet.built == []
    deployed(droplet)
    assert not would_change(fakes.release(droplet, "recreate", "postgres:17", image_recipe=RECIPE))[0]


def test_a_declaration_of_an_older_version_has_no_recipe():
    params = fakes.parameters("recreate", "postgres:17")
    del params["image_recipe"]
    assert Service(params).base is None
