# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
import types
import urllib.error

import pytest
from lab import layers, services
from lab.settings import FOLDER

KEYS = types.SimpleNamespace(password=lambda what: f"{what}-password")
MIRROR, REGISTRY = "https://10.1.1.3:5001/v2/library/node/blobs/", "https://10.1.1.2:5000/v2/litefarm/api/blobs/"


class Answer(io.BytesIO):
    def __init__(self, content=b"", **headers):
        super().__init__(content)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Registry:
    """Mirror and registry: what the second has is by digest, and with what login it was given."""

    def __init__(self):
        self.blobs, self.logins = {"sha256:there": b"there"}, set()

    def open(self, request, timeout):
        if isinstance(request, str):
            content = request.removeprefix(MIRROR + "sha256:").encode()
            return Answer(content, Content_Length=str(len(content)))
        self.logins.add(request.get_header("Authorization"))
        if request.method == "HEAD" and request.full_url.removeprefix(REGISTRY) not in self.blobs:
            raise urllib.error.HTTPError(request.full_url, 404, "unknown", None, None)
        if request.method == "PUT":
            assert request.full_url.startswith(REGISTRY + "uploads/1?_state=x&digest=")
            self.blobs[request.full_url.rpartition("=")[2]] = request.data.read()
        return Answer(Location="/v2/litefarm/api/blobs/uploads/1?_state=x")


@pytest.fixture
def registry(monkeypatch):
    found = Registry()
    manifest = {"layers": [{"digest": "sha256:there"}, {"digest": "sha256:new"}]}
    monkeypatch.setattr(services, "opener", lambda keys: found)
    monkeypatch.setattr(services, "fetch", lambda url, keys, headers: json.dumps(manifest))
    monkeypatch.setattr(layers, "STANDS_ON", {"litefarm/api": "node:22.21"})
    return found


def test_the_registry_gets_the_layers_that_it_lacks(settings, registry):
    layers.give_layers(settings, KEYS)
    assert registry.blobs == {"sha256:there": b"there", "sha256:new": b"new"}
    # litefarm:registry-password
    assert registry.logins == {"Basic bGl0ZWZhcm06cmVnaXN0cnktcGFzc3dvcmQ="}


def test_what_stands_there_is_what_the_sample_is_built_on():
    recipes = {repository: (FOLDER / "sample" / "packages" / repository.rpartition("/")[2] / "prod.Dockerfile").read_text() for repository in layers.STANDS_ON}
    assert {repository: recipe.rpartition("FROM ")[2].split()[0] for repository, recipe in recipes.items()} == layers.STANDS_ON
