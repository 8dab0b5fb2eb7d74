# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The droplet of the matrix, and the harm that is done to it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import docker
import yaml

from tests.support import lab

from . import cells

HERE = Path(__file__).parent
FLAGS = "/run/kill_matrix"
# Releases that are started at the same time: two cores do not start more containers, and sshd turns strangers away when many come at once.
AT_ONCE = 8
SITE = "/etc/nginx/sites.d/kill_matrix.conf"


class Run:
    """An ansible-playbook that releases services, each a host of its own."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path):
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(command, cwd=lab.PROJECT, env=env, stdout=output, stderr=subprocess.STDOUT)

    def kill(self) -> int:
        """kill -9 of ansible-playbook, its workers and their connections; how many processes that were.

        Its group would not do: each worker makes a session of its own.
        """
        if self.process.poll() is not None:
            return 0
        # It must not fork while its children are listed.
        os.kill(self.process.pid, signal.SIGSTOP)
        family = [self.process.pid, *descendants(self.process.pid)]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        _until(lambda: not any(_lives(pid) for pid in family), seconds=10)
        return len(family)

    def wait(self, seconds: float = 300) -> None:
        self.process.wait(seconds)

    def results(self) -> dict[str, dict]:
        """Service to the module's result, if it had one: a service whose module was killed has none."""
        found = re.findall(r"^(ok|changed|fatal): \[(\w+)\](?:: FAILED!)? => (\{.*\})$", self.log.read_text(), re.MULTILINE)
        return {service: {"failed": word == "fatal", **json.loads(text)} for word, service, text in found if '"release"' in text or '"reconciled"' in text}


class DropletError(Exception):
    """A command on the droplet failed, or the droplet cannot be reached."""


class Droplet:
    """A droplet of the running lab, over SSH."""

    def __init__(self, name: str, folder: Path):
        self.name = name
        self.address = lab.status()["droplets"][name]["public_address"]
        self._folder = folder
        self._runs = 0
        inventories = (Path(path) / "host_vars" / f"{name}.yml" for path in lab.status()["paths"]["inventories"].values())
        self._variables = yaml.safe_load(next(path for path in inventories if path.exists()).read_text())

    def run(self, *command: str, stdin: str = "") -> str:
        try:
            return lab.over_ssh(self.name, list(command), stdin)
        except subprocess.CalledProcessError as error:
            raise DropletError(f"{shlex.join(command)} on {self.name} ended with {error.returncode}: {(error.stderr or error.stdout).strip()}") from error

    def script(self, text: str) -> str:
        return self.run("sh", "-eu", stdin=text)

    def look(self) -> dict[str, dict]:
        """What look.py sees."""
        return json.loads(self.run("python3", "-", stdin=(HERE / "look.py").read_text()))

    # -- releasing -------------------------------------------------------------------------------------------------------------

    def release(self, declared: dict[cells.Row, dict], fault: str | None = None, state: str = "present") -> Run:
        """Starts the release of all these versions side by side.

        Args:
            declared: row to the environment of its container.
            fault: `kill` or `wait`, at each row's own step.
        """
        self._runs += 1
        hosts = {row.service: {**self._variables, **_declaration(row, env, state, fault)} for row, env in declared.items()}
        inventory = self._folder / f"{self._runs:03}.yml"
        inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
        env = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        env |= {
            **lab.ansible_environment(),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_VERBOSITY": "1",
            # A connection for each service, as each has a controller of its own; one that is cut is not tried again.
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=no -o ControlPath=none -o ServerAliveInterval=5",
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), f"--inventory={inventory}", f"--forks={min(AT_ONCE, len(hosts))}", str(HERE / "release.yml")]
        return Run(command, env, inventory.with_suffix(".log"))

    def wait_for_steps(self, rows: Iterable[cells.Row], run: Run, seconds: float = 100) -> set[str]:
        """Until the module of every service waits at its step; the services whose module never came there."""
        missing = {row.service for row in rows}
        deadline = time.monotonic() + seconds
        while missing and run.process.poll() is None and time.monotonic() < deadline:
            missing -= set(self.run("ls", FLAGS).split())
            time.sleep(0.3)
        return missing - set(self.run("ls", FLAGS).split())

    def go_on(self) -> None:
        """Lets the modules that wait do what comes after their step."""
        self.run("find", FLAGS, "-type", "f", "-delete")

    # -- harm ------------------------------------------------------------------------------------------------------------------

    def restart_engine(self) -> None:
        self.run("systemctl", "restart", "docker")
        self._wait_for_engine()

    def kill_engine(self) -> None:
        before = self.run("systemctl", "show", "--property=MainPID", "--value", "docker").strip()
        self.run("kill", "-9", before)
        self._wait_for_engine(other_than=before)

    def reboot(self) -> None:
        lab.reboot(self.name)
        self._wait_until_up()

    def cut_power(self) -> None:
        container = docker.from_env(timeout=120).containers.get(lab.status()["droplets"][self.name]["container"])
        container.kill()
        container.start()
        self._wait_until_up()

    def _wait_for_engine(self, other_than: str = "") -> None:
        question = "systemctl show --property=MainPID --value docker; docker info --format up"
        _until(lambda: (words := self.script(question).split())[1] == "up" and words[0] != other_than)

    def _wait_until_up(self) -> None:
        _until(lambda: "running" in self.script("systemctl is-active --quiet ssh nginx docker; docker info --format running"))
        # What is in memory only is gone with the power.
        self.run("install", "-d", FLAGS)

    # -- before and after ------------------------------------------------------------------------------------------------------

    def prepare(self, rows: list[cells.Row]) -> None:
        """Nginx passes each service's host name on to its upstream, as production's sites do."""
        if "ready" not in self.run("sh", "-c", "test -d /etc/nginx/upstreams.d && systemctl is-active --quiet docker nginx && echo ready || true"):
            done = lab.playbook(str(HERE / "prepare.yml"), "-e", f"kill_matrix_droplet={self.name}")
            if done.status:
                raise RuntimeError(f"{self.name} could not be prepared:\n{done.output[-4000:]}")
        self.clean_up()
        self.script(f"install -d {FLAGS} /srv/kill_matrix {Path(SITE).parent}\ncat > {SITE} <<'END'\n{site(rows)}END\nnginx -t\nsystemctl reload nginx\n")
        # Releases that begin side by side would all create it.
        network = "docker network inspect litefarm > /dev/null 2>&1 || docker network create --label kill_matrix=1 litefarm\n"
        self.script("docker pull --quiet node:22.21\n" + network)

    def clean_up(self) -> None:
        """Whatever the matrix has made, now or when it was killed."""
        self.script(
            f"rm -f {SITE} /etc/nginx/upstreams.d/km_*.conf\n"
            "systemctl is-active --quiet nginx && systemctl reload nginx\n"
            "docker ps --all --quiet --filter name=^km_ | xargs --no-run-if-empty docker rm --force --volumes > /dev/null\n"
            "docker network ls --quiet --filter label=kill_matrix | xargs --no-run-if-empty docker network rm > /dev/null\n"
            f"rm -rf /srv/kill_matrix /var/lib/litefarm/services/km_* /var/lib/litefarm/container_service/km_*.lock {FLAGS}\n"
        )


def site(rows: list[cells.Row]) -> str:
    """The upstream blocks are those of the role nginx; only what has one fixed port stands in its block."""
    blocks = []
    for row in rows:
        server = f"include /etc/nginx/upstreams.d/{row.service}.con[f];" if row.update == "rolling" else f"server 127.0.0.1:{row.ports[0]} max_fails=0;"
        blocks.append(f"upstream {row.service} {{ server 127.0.0.1:9 down; {server} keepalive 32; keepalive_timeout 4s; }}\n")
    return "".join(blocks) + (
        "server {\n    listen 80;\n    server_name ~^(?<kill_matrix>km_[a-z_]+)\\.kill-matrix\\.test$;\n    access_log off;\n"
        "    error_page 502 504 =503 @unavailable;\n    location @unavailable { return 503; }\n"
        "    location / { proxy_pass http://$kill_matrix; }\n}\n"
    )


def _declaration(row: cells.Row, env: dict, state: str, fault: str | None) -> dict:
    """The variables of release.yml."""
    point = {"LITEFARM_FAULT_POINT": f"{row.service}:{row['step']}", "LITEFARM_FAULT_ACTION": fault, "LITEFARM_FAULT_FILE": f"{FLAGS}/{row.service}"}
    return {
        "state": state,
        "env": env,
        "update": row.update,
        "ports": row.ports,
        # A release that turns bad has to do so while it is watched. It starts well, at its leisure; the next run finds it bad, and does not wait for long.
        "settle": 4 if row.bad else 1,
        "start_timeout": 60 if fault or "BAD" not in env else 8,
        "fault": point if fault else {},
    }


def descendants(pid: int) -> list[int]:
    """Children, and children's children, and so on."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, in parentheses, may have spaces in it.
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, of in parents.items() if of == parent]
    return found[1:]


def _lives(pid: int) -> bool:
    """Whether a process is there and more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(true: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
            problem = "not yet"
        except (DropletError, IndexError) as error:
            problem = str(error)
        if time.monotonic() >= deadline:
            raise DropletError(f"What was waited for did not come about within {seconds:g} s: {problem}")
        time.sleep(0.3)
