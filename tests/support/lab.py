# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The running lab as tests see it: its droplets, its endpoints, and playbooks run against it as an operator would."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import docker

PROJECT = Path(__file__).resolve().parents[2]
LAB = PROJECT / "molecule" / "shared" / "lab.py"


def lab(*arguments: str) -> str:
    """Runs the lab's command line and returns what it printed.

    Raises:
        RuntimeError: the command failed; its output is in the message.
    """
    done = subprocess.run([sys.executable, LAB, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"lab.py {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


@functools.cache
def status() -> dict:
    """The lab's own description of itself."""
    return json.loads(lab("status"))


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished playbook run."""

    output: str
    status: int
    seconds: float

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """Host to its counters of the recap: ok, changed, unreachable, failed, …"""
        lines = re.findall(r"^(\S+)\s+:\s+(ok=.*)$", self.output, re.MULTILINE)
        return {host: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", rest)} for host, rest in lines}

    def total(self, counter: str) -> int:
        """The sum of one counter over all hosts.

        Raises:
            AssertionError: the run ended before it printed a recap.
        """
        assert self.recap, f"the run printed no recap:\n{self.output[-4000:]}"
        return sum(counters[counter] for counters in self.recap.values())


def playbook(name: str, *arguments: str, environment: str = "production", env: dict | None = None) -> Run:
    """Runs one of the project's playbooks against the lab, with the lab's inventory of an environment."""
    start = time.monotonic()
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), f"--inventory={inventory(environment)}", name, *arguments],
        cwd=PROJECT,
        env={**os.environ, **ansible_environment(), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    words = [Path(name).stem, *(word for word in arguments if word.startswith("-")), "failed" if done.returncode else "ok"]
    log = logs() / f"{time.strftime('%H%M%S')}-{environment}-{'-'.join(words)}.log"
    log.write_text(done.stdout)
    return Run(done.stdout, done.returncode, time.monotonic() - start)


def logs() -> Path:
    """The folder that keeps what every playbook run of the tests printed."""
    folder = Path(status()["paths"]["state"]) / "logs"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def inventory(environment: str = "production") -> str:
    """The folder of the lab's inventory for an environment."""
    return status()["paths"]["inventories"][environment]




def names() -> dict[str, str]:
    """Public host name to the address of the droplet that answers for it."""
    return {name: droplet["public_address"] for droplet in status()["droplets"].values() for name in droplet["host_names"]}


def reboot(droplet: str) -> None:
    """Takes a droplet down and up again."""
    docker.from_env(timeout=120).containers.get(status()["droplets"][droplet]["container"]).restart(timeout=30)


def as_stranger(network: str, script: Path, *arguments: str) -> str:
    """Runs a Python script in a container on one of the lab's networks that is nobody's peer, and returns what it printed.

    Args:
        network: `public` or `private`.
        script: a script that needs nothing but Python.
    """
    client = docker.from_env()
    anyone = next(iter(status()["droplets"].values()))
    image = client.containers.get(anyone["container"]).image
    printed = client.containers.run(
        image,
        entrypoint=["python3", "-c", script.read_text(), *arguments],
        network=status()["networks"][network]["name"],
        labels={"litefarm.lab": status()["lab"]},
        remove=True,
    )
    return printed.decode()


def ansible_environment() -> dict[str, str]:
    """The variables that make Ansible use the project's configuration and the lab's vault."""
    return {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_VAULT_PASSWORD_FILE": status()["paths"]["vault_password"]}
