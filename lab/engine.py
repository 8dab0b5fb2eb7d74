# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker engine of this machine: used as it is where it answers, installed and started where it does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import docker

from .errors import LabError
from .host import as_root, install_packages, is_debian_like
from .progress import say, step

_LOG = "/var/log/litefarm-lab-dockerd.log"


def connect(timeout: int = 600) -> docker.DockerClient:
    """A client of the engine that answers; a LabError if none does."""
    try:
        client = docker.from_env(timeout=timeout)
        client.ping()
    except docker.errors.DockerException as error:
        raise LabError(f"No Docker engine answers ({error}). Run `python -m lab engine`, or install one and start it.") from error
    return client


def ensure() -> docker.DockerClient:
    try:
        return connect()
    except LabError:
        if os.environ.get("DOCKER_HOST"):
            raise
    if not shutil.which("dockerd"):
        if not is_debian_like():
            raise LabError("No Docker engine answers, and this machine is neither Debian nor Ubuntu: install Docker Engine and start it.")
        with step("Docker engine from the distribution's packages"):
            install_packages("docker.io", "iptables")
    # The package may have started it.
    if not _answers(within=3):
        _start()
    if not _answers(within=60):
        raise LabError(f"The Docker engine was started and does not answer. {_last_words()}")
    return connect()


def _answers(within: float) -> bool:
    deadline = time.monotonic() + within
    while True:
        try:
            connect(timeout=10)
            return True
        except LabError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)


def _last_words() -> str:
    if Path("/run/systemd/system").is_dir():
        return "See journalctl -u docker."
    return "The end of its log:\n" + "\n".join(Path(_LOG).read_text(errors="replace").splitlines()[-5:])


def _start() -> None:
    if Path("/run/systemd/system").is_dir():
        say("Docker engine: started by systemd")
        subprocess.run(as_root(["systemctl", "start", "docker"]), check=True)
        return
    say(f"Docker engine: started in the background, log in {_LOG}")
    # An engine that was killed leaves these behind, and a new one takes a process that has got the number for its own.
    for stale in ("/var/run/docker.pid", "/run/docker/containerd/containerd.pid", "/run/docker.pid"):
        if not _runs_engine(Path(stale)):
            subprocess.run(as_root(["rm", "-f", stale]), check=True)
    subprocess.run(as_root(["sh", "-c", f"setsid dockerd >> {_LOG} 2>&1 < /dev/null &"]), check=True)


def _runs_engine(pid_file: Path, processes: Path = Path("/proc")) -> bool:
    """Whether the process is alive: where nobody reaps them, killed ones stay in the list as zombies."""
    try:
        status = (processes / pid_file.read_text().strip() / "status").read_text()
    except OSError:
        return False
    words = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return words["Name"] in ("dockerd", "containerd") and not words["State"].startswith("Z")
