# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of the lab is a container: described once, made if missing, started if stopped, made anew if described differently."""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
from dataclasses import dataclass, field

import docker

from .networks import PRIVATE, PUBLIC
from .progress import say
from .settings import LABEL, Settings

PART, SPEC, KEPT = "litefarm.lab.part", "litefarm.lab.spec", "litefarm.lab.kept"


@dataclass(frozen=True)
class File:
    content: str
    mode: int = 0o644


@dataclass(frozen=True)
class Part:
    name: str
    image: str
    number: int
    command: list[str] | None = None
    private: bool = False
    aliases: tuple[str, ...] = ()
    files: dict[str, File] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    # Kept when the lab is taken down, and shared by all labs, like the images they hold.
    kept_volumes: dict[str, str] = field(default_factory=dict)
    read_only_folders: dict[str, str] = field(default_factory=dict)
    published: tuple[int, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    options: dict[str, object] = field(default_factory=dict)
    # A droplet holds what was deployed to it and is not replaced because the definition of its image has changed.
    precious: bool = False

    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


def get(client: docker.DockerClient, settings: Settings, part: str):
    try:
        return client.containers.get(settings.name(part))
    except docker.errors.NotFound:
        return None


def ensure(client: docker.DockerClient, settings: Settings, part: Part) -> bool:
    """True if the container was made now."""
    container = get(client, settings, part.name)
    if container is not None and (part.precious or container.labels.get(SPEC) == part.fingerprint()):
        try:
            _attach(client, settings, part, container)
            if container.status != "running":
                container.start()
            return False
        except docker.errors.APIError:
            # Its network or a volume is gone: nothing that can be started again.
            pass
    remove(client, settings, part.name, volumes=part.precious)
    _create(client, settings, part).start()
    return True


def _attach(client: docker.DockerClient, settings: Settings, part: Part, container) -> None:
    """A network that was removed under a container, and made again, is another network to the engine."""
    attached = container.attrs["NetworkSettings"]["Networks"]
    for name, endpoint in _endpoints(settings, part).items():
        network = client.networks.get(name)
        if name in attached:
            if attached[name]["NetworkID"] in ("", network.id):
                continue
            network.disconnect(container, force=True)
        network.connect(container, **endpoint)


def _endpoints(settings: Settings, part: Part) -> dict[str, dict]:
    endpoints = {
        settings.name(PUBLIC): {
            "ipv4_address": settings.public_address(part.number), "aliases": [part.name, *part.aliases],
        }
    }
    if part.private:
        endpoints[settings.name(PRIVATE)] = {
            "ipv4_address": settings.private_address(part.number), "aliases": [f"{part.name}.private"],
        }
    return endpoints


def _create(client: docker.DockerClient, settings: Settings, part: Part):
    endpoints = _endpoints(settings, part)
    public = settings.name(PUBLIC)
    volumes = {settings.name(name): {"bind": path, "mode": "rw"} for name, path in part.volumes.items()}
    for name in part.volumes:
        client.volumes.create(settings.name(name), labels={**settings.labels, PART: part.name})
    for name, path in part.kept_volumes.items():
        client.volumes.create(name, labels={KEPT: part.name})
        volumes[name] = {"bind": path, "mode": "rw"}
    volumes |= {source: {"bind": path, "mode": "ro"} for source, path in part.read_only_folders.items()}
    # Only a complete container gets the part's name: whoever is killed here leaves nothing that looks finished.
    unfinished = f"{part.name}-unfinished"
    remove(client, settings, unfinished)
    container = client.containers.create(
        part.image,
        command=part.command,
        name=settings.name(unfinished),
        hostname=part.name,
        labels={**settings.labels, PART: part.name, SPEC: part.fingerprint()},
        network=public,
        networking_config={public: client.api.create_endpoint_config(**endpoints.pop(public))},
        volumes=volumes,
        ports={f"{port}/tcp": ("127.0.0.1", None) for port in part.published},
        environment=part.environment,
        restart_policy={"Name": "unless-stopped"},
        **part.options,
    )
    # Older engines take only one network when a container is created.
    for name, endpoint in endpoints.items():
        client.networks.get(name).connect(container, **endpoint)
    container.put_archive("/", archive(part.files))
    container.rename(settings.name(part.name))
    return container


def archive(files: dict[str, File]) -> bytes:
    """Files by absolute path, as a tar that always has the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, file in sorted(files.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            data = file.content.encode()
            entry.size, entry.mode = len(data), file.mode
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def remove(client: docker.DockerClient, settings: Settings, part: str, volumes: bool = False) -> None:
    container = get(client, settings, part)
    if container is not None:
        container.remove(force=True, v=True)
    if volumes:
        for volume in client.volumes.list(filters={"label": [f"{LABEL}={settings.lab}", f"{PART}={part}"]}):
            volume.remove(force=True)


def remove_all(client: docker.DockerClient, settings: Settings) -> None:
    filters = {"label": f"{LABEL}={settings.lab}"}
    for container in client.containers.list(all=True, filters=filters, ignore_removed=True):
        container.remove(force=True, v=True)
    for volume in client.volumes.list(filters=filters):
        volume.remove(force=True)


def remove_kept(client: docker.DockerClient) -> None:
    for volume in client.volumes.list(filters={"label": KEPT}):
        try:
            volume.remove()
        except docker.errors.APIError as error:
            say(f"Volume {volume.name} stays: another lab uses it ({error.explanation})")


def published_port(client: docker.DockerClient, settings: Settings, part: str, port: int) -> int:
    """The port of this machine behind which the engine shows a part's port; it changes with every start."""
    for _attempt in range(50):
        bindings = client.containers.get(settings.name(part)).ports.get(f"{port}/tcp")
        if bindings:
            return int(bindings[0]["HostPort"])
        time.sleep(0.1)
    raise RuntimeError(f"{part} publishes no port {port}")
