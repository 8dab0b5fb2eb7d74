# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `python -m lab` can be told to do."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import docker

from . import containers, droplets, engine, host, image_build, layers, mirror, networks, services
from .errors import LabError
from .inventory import Overlay, droplets_of, supplied_secrets
from .keys import Keys, known_hosts, write_private
from .locks import locked
from .progress import say, step
from .repository import FIRST_RELEASE, SAMPLE, SAMPLE_FARM, SampleRepository, copy_local, is_local
from .settings import ACME, BUILDER_DROPLET, DROPLETS, GIT, LABEL, MIRROR, REGISTRY, STORAGE, Droplet, Settings
from .settings import environment_of, find_droplet, main_of, members_of

_SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


class Lab:
    def __init__(self, settings: Settings):
        self.settings = settings
        self.keys = Keys(settings.state / "keys")
        self.sample = SampleRepository(settings.state / "git")

    def up(self, environments: list[str], names: list[str], flavour: str) -> None:
        environments, wanted = selected(self.settings, environments, names)
        client = engine.ensure()
        with self._locked():
            self.settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            networks.ensure(client, self.settings)
            repository = self._repositories()
            self._make(client, wanted, flavour)
            self._write_files(client, environments, repository)
        running = ", ".join(f"{name} {self._address(name)}" for name in self._running_droplets(client))
        say(f"The lab {self.settings.lab!r} runs: {running}")

    def recreate(self, name: str, flavour: str) -> None:
        droplet = find_droplet(name)
        client = engine.connect()
        with self._locked():
            if not self.settings.state.exists():
                raise LabError(f"The lab {self.settings.lab!r} is not up: run `python -m lab up` first.")
            self._close_connections()
            containers.remove(client, self.settings, droplet.name, volumes=True)
            self._droplet(client, image_build.Images(client, self.settings), droplet, flavour)

    def down(self, with_images: bool) -> None:
        client = engine.connect()
        with self._locked():
            self._close_connections()
            containers.remove_all(client, self.settings)
            networks.remove(client, self.settings)
            if with_images:
                containers.remove_kept(client)
                image_build.remove_all(client)
            shutil.rmtree(self.settings.state, ignore_errors=True)
        say(f"Nothing of the lab {self.settings.lab!r} is left")

    def status(self) -> dict[str, object]:
        client = engine.connect()
        settings, state = self.settings, self.settings.state
        found = client.containers.list(all=True, filters={"label": f"{LABEL}={settings.lab}"}, ignore_removed=True)
        states = {container.labels[containers.PART]: container.status for container in found if containers.PART in container.labels}
        return {
            "lab": settings.lab,
            "up": bool(states) and all(status == "running" for status in states.values()),
            "parts": dict(sorted(states.items())),
            "droplets": {
                droplet.name: {
                    "container": settings.name(droplet.name),
                    "state": states[droplet.name],
                    "public_address": settings.public_address(droplet.number),
                    "private_address": settings.private_address(droplet.number),
                    "host_names": list(droplet.host_names),
                }
                for droplet in _all_droplets()
                if droplet.name in states
            },
            "networks": {
                kind: {"name": settings.name(kind), "subnet": str(subnet)}
                for kind, subnet in ((networks.PUBLIC, settings.public), (networks.PRIVATE, settings.private))
            },
            "endpoints": self._endpoints(),
            "paths": {
                "state": str(state),
                "ssh_key": str(self.keys.path("ssh-operator.key")),
                "known_hosts": str(state / "known_hosts"),
                "ca": str(state / "ca.pem"),
                "ca_bundle": str(state / "ca-bundle.pem"),
                "ansible_env": str(state / "ansible.env"),
                "vault_password": str(state / "vault-password"),
                "inventories": {path.name: str(path) for path in sorted((state / "inventory").glob("*"))},
            },
            "releases": {tag: self.sample.commit_of(tag) for tag in self.sample.releases()} if self.sample.path.exists() else {},
        }

    def names(self) -> dict[str, str]:
        """Public host name to address, of the droplets that run."""
        running = self._running_droplets(engine.connect())
        return {name: self._address(droplet.name) for droplet in _all_droplets() if droplet.name in running for name in droplet.host_names}

    def storage_fault(self, fault: str, bucket: str) -> str:
        """The object storage holds everything in memory: a fault is lifted by `none`, never by a restart, which would lose the buckets."""
        if not self.settings.state.exists():
            raise LabError(f"The lab {self.settings.lab!r} is not up: run `python -m lab up` first.")
        return services.set_storage_fault(self.settings, self.keys, fault, bucket)

    def sample_release(self, tag: str, settings: list[str]) -> str:
        with self._locked():
            self.sample.ensure()
            return self.sample.release(tag, settings)

    def _make(self, client: docker.DockerClient, wanted: list[Droplet], flavour: str) -> None:
        made = image_build.Images(client, self.settings)
        made.base()
        seeder = mirror.Seeder(client, self.settings, made, self.keys)
        self.keys.authority()
        with ThreadPoolExecutor(max_workers=3) as pool:
            serving = pool.submit(services.ensure_services, client, self.settings, made, self.keys)

            def seed(public_name: str, definition: str) -> None:
                serving.result()
                seeder.seed(public_name, definition)

            # Images are made one after the other where droplets share them, side by side where they do not.
            flavours = {BUILDER_DROPLET: "baked", **{droplet: flavour for droplet in wanted}}
            tasks = [serving, pool.submit(self._droplets, client, made, flavours)]
            tasks.append(pool.submit(services.ensure_storage, client, self.settings, made, self.keys))
            tasks += [pool.submit(seed, *item) for item in mirror.listed_images().items()]
            for task in tasks:
                task.result()
        layers.give_layers(self.settings, self.keys)

    def _droplets(self, client: docker.DockerClient, made: image_build.Images, flavours: dict[Droplet, str]) -> None:
        for droplet, flavour in flavours.items():
            droplets.ensure(client, self.settings, made, self.keys, droplet, flavour)
        for droplet in flavours:
            droplets.wait_for_ssh(self.settings, droplet)

    def _droplet(self, client: docker.DockerClient, made: image_build.Images, droplet: Droplet, flavour: str) -> None:
        with step(f"a fresh droplet {droplet.name}"):
            self._droplets(client, made, {droplet: flavour})

    def _repositories(self) -> dict[str, str]:
        """What the overlay says about the application's source."""
        served = self.settings.state / "git"
        served.mkdir(parents=True, exist_ok=True)
        chosen, version = self.settings.repository, self.settings.version
        if SAMPLE.is_dir():
            self.sample.ensure()
        if chosen is None:
            return {
                "litefarm_repo": f"git://{self.settings.public_address(GIT)}/sample.git",
                "litefarm_version": version or FIRST_RELEASE,
                **SAMPLE_FARM,
            }
        if is_local(chosen):
            chosen = f"git://{self.settings.public_address(GIT)}/{copy_local(chosen, served).name}"
        return {"litefarm_repo": chosen, **({"litefarm_version": version} if version else {})}

    def _endpoints(self) -> dict[str, str]:
        address = self.settings.public_address
        return {
            "registry": f"https://{address(REGISTRY)}:{services.REGISTRY_PORT}",
            "mirror": f"https://{address(MIRROR)}:{services.MIRROR_PORT}",
            "acme": f"https://{address(ACME)}:{services.ACME_PORT}/dir",
            "acme_roots": f"https://{address(ACME)}:{services.ACME_MANAGEMENT_PORT}/roots/0",
            "git": f"git://{address(GIT)}/",
            "storage": f"https://{address(STORAGE)}",
        }

    def _write_files(self, client: docker.DockerClient, environments: list[str], repository: dict[str, str]) -> None:
        state, settings, keys = self.settings.state, self.settings, self.keys
        authorities = self._authorities()
        (state / "ca.pem").write_text("".join(authorities.values()))
        system = _SYSTEM_BUNDLE.read_text() if _SYSTEM_BUNDLE.exists() else ""
        (state / "ca-bundle.pem").write_text(system + "".join(authorities.values()))
        (state / "known_hosts").write_text(
            known_hosts({self._address(name): keys.ssh(name).public for name in self._running_droplets(client)})
        )
        password_file = state / "vault-password"
        if not password_file.exists():
            write_private(password_file, keys.password("vault"))

        endpoints = self._endpoints()
        lab_variables = {
            **repository,
            "litefarm_registry": f"{endpoints['registry'].removeprefix('https://')}/litefarm",
            "litefarm_registry_username": services.REGISTRY_USER,
            "litefarm_team_keys": [keys.ssh("operator").public.strip()],
            "litefarm_ca_certificates": {**authorities, **host.extra_authorities()},
            "docker_registry_mirrors": [endpoints["mirror"]],
            "nginx_acme_directory": endpoints["acme"],
            "litefarm_spaces_endpoint": endpoints["storage"],
        }
        # Those of earlier runs too: what they say about authorities and the repository may have changed.
        inventories = state / "inventory"
        written = {*environments, *(path.name for path in inventories.glob("*"))}
        for name in sorted(written | {main_of(name) for name in written}):
            overlay = Overlay(settings, name)
            overlay.write([BUILDER_DROPLET, *members_of(name)], lab_variables, keys)
            if name == main_of(name):
                overlay.write_vault(supplied_secrets(name, keys), keys.password("vault"))
        variables = {
            "LITEFARM_LAB": settings.lab,
            "ANSIBLE_CONFIG": settings.checkout / "ansible.cfg",
            "ANSIBLE_INVENTORY": inventories / environments[0],
            "ANSIBLE_VAULT_PASSWORD_FILE": password_file,
            "ANSIBLE_SSH_CONTROL_PATH_DIR": self._connections(),
            "SSL_CERT_FILE": state / "ca-bundle.pem",
            "REQUESTS_CA_BUNDLE": state / "ca-bundle.pem",
            "AWS_CA_BUNDLE": state / "ca-bundle.pem",
        }
        (state / "ansible.env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))

    def _authorities(self) -> dict[str, str]:
        """The lab's own, and every root the ACME authority has had: certificates that it issued before a restart stay good."""
        folder = self.settings.state / "acme-roots"
        folder.mkdir(exist_ok=True)
        current = services.acme_root(self.settings, self.keys)
        known = sorted(folder.glob("*.pem"))
        if current not in [path.read_text() for path in known]:
            (folder / f"{len(known) + 1:03}.pem").write_text(current)
        roots = {f"lab-acme-{path.stem}": path.read_text() for path in sorted(folder.glob("*.pem"))}
        return {"lab": self.keys.authority().public, **roots}

    def _running_droplets(self, client: docker.DockerClient) -> list[str]:
        running = client.containers.list(filters={"label": f"{LABEL}={self.settings.lab}"}, ignore_removed=True)
        parts = {container.labels.get(containers.PART) for container in running}
        return [droplet.name for droplet in _all_droplets() if droplet.name in parts]

    def _address(self, name: str) -> str:
        return self.settings.public_address(find_droplet(name).number)

    def _connections(self) -> Path:
        # Sockets have short names or none, so they are not in the checkout.
        return Path("~/.ansible/cp").expanduser() / self.settings.lab

    def _close_connections(self) -> None:
        """Shared SSH connections outlive a droplet, and would make its successor look dead."""
        for control in self._connections().glob("*"):
            subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={control}", "lab"], capture_output=True, check=False)
            control.unlink(missing_ok=True)

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self.settings.state.with_suffix(".lock"))


def selected(settings: Settings, environments: list[str], names: list[str]) -> tuple[list[str], list[Droplet]]:
    """The environments whose inventories are written, the main one first, and the droplets that run."""
    named = [find_droplet(name) for name in names]
    found = [name for name in map(environment_of, named) if name]
    # Each once, in the order of their first mention.
    environments = list(dict.fromkeys([*environments, *found])) or ["production"]
    meant = [name for environment in environments for name in droplets_of(settings.inventories(environment))]
    # A variation has the droplets of its main environment, which may be named beside it.
    return environments, named or [find_droplet(name) for name in dict.fromkeys(meant)]


def _all_droplets() -> list[Droplet]:
    return [BUILDER_DROPLET, *(droplet for environment in DROPLETS.values() for droplet in environment)]
