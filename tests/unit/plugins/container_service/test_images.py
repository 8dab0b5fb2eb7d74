# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images a droplet does not need any more."""

from __future__ import annotations

import os

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._container_service import host
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import ServiceError, repository
from ansible_collections.litefarm.platform.plugins.modules import image_pull

from . import fakes

OURS, WANTED = "registry:5000/litefarm/api", "registry:5000/litefarm/api@sha256:new"


@pytest.mark.parametrize(
    ("image", "name"),
    [(WANTED, OURS), (OURS + ":v1", OURS), ("redis:8", "redis"), ("h2non/imaginary:1.2.4@sha256:0", "h2non/imaginary"), ("redis", "redis")],
)
def test_an_images_name_has_neither_tag_nor_digest(image, name):
    assert repository(image) == name


class Images:
    """A droplet with images beside those of its service's containers."""

    def __init__(self, images, used=()):
        self.droplet = fakes.Droplet(True)
        for number, image in enumerate(used):
            fakes.Engine(self.droplet).create("other%d" % number, {"Image": image, "Labels": {}, "Env": []})
        self.droplet.images.update({image: "sha256:%s" % image for image in images})

    def removed_by(self, image, operation="present", **more):
        fakes.run(self.droplet, "rolling", image, operation=operation, **more)
        return [image_id.removeprefix("sha256:") for image_id in self.droplet.removed_images]


FAILED, RETAINED, OTHER = OURS + "@sha256:3", OURS + "@sha256:2", "registry:5000/litefarm/webapp@sha256:4"


def test_only_unused_images_of_the_same_name_go():
    assert Images([FAILED, RETAINED, OTHER, WANTED], used=[RETAINED]).removed_by(WANTED) == [FAILED]
    assert Images([FAILED, RETAINED, OTHER, WANTED], used=[RETAINED, FAILED]).removed_by(WANTED) == []


def test_images_with_tags_are_not_all_the_platforms():
    """Another postgres that a person has on the droplet is not a failed release."""
    assert Images(["postgres:16", "postgres:17"]).removed_by("postgres:17") == []


def test_what_another_run_has_pulled_and_not_started_stays_until_nobody_can_wait_for_it_any_more():
    seen = Images([WANTED])
    image_pull.pull(fakes.Engine(seen.droplet), fakes.Host(seen.droplet), [FAILED, OTHER])
    assert seen.removed_by(WANTED) == []
    seen.droplet.clock.sleep(host.WANTED_FOR + 1)
    assert seen.removed_by(OURS + "@sha256:5") == [FAILED]


def test_what_this_run_has_pulled_for_other_services_stays():
    seen = Images([])
    pulled = [WANTED, OTHER, OURS + "-scheduler@sha256:6"]
    image_pull.pull(fakes.Engine(seen.droplet), fakes.Host(seen.droplet), pulled)
    assert seen.removed_by(WANTED) == []
    assert set(pulled) <= set(seen.droplet.images)


def test_an_image_that_is_there_already_is_wanted_too():
    seen = Images([FAILED])
    pulled = []
    engine = fakes.Engine(seen.droplet)
    engine.pull = pulled.append
    image_pull.pull(engine, fakes.Host(seen.droplet), [FAILED])
    assert pulled == [] and seen.removed_by(WANTED) == []


def test_failed_releases_do_not_fill_the_droplet():
    """The next release removes what the one before has left, also if none of them is ever committed."""
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", OURS + "@sha256:0")
    for number in range(1, 10):
        image = "%s@sha256:%d" % (OURS, number)
        image_pull.pull(fakes.Engine(droplet), fakes.Host(droplet), [image])
        droplet.broken.add(image)
        with pytest.raises(ServiceError):
            fakes.run(droplet, "rolling", image)
        droplet.clock.sleep(host.WANTED_FOR + 1)
    assert sorted(droplet.images) == ["%s@sha256:%d" % (OURS, number) for number in (0, 9)]
    assert len(droplet.folders) == 2


def test_releases_that_succeed_leave_nothing_wanted():
    droplet = fakes.Droplet(True)
    for number in range(5):
        image = "%s@sha256:%d" % (OURS, number)
        image_pull.pull(fakes.Engine(droplet), fakes.Host(droplet), [image])
        fakes.run(droplet, "rolling", image, retain=1)
    assert sorted(droplet.images) == ["%s@sha256:%d" % (OURS, number) for number in (3, 4)]
    assert droplet.wanted == {}


def test_an_image_of_a_failed_release_that_another_run_wants_stays_and_is_found_later():
    droplet = fakes.Droplet(True)
    fakes.run(droplet, "rolling", "app:0")
    droplet.broken.add("app:1")
    with pytest.raises(ServiceError):
        fakes.run(droplet, "rolling", "app:1")
    image_pull.pull(fakes.Engine(droplet), fakes.Host(droplet), ["app:1"])
    fakes.run(droplet, "rolling", "app:2", retain=0)
    assert "app:1" in droplet.images
    droplet.clock.sleep(host.WANTED_FOR + 1)
    fakes.run(droplet, "rolling", "app:3", retain=0)
    assert sorted(droplet.images) == ["app:3"]


def test_wanted_images_on_a_disk(tmp_path):
    droplet = host.Host("web", str(tmp_path / "state"))
    assert droplet.wanted_images(0) == []
    droplet.want_image(WANTED)
    droplet.want_image(OTHER)
    now = os.stat(tmp_path / "state" / "images_wanted").st_mtime
    assert sorted(droplet.wanted_images(now)) == sorted([WANTED, OTHER])
    droplet.forget_wanted_image(OTHER)
    droplet.forget_wanted_image(OTHER)
    assert droplet.wanted_images(now) == [WANTED]
    assert droplet.wanted_images(now + host.WANTED_FOR + 5) == []
    assert os.listdir(tmp_path / "state" / "images_wanted") == []
