# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the outside world provides in production: registry, Docker Hub (the mirror), Let's Encrypt, object storage, a git server."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping

import docker

from .containers import File, Part, ensure
from .errors import LabError
from .image_build import Images
from .keys import Keys
from .progress import step
from .settings import ACME, BUCKETS, GIT, MIRROR, READ_ONLY_KEYS, REGISTRY, SPACES, SPARE_BUCKETS, SPARE_KEY, STORAGE, Settings

REGISTRY_PORT, MIRROR_PORT, ACME_PORT, ACME_MANAGEMENT_PORT = 5000, 5001, 14000, 15000
REGISTRY_USER = "litefarm"

_REGISTRY_CONFIG = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {storage}}}, delete: {{enabled: true}}}}
http: {{addr: ":{port}", tls: {{certificate: /etc/lab/server.pem, key: /etc/lab/server.key}}}}
"""
_STORAGE = "/var/lib/registry"
_REGISTRY_LOGIN = "auth: {htpasswd: {realm: lab, path: /etc/lab/htpasswd}}\n"


def ensure_services(client: docker.DockerClient, settings: Settings, images: Images, keys: Keys) -> None:
    image = images.services()
    parts = [
        _registry(settings, keys, image, "registry", REGISTRY, REGISTRY_PORT, login=True, volumes={"registry": _STORAGE}),
        _registry(settings, keys, image, "mirror", MIRROR, MIRROR_PORT, login=False, kept_volumes={"litefarm-lab-mirror": _STORAGE}),
        _acme(settings, keys, image),
        _git(settings, image),
    ]
    for part in parts:
        ensure(client, settings, part)
    with step("registry, mirror and certificate authority answer"):
        for url in (
            f"https://{settings.public_address(REGISTRY)}:{REGISTRY_PORT}/v2/",
            f"https://{settings.public_address(MIRROR)}:{MIRROR_PORT}/v2/",
            f"https://{settings.public_address(ACME)}:{ACME_PORT}/dir",
        ):
            _wait_for(url, keys)


def ensure_storage(client: docker.DockerClient, settings: Settings, images: Images, keys: Keys) -> None:
    ensure(client, settings, storage_part(settings, images.storage(), keys))
    with step("object storage answers"):
        _wait_for(f"https://{settings.public_address(STORAGE)}/lab/health", keys)


def acme_root(settings: Settings, keys: Keys) -> str:
    """The authority's root: a new one whenever the authority starts."""
    return fetch(f"https://{settings.public_address(ACME)}:{ACME_MANAGEMENT_PORT}/roots/0", keys)


def set_storage_fault(settings: Settings, keys: Keys, fault: str, bucket: str) -> str:
    """Have the object storage fail from now on. It returns its fault as JSON."""
    url = f"https://{settings.public_address(STORAGE)}/lab/faults"
    body = json.dumps({"fault": fault, "bucket": bucket}).encode()
    request = urllib.request.Request(url, body, {"X-Lab-Token": keys.token("storage-faults")}, method="PUT")
    try:
        with opener(keys).open(request, timeout=10) as answer:
            return answer.read().decode().strip()
    except OSError as error:
        raise LabError(f"The lab's object storage does not take the fault: {error}. Run `python -m lab up`, which starts what is not running.") from error


def fetch(url: str, keys: Keys, headers: Mapping[str, str] | None = None) -> str:
    with opener(keys).open(urllib.request.Request(url, headers=dict(headers or {})), timeout=10) as answer:
        return answer.read().decode()


def opener(keys: Keys) -> urllib.request.OpenerDirector:
    trust = ssl.create_default_context(cadata=keys.authority().public)
    # Addresses of the lab are never behind this machine's proxy.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))


def _wait_for(url: str, keys: Keys, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fetch(url, keys)
            return
        except urllib.error.HTTPError as error:
            # The registry wants a login: it answers.
            if error.code == 401:
                return
            raise
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > deadline:
                raise LabError(f"{url} does not answer: {error}. See `docker logs` of the lab's container.") from error
            time.sleep(0.2)


def _tls(settings: Settings, keys: Keys, part: str, number: int, *names: str) -> dict[str, File]:
    pair = keys.certificate(part, settings.public_address(number), *names)
    return {"/etc/lab/server.pem": File(pair.public), "/etc/lab/server.key": File(pair.private, 0o600)}


def _registry(settings: Settings, keys: Keys, image: str, name: str, number: int, port: int, login: bool, **volumes) -> Part:
    files = _tls(settings, keys, name, number)
    configuration = _REGISTRY_CONFIG.format(port=port, storage=_STORAGE)
    if login:
        configuration += _REGISTRY_LOGIN
        files["/etc/lab/htpasswd"] = File(keys.htpasswd(REGISTRY_USER, keys.password("registry")), 0o600)
    files["/etc/lab/registry.yml"] = File(configuration)
    return Part(
        name=name, image=image, number=number, command=["docker-registry", "serve", "/etc/lab/registry.yml"],
        files=files, published=(port,), options={"init": True}, **volumes,
    )


def _acme(settings: Settings, keys: Keys, image: str) -> Part:
    configuration = {
        "pebble": {
            "listenAddress": f"0.0.0.0:{ACME_PORT}",
            "managementListenAddress": f"0.0.0.0:{ACME_MANAGEMENT_PORT}",
            "certificate": "/etc/lab/server.pem",
            "privateKey": "/etc/lab/server.key",
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
            # As long as Let's Encrypt's.
            "certificateValidityPeriod": 90 * 24 * 3600,
        }
    }
    return Part(
        name="acme", image=image, number=ACME, command=["pebble", "-config", "/etc/lab/pebble.json"],
        files={**_tls(settings, keys, "acme", ACME), "/etc/lab/pebble.json": File(json.dumps(configuration))},
        # Pebble likes to make clients wait and to refuse a few of their requests; that tests clients, not deployments.
        environment={"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"},
        options={"init": True},
    )


def storage_part(settings: Settings, image: str, keys: Keys) -> Part:
    """It holds what it is given in memory, so its buckets are gone when it stops."""
    configuration = {"endpoint": SPACES, "token": keys.token("storage-faults"), "keys": {}}

    def admit(name: str, buckets: Iterable[str], writes: bool = True) -> None:
        key = keys.access_key(name)
        configuration["keys"][key.id] = {"secret": key.secret, "buckets": list(buckets), "writes": writes}

    for environment, buckets in BUCKETS.items():
        admit(environment, [*buckets, *SPARE_BUCKETS])
        admit(READ_ONLY_KEYS[environment], buckets, writes=False)
    admit(SPARE_KEY, SPARE_BUCKETS)
    names = [name for buckets in (*BUCKETS.values(), SPARE_BUCKETS) for name in buckets]
    return Part(
        name="storage", image=image, number=STORAGE,
        aliases=(SPACES, *(f"{name}.{SPACES}" for name in names)),
        files={
            **_tls(settings, keys, "storage", STORAGE, SPACES, f"*.{SPACES}"),
            "/etc/lab/storage.json": File(json.dumps(configuration), 0o600),
        },
        options={"init": True},
    )


def _git(settings: Settings, image: str) -> Part:
    return Part(
        name="git", image=image, number=GIT,
        command=["git", "daemon", "--export-all", "--reuseaddr", "--base-path=/srv/git", "/srv/git"],
        read_only_folders={str(settings.state / "git"): "/srv/git"}, options={"init": True},
    )
