# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's own images. A tag is the hash of everything that goes into the image, so a tag that exists is right."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import tempfile
import threading
from pathlib import Path

import docker

from . import apt, host, wheels
from .errors import LabError
from .locks import locked
from .progress import say, step
from .settings import DEBIAN, FOLDER, Settings

DEFINITIONS = FOLDER / "images"
LABEL = "litefarm.lab.image"

# Name to content and mode.
_Files = dict[str, tuple[bytes, int]]


class Images:
    def __init__(self, client: docker.DockerClient, settings: Settings):
        self.client = client
        self.settings = settings
        self.authorities = host.extra_authorities()
        self._lock = threading.Lock()
        self._registry_lock = threading.Lock()
        # Release of Debian to the image of it.
        self._bases: dict[str, str] = {}
        self._registry_answers: bool | None = None

    def base(self, debian: str = DEBIAN) -> str:
        """A release of Debian, ready to install packages on."""
        # Who asks for one that is there does not wait for another one.
        if debian not in self._bases:
            with self._lock, locked(self.settings.checkout / ".lab" / "image-base.lock"):
                if debian not in self._bases:
                    self._bases[debian] = self._find_base(debian)
        return self._bases[debian]

    def droplet(self, debian: str, flavour: str) -> str:
        arguments = {"BASE": self.base(debian), "FLAVOUR": flavour}
        return self._built("droplet", f"droplet-{debian}-{flavour}", arguments, {}, what=f"image of a droplet ({debian}, {flavour})")

    def services(self) -> str:
        return self.built("services", "services", {}, what="image of the lab's services")

    def storage(self) -> str:
        return self.built("storage", "storage", {}, what="image of the object storage")

    def stand_in(self, definition: str) -> str:
        return self.built(definition, f"standin-{definition}", {}, what=f"stand-in for {definition}")

    def definition_id(self, definition: str) -> str:
        """Changes with the definition, or with what it builds on."""
        return self._definition(definition, {"BASE": self.base()})[0]

    def registry_answers(self) -> bool:
        """Whether this machine's engine reaches a public image registry. Asked once, and only for a description."""
        with self._registry_lock:
            if self._registry_answers is None:
                try:
                    docker.from_env(timeout=10).images.get_registry_data(f"debian:{DEBIAN}")
                    self._registry_answers = True
                except (docker.errors.DockerException, OSError):
                    self._registry_answers = False
                    say("No public image registry answers: images are built from Debian packages")
            return self._registry_answers

    def built(self, definition: str, repository: str, arguments: dict[str, str], what: str) -> str:
        return self._built(definition, repository, {"BASE": self.base(), **arguments}, {}, what)

    def _built(self, definition: str, repository: str, arguments: dict[str, str], extra: dict[str, str], what: str) -> str:
        identity, files = self._definition(definition, arguments, extra)
        tag = f"litefarm-lab/{repository}:{identity}"
        if self._exists(tag):
            return tag
        # Labs of one checkout share images: who comes second waits instead of building the same once more.
        with locked(self.settings.checkout / ".lab" / f"image-{repository}.lock"):
            if not self._exists(tag):
                self._build(tag, files, arguments, repository, what)
        return tag

    def _build(self, tag: str, files: _Files, arguments: dict[str, str], repository: str, what: str) -> None:
        with step(what):
            if wheels.LIST in files:
                # Their hashes are in the list, so they need no part in the image's own.
                fetched = wheels.fetch(files[wheels.LIST][0].decode(), self.client.version()["Arch"])
                files = files | {f"wheels/{name}": (data, 0o644) for name, data in fetched.items()}
            try:
                # The host's network, because the default bridge of an engine ignores a small MTU of the uplink.
                self.client.images.build(
                    fileobj=io.BytesIO(_tar(files)), custom_context=True, tag=tag, buildargs=arguments, network_mode="host",
                    labels={LABEL: repository}, rm=True, forcerm=True,
                )
            except docker.errors.BuildError as error:
                log = "".join(line.get("stream", line.get("error", "")) for line in error.build_log)
                raise LabError(f"The {what} cannot be built: {error}\n{log[-3000:]}") from error

    def _definition(self, definition: str, arguments: dict[str, str], extra: dict[str, str] | None = None) -> tuple[str, _Files]:
        folder = DEFINITIONS / definition
        files = {
            str(path.relative_to(folder)): (path.read_bytes(), 0o755 if path.stat().st_mode & 0o100 else 0o644)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix not in (".crt", ".pyc")
        }
        files |= {f"ca-certificates/{name}.crt": (pem.encode(), 0o644) for name, pem in self.authorities.items()}
        # Docker's COPY refuses an empty pattern, and a folder needs a file to be one.
        files.setdefault("ca-certificates/.keep", (b"", 0o644))
        files |= {name: (text.encode(), 0o644) for name, text in (extra or {}).items()}
        digest = hashlib.sha256(_tar(files))
        digest.update(repr(sorted(arguments.items())).encode())
        return digest.hexdigest()[:12], files

    def _find_base(self, debian: str) -> str:
        mirror, options = apt.find_mirror(self.settings.debian_mirror), apt.find_options()
        extra = {"apt/apt.conf.d/80lab": apt.options_as_configuration(options)}
        if mirror:
            extra["apt/sources.list.d/debian.sources"] = mirror.sources(debian)
        # The hash of this says all there is to know about either origin, so a warm run asks no registry.
        identity = self._definition("base", {}, extra)[0]
        public = f"debian:{debian}"
        for origin in (public, _imported(debian, mirror) if mirror else None):
            tag = f"litefarm-lab/debian:{self._definition('base', {'FROM': str(origin)}, extra)[0]}"
            if origin and self._exists(tag):
                return tag
        if self.registry_answers():
            with step(f"Debian {debian} from the public registry"):
                self.client.images.pull("debian", tag=debian)
            origin = public
        elif mirror:
            origin = self._bootstrapped(debian, mirror, options)
        else:
            raise LabError(
                f"Neither a public image registry nor a Debian mirror is known here (image definition {identity}): "
                "set LITEFARM_DEBIAN_MIRROR to the address of one."
            )
        return self._built("base", "debian", {"FROM": origin}, extra, what=f"Debian {debian} as the lab's base")

    def _bootstrapped(self, debian: str, mirror: apt.Mirror, options: dict[str, str]) -> str:
        tag = _imported(debian, mirror)
        if self._exists(tag):
            return tag
        if not apt.can_bootstrap():
            with step("mmdebstrap from the distribution's packages"):
                host.install_packages("mmdebstrap", "debian-archive-keyring")
        with step(f"Debian {debian} from this machine's mirror"), tempfile.TemporaryDirectory() as folder:
            tarball = Path(folder) / "debian.tar"
            done = subprocess.run(apt.bootstrap_command(debian, mirror, options, tarball), capture_output=True, text=True)
            if done.returncode:
                raise LabError(f"mmdebstrap failed:\n{done.stderr[-3000:]}")
            repository, version = tag.split(":")
            # A repository's own label, as images.import_image cannot set one.
            self.client.api.import_image_from_file(
                str(tarball), repository=repository, tag=version, changes=['CMD ["bash"]', f"LABEL {LABEL}=debian"]
            )
        return tag

    def _exists(self, tag: str) -> bool:
        try:
            self.client.images.get(tag)
        except docker.errors.ImageNotFound:
            return False
        return True


def _imported(debian: str, mirror: apt.Mirror) -> str:
    return f"litefarm-lab/mmdebstrap:{debian}-{hashlib.sha256(repr(mirror).encode()).hexdigest()[:12]}"


def _tar(files: _Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (data, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def remove_all(client: docker.DockerClient) -> None:
    for image in client.images.list(filters={"label": LABEL}):
        for tag in image.tags:
            client.images.remove(tag, force=True)
