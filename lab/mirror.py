# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills the lab's image mirror: under each public name the real image, or a stand-in where no public registry answers."""

from __future__ import annotations

import hashlib
import urllib.error
from pathlib import Path

import docker
import yaml

from . import containers, services
from .errors import LabError
from .image_build import Images
from .keys import Keys
from .locks import locked
from .progress import say, step
from .settings import FOLDER, MIRROR, Settings

_PUBLIC_MARK = "lab-public"
# A registry that is not told answers in an old format, which differs from tag to tag.
_MANIFESTS = {
    "Accept": "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json"
}


def listed_images(path: Path = FOLDER / "images.yml") -> dict[str, str]:
    """Public name to the image definition of its stand-in."""
    return yaml.safe_load(path.read_text())


def split_name(public_name: str) -> tuple[str, str]:
    """What a registry calls an image: `redis:8` is `library/redis` and `8`."""
    repository, _colon, tag = public_name.partition(":")
    if not tag:
        raise LabError(f"images.yml: {public_name!r} has no tag; an image without one is a different image every week.")
    return (repository if "/" in repository else f"library/{repository}"), tag


def address(settings: Settings) -> str:
    return f"https://{settings.public_address(MIRROR)}:{services.MIRROR_PORT}"


def manifest(settings: Settings, keys: Keys, repository: str, tag: str) -> str:
    """What the mirror says of an image."""
    return services.fetch(f"{address(settings)}/v2/{repository}/manifests/{tag}", keys, _MANIFESTS)


class Seeder:
    def __init__(self, client: docker.DockerClient, settings: Settings, images: Images, keys: Keys):
        self.client, self.settings, self.images, self.keys = client, settings, images, keys

    def image(self, public_name: str, definition: str) -> tuple[str, str] | None:
        """The local image to push and the mark to push with it; None if the mirror has it."""
        repository, tag = split_name(public_name)
        mark = f"lab-{self.images.definition_id(definition)}"
        # A mark says what the name's present content was made from.
        content = self._digest(repository, tag)
        if content and content in (self._digest(repository, mark), self._digest(repository, _PUBLIC_MARK)):
            return None
        if self.images.registry_answers():
            try:
                with step(f"{public_name} from the public registry"):
                    self.client.images.pull(public_name)
                return public_name, _PUBLIC_MARK
            except docker.errors.APIError as error:
                say(f"{public_name} cannot be pulled ({error.explanation}): a stand-in is built")
        return self.images.stand_in(definition), mark

    def seed(self, public_name: str, definition: str) -> None:
        """The mirror's content outlives the lab: only the first lab of a machine pushes."""
        with locked(self.settings.checkout / ".lab" / f"mirror-{definition}.lock"):
            found = self.image(public_name, definition)
            if found is not None:
                self._push_as(public_name, *found)

    def _push_as(self, public_name: str, local: str, mark: str) -> None:
        repository, tag = split_name(public_name)
        port = containers.published_port(self.client, self.settings, "mirror", services.MIRROR_PORT)
        with step(f"{public_name} pushed to the lab's mirror"):
            for name in (tag, mark):
                self._push(local, f"127.0.0.1:{port}/{repository}", name)

    def _push(self, local: str, repository: str, tag: str) -> None:
        self.client.images.get(local).tag(repository, tag)
        try:
            for line in self.client.images.push(repository, tag=tag, stream=True, decode=True):
                if "error" in line:
                    raise LabError(f"{local} cannot be pushed to the lab's mirror: {line['error']}")
        finally:
            self.client.images.remove(f"{repository}:{tag}", noprune=True)

    def _digest(self, repository: str, tag: str) -> str | None:
        try:
            found = manifest(self.settings, self.keys, repository, tag)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return hashlib.sha256(found.encode()).hexdigest()
