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
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import docker
import testinfra
import yaml
from ansible.constants import DEFAULT_VAULT_ID_MATCH
from ansible.parsing.vault import VaultLib, VaultSecret

PROJECT = Path(__file__).resolve().parents[2]
# The lab is built from them, so its tests read the same ones. Unit tests put INVENTORIES of playbooks.py in their place.
INVENTORIES = PROJECT / "inventories"
# Environments that are another one with more droplets; the lab says the same.
VARIATIONS = {"scaled": "production"}
PORTS = PROJECT / "tests" / "support" / "ports.py"


def lab(*arguments: str) -> str:
    """Runs the lab's command line and returns what it printed.

    Raises:
        RuntimeError: the command failed; its output is in the message.
    """
    done = subprocess.run([sys.executable, "-m", "lab", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"python -m lab {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


@functools.cache
def status() -> dict:
    """The lab's own description of itself."""
    return json.loads(lab("status"))


def environments() -> list[str]:
    """The environments that the tests are about (LITEFARM_ENVIRONMENTS)."""
    return os.environ.get("LITEFARM_ENVIRONMENTS", "production").split()


def limit() -> list[str]:
    """The droplets that playbook runs are limited to (LITEFARM_LIMIT), none for whole environments."""
    return os.environ.get("LITEFARM_LIMIT", "").split()


def hosts(environment: str) -> dict[str, list[str]]:
    """Group to its droplets, as the files of the environment's inventory say."""
    files = [INVENTORIES / VARIATIONS.get(environment, environment) / "hosts.yml"]
    if environment in VARIATIONS:
        files += sorted((PROJECT / "molecule" / environment / "inventory").glob("*.yml"))
    merged: dict[str, dict[str, None]] = {}
    for path in files:
        for name, group in yaml.safe_load(path.read_text()).items():
            merged.setdefault(name, {}).update(dict.fromkeys(group.get("hosts") or {}))
    return {name: list(members) for name, members in merged.items()}


def droplets(*groups: str) -> list[str]:
    """The droplets that the tests are about, in all of these groups of their inventory.

    Raises:
        ValueError: the inventory has no such group.
    """
    found = limit() or [droplet for environment in environments() for droplet in hosts(environment)["litefarm"]]
    return [droplet for droplet in found if all(droplet in members(environment_of(droplet), group) for group in groups)]


def members(environment: str, group: str) -> list[str]:
    """The droplets of a group.

    Raises:
        ValueError: the inventory has no such group.
    """
    groups = hosts(environment)
    if group not in groups:
        raise ValueError(f"The inventory of {environment} has no group {group}: there are {', '.join(sorted(groups))}.")
    return groups[group]


def environment_of(droplet: str) -> str:
    """The environment that a droplet belongs to."""
    return next(environment for environment in environments() if droplet in hosts(environment)["litefarm"])


def settings(environment: str) -> dict:
    """The environment's own variables, without what the lab puts in their place."""
    main = VARIATIONS.get(environment, environment)
    return yaml.safe_load((INVENTORIES / main / "group_vars" / "litefarm" / "main.yml").read_text())


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished playbook run."""

    output: str
    status: int
    seconds: float

    @property
    def reasons(self) -> str:
        """What a failed test has to tell of the run, the most telling first: its errors, what it changed, its counters, its last lines."""
        lines = self.output.splitlines()
        errors = [line[:600] for line in lines if line.startswith(("[ERROR]", "ERROR!", "fatal: ", "failed: "))]
        changes = [line[:200] for line in lines if line.startswith("changed: ")]
        counters = [f"{host}: {counter}" for host, counter in self.recap.items()]
        return "\n".join([f"status {self.status}", *errors, *changes, *counters, "", *lines[-30:]])

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """Host to its counters of the recap: ok, changed, unreachable, failed, …"""
        lines = re.findall(r"^(\S+)\s+:\s+(ok=.*)$", self.output, re.MULTILINE)
        return {host: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", rest)} for host, rest in lines}

    @property
    def changes(self) -> set[str]:
        """The names of the tasks that have changed something."""
        found, name = set(), ""
        for line in self.output.splitlines():
            if head := re.match(r"(?:TASK|RUNNING HANDLER) \[(.*)\] \**$", line):
                name = head[1]
            elif line.startswith("changed: "):
                found.add(name)
        return found

    def total(self, counter: str) -> int:
        """The sum of one counter over all hosts.

        Raises:
            AssertionError: the run ended before it printed a recap.
        """
        assert self.recap, f"the run printed no recap:\n{self.reasons}"
        return sum(counters[counter] for counters in self.recap.values())


def ansible(program: str, *arguments: str, checkout: Path = PROJECT, env: dict | None = None) -> dict[str, Any]:
    """What subprocess needs to run one of Ansible's programs as an operator does who has this checkout of the project."""
    return {
        "args": [str(Path(sys.executable).with_name(program)), *arguments],
        "cwd": checkout,
        "env": {**os.environ, **ansible_environment(checkout), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", "PYTHONUNBUFFERED": "1", **(env or {})},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }


def playbook(name: str, *arguments: str, environment: str | None = None, env: dict | None = None, checkout: Path = PROJECT) -> Run:
    """Runs one of the project's playbooks against the lab, with the lab's inventory of an environment (default: the tests' first)."""
    start = time.monotonic()
    environment = environment or environments()[0]
    if limit():
        # The builder belongs to no environment, and localhost is where images are built without one.
        arguments = (f"--limit={','.join([*limit(), 'builder', 'localhost'])}", *arguments)
    command = ansible("ansible-playbook", f"--inventory={inventory(environment, checkout)}", name, *arguments, checkout=checkout, env=env)
    done = subprocess.run(**command, check=False)
    words = [Path(name).stem, *(word for word in arguments if word.startswith("-")), "failed" if done.returncode else "ok"]
    log = logs() / f"{time.strftime('%H%M%S')}-{environment}-{'-'.join(words)}.log"
    log.write_text(done.stdout)
    return Run(done.stdout, done.returncode, time.monotonic() - start)


def logs() -> Path:
    """The folder that keeps what every playbook run of the tests printed."""
    folder = Path(status()["paths"]["state"]) / "logs"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def inventory(environment: str, checkout: Path = PROJECT) -> str:
    """The folder of the lab's inventory for an environment; another checkout has its own at the same place."""
    return str(checkout / Path(status()["paths"]["inventories"][environment]).relative_to(PROJECT))


def vault(environment: str) -> dict[str, str]:
    """The secrets of an environment, by their names in its vault."""
    return yaml.safe_load(_vault_lib().decrypt(_vault_file(environment).read_bytes()))


def put_into_vault(environment: str, **secrets: str) -> None:
    """Changes secrets of an environment, as a person does with ansible-vault edit."""
    library = _vault_lib()
    text = yaml.safe_dump({**vault(environment), **secrets}, explicit_start=True)
    _vault_file(environment).write_bytes(library.encrypt(text, library.secrets[0][1]))


def _vault_file(environment: str) -> Path:
    return Path(inventory(environment)) / "group_vars" / "litefarm" / "vault.yml"


def _vault_lib() -> VaultLib:
    password = Path(status()["paths"]["vault_password"]).read_bytes().strip()
    return VaultLib([(DEFAULT_VAULT_ID_MATCH, VaultSecret(password))])


@functools.cache
def connect(name):
    """A droplet, as root over SSH."""
    paths = status()["paths"]
    host = testinfra.get_host(
        f"ssh://root@{status()['droplets'][name]['public_address']}",
        ssh_identity_file=paths["ssh_key"],
        ssh_extra_args=f"-o UserKnownHostsFile={paths['known_hosts']} -o IdentitiesOnly=yes",
        controlpersist=60,
        timeout=10,
    )
    host.name = name
    return host


def ssh_command(name: str, command: list[str]) -> list[str]:
    """The words that run a command on a droplet, over a connection of its own that ends soon after the droplet does."""
    paths = status()["paths"]
    options = ["-i", paths["ssh_key"], "-o", f"UserKnownHostsFile={paths['known_hosts']}", "-o", "IdentitiesOnly=yes"]
    options += ["-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=3"]
    return ["ssh", *options, f"root@{status()['droplets'][name]['public_address']}", shlex.join(command)]


def over_ssh(name: str, command: list[str], stdin: str) -> str:
    """What a command on a droplet prints that reads from standard input, as no process list shows it."""
    return subprocess.run(ssh_command(name, command), input=stdin, capture_output=True, text=True, check=True).stdout


def names() -> dict[str, str]:
    """Public host name to the address of the droplet that answers for it."""
    return {name: droplet["public_address"] for droplet in status()["droplets"].values() for name in droplet["host_names"]}


def reboot(droplet: str) -> None:
    """Takes a droplet down and up again."""
    docker.from_env(timeout=120).containers.get(status()["droplets"][droplet]["container"]).restart(timeout=30)


def cut_power(droplet: str) -> None:
    """Ends a droplet at once, as a fault of its host does."""
    docker.from_env().containers.get(status()["droplets"][droplet]["container"]).kill()


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


def scan_as_stranger(droplet: str, network: str) -> dict[str, list[int]]:
    """All TCP ports of a droplet's address in a network, seen from a container that is nobody's peer: those that accept, those that refuse."""
    return json.loads(as_stranger(network, PORTS, status()["droplets"][droplet][f"{network}_address"]))


def ansible_environment(checkout: Path = PROJECT) -> dict[str, str]:
    """The variables that make Ansible use the project's configuration and the lab's vault."""
    return {"ANSIBLE_CONFIG": str(checkout / "ansible.cfg"), "ANSIBLE_VAULT_PASSWORD_FILE": status()["paths"]["vault_password"]}
