# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images a droplet does not need any more."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils.container_service.model import repository
from ansible_collections.litefarm.platform.plugins.modules import image_pull

OURS, WANTED = "registry:5000/litefarm/api", "registry:5000/litefarm/api@sha256:new"


class Engine:
    def __init__(self, images, used=()):
        self._images = images
        self._used = used

    def images(self):
        return self._images

    def image_id(self, reference):
        return next((image_id for image_id, names in self._images.items() if reference in names), None)

    def image_in_use(self, image_id):
        return image_id in self._used


@pytest.mark.parametrize(
    ("image", "name"),
    [(WANTED, OURS), (OURS + ":v1", OURS), ("redis:8", "redis"), ("h2non/imaginary:1.2.4@sha256:0", "h2non/imaginary"), ("redis", "redis")],
)
def test_an_images_name_has_neither_tag_nor_digest(image, name):
    assert repository(image) == name


def test_only_unused_images_of_the_same_name_go():
    images = {
        "serves": [OURS + "@sha256:1"], "retained": [OURS + "@sha256:2"], "failed": [OURS + "@sha256:3"], "wanted": [WANTED],
        "other": ["registry:5000/litefarm/webapp@sha256:4"], "built": [],
    }  # fmt: skip
    assert image_pull.unused(Engine(images, used=("serves", "retained")), [WANTED]) == ["failed"]
    assert image_pull.unused(Engine(images, used=("serves", "retained", "failed")), [WANTED]) == []
