# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import types
import urllib.error

import pytest
from lab import services
from lab.mirror import Seeder

IMAGES = types.SimpleNamespace(
    definition_id=lambda definition: "new", registry_answers=lambda: False, stand_in=lambda definition: f"litefarm-lab/standin-{definition}:new"
)


@pytest.fixture
def seeder(settings, monkeypatch):
    tags = {}

    def fetch(url, keys, headers):
        assert url.startswith("https://10.1.1.3:5001/v2/library/postgres/manifests/")
        try:
            return tags[url.rsplit("/", 1)[1]]
        except KeyError:
            raise urllib.error.HTTPError(url, 404, "unknown", None, None) from None

    monkeypatch.setattr(services, "fetch", fetch)
    found = Seeder(None, settings, IMAGES, None)
    found.tags = tags
    return found


@pytest.mark.parametrize(
    "tags",
    [
        {"17": "content", "lab-new": "content"},
        # The real image, pulled when a public registry answered.
        {"17": "real", "lab-public": "real", "lab-new": "content"},
    ],
)
def test_what_the_mirror_has_is_not_pushed_again(seeder, tags):
    seeder.tags.update(tags)
    assert seeder.image("postgres:17", "postgres") is None


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"17": "content"},
        # Another definition's content took the name since.
        {"17": "older", "lab-older": "older", "lab-new": "content"},
        {"lab-new": "content"},
    ],
)
def test_what_the_mirror_lacks_or_has_from_another_definition_is_pushed(seeder, tags):
    seeder.tags.update(tags)
    assert seeder.image("postgres:17", "postgres") == ("litefarm-lab/standin-postgres:new", "lab-new")
