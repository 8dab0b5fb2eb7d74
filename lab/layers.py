# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives the lab's registry the layers of base images, as earlier releases would have: an engine that pushes compresses no layer that is there."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request

from . import mirror, services
from .keys import Keys
from .progress import step
from .settings import REGISTRY, Settings

# Repository of the registry to the public image that its images are built on. The export scheduler's are built on the API's.
STANDS_ON = {"litefarm/api": "node:22.21", "litefarm/webapp": "nginx:1.25.1"}
# Seconds for a layer of some hundred megabytes on a busy machine.
_PATIENCE = 300


def give_layers(settings: Settings, keys: Keys) -> None:
    for repository, public_name in STANDS_ON.items():
        name, tag = mirror.split_name(public_name)
        target = _Repository(f"https://{settings.public_address(REGISTRY)}:{services.REGISTRY_PORT}", repository, keys)
        layers = [layer["digest"] for layer in json.loads(mirror.manifest(settings, keys, name, tag))["layers"]]
        missing = [digest for digest in layers if not target.has(digest)]
        if missing:
            with step(f"layers of {public_name} for the registry's {repository}"):
                for digest in missing:
                    target.copy(f"{mirror.address(settings)}/v2/{name}/blobs/{digest}", digest)


class _Repository:
    """A repository of a registry that wants the lab's login."""

    def __init__(self, registry: str, name: str, keys: Keys):
        self.registry, self.blobs, self.opener = registry, f"{registry}/v2/{name}/blobs", services.opener(keys)
        login = base64.b64encode(f"{services.REGISTRY_USER}:{keys.password('registry')}".encode()).decode()
        self.login = {"Authorization": f"Basic {login}"}

    def has(self, digest: str) -> bool:
        try:
            self._ask("HEAD", f"{self.blobs}/{digest}").close()
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return False
        return True

    def copy(self, source: str, digest: str) -> None:
        with self._ask("POST", f"{self.blobs}/uploads/", b"") as begun:
            # Absolute or without its host, and with a question of its own, or none.
            place = urllib.parse.urljoin(self.registry, begun.headers["Location"])
        with self.opener.open(source, timeout=_PATIENCE) as blob:
            size = {"Content-Length": blob.headers["Content-Length"], "Content-Type": "application/octet-stream"}
            self._ask("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", blob, size).close()

    def _ask(self, method: str, url: str, body=None, headers=None):
        request = urllib.request.Request(url, body, {**self.login, **(headers or {})}, method=method)
        return self.opener.open(request, timeout=_PATIENCE)
