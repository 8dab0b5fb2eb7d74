# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that the lab runs on, as far as its containers depend on it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .errors import LabError

_AUTHORITIES = Path("/usr/local/share/ca-certificates")


def uplink_mtu(routes: Path = Path("/proc/net/route"), interfaces: Path = Path("/sys/class/net")) -> int:
    """The MTU of the interface that leads out: containers with a larger one lose packets on the way."""
    for line in routes.read_text().splitlines()[1:]:
        interface, destination = line.split()[:2]
        if destination == "00000000":
            return min(1500, int((interfaces / interface / "mtu").read_text()))
    return 1500


def extra_authorities(folder: Path = _AUTHORITIES) -> dict[str, str]:
    """Certificate authorities that this machine's administrator added, name to PEM: proxies that intercept HTTPS need them."""
    return {path.stem: path.read_text() for path in sorted(folder.glob("**/*.crt"))}


def is_debian_like(release: Path = Path("/etc/os-release")) -> bool:
    if not release.exists():
        return False
    words = dict(line.split("=", 1) for line in release.read_text().splitlines() if "=" in line)
    family = f"{words.get('ID', '')} {words.get('ID_LIKE', '')}".replace('"', "").split()
    return "debian" in family or "ubuntu" in family


def as_root(command: list[str]) -> list[str]:
    if os.geteuid() == 0:
        return command
    if shutil.which("sudo"):
        return ["sudo", *command]
    raise LabError(f"This needs root: {' '.join(command)}")


def install_packages(*packages: str) -> None:
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    prefix = ["env", *(f"{name}={value}" for name, value in environment.items())]
    for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-qy", "--no-install-recommends", *packages]):
        done = subprocess.run(as_root([*prefix, *command]), capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}")
