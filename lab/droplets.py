# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Droplets: containers with systemd, sshd and room for a Docker engine of their own."""

from __future__ import annotations

import socket
import time

import docker

from . import containers
from .containers import File, Part
from .errors import LabError
from .image_build import Images
from .keys import Keys
from .settings import Droplet, Settings

# What systemd and a nested engine need. "Privileged" would be more, and fails on machines that do not have it all themselves.
_CAPABILITIES = [
    "SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYS_PTRACE", "MKNOD", "AUDIT_WRITE", "SETFCAP", "DAC_READ_SEARCH", "SYS_NICE",
    "SYSLOG", "IPC_LOCK",
]


def ensure(client: docker.DockerClient, settings: Settings, images: Images, keys: Keys, droplet: Droplet, flavour: str) -> bool:
    """True if the droplet is new."""
    return containers.ensure(client, settings, _part(images, keys, droplet, flavour))


def _part(images: Images, keys: Keys, droplet: Droplet, flavour: str) -> Part:
    host_key = keys.ssh(droplet.name)
    return Part(
        name=droplet.name,
        image=images.droplet(droplet.debian, flavour),
        number=droplet.number,
        private=True,
        aliases=droplet.host_names,
        files={
            "/root/.ssh/authorized_keys": File(keys.ssh("operator").public, 0o600),
            "/etc/ssh/ssh_host_ed25519_key": File(host_key.private, 0o600),
            "/etc/ssh/ssh_host_ed25519_key.pub": File(host_key.public),
            "/usr/local/share/ca-certificates/lab.crt": File(keys.authority().public),
        },
        volumes={f"{droplet.name}-docker": "/var/lib/docker"},
        options={
            "cap_add": _CAPABILITIES,
            "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
            "cgroupns": "private",
            "tmpfs": {"/run": "", "/tmp": ""},
            "stop_signal": "SIGRTMIN+3",
        },
        precious=True,
    )


def wait_for_ssh(settings: Settings, droplet: Droplet, seconds: float = 60) -> None:
    address = settings.public_address(droplet.number)
    deadline = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((address, 22), timeout=2) as connection:
                connection.settimeout(2)
                if connection.recv(4) == b"SSH-":
                    return
        except OSError as error:
            if time.monotonic() > deadline:
                raise LabError(f"{droplet.name} ({address}) does not answer on port 22: {error}") from error
        time.sleep(0.1)
