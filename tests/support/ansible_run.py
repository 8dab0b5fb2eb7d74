# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of ansible-playbook without the second of processor time that each start and import of Ansible costs."""

from __future__ import annotations

import atexit
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading

SERVER = pathlib.Path(__file__).with_name("ansible_server.py")
COMPILED = pathlib.Path(__file__).with_name("modules_compiled")
# Not read before a playbook runs, and different from test to test; all other variables belong to the server.
READ_LATE = ("PYTEST_CURRENT_TEST", "SIMULATED", "HARM", "HARM_AFTER")
MOST_SERVERS = 4

_servers: dict[str, _Server] = {}


class _Server:
    """A process that has imported Ansible with one environment and current folder."""

    def __init__(self, cwd: str, env: dict[str, str]) -> None:
        self.connection, other = socket.socketpair()
        self.log = tempfile.TemporaryFile("w+")
        self.folder = tempfile.TemporaryDirectory(prefix="modules-")
        pipes = {"stdout": self.log, "stderr": self.log, "pass_fds": [other.fileno()]}
        self.process = subprocess.Popen([sys.executable, SERVER, str(other.fileno())], cwd=cwd, env=env, **pipes)
        other.close()
        self.answers = self.connection.makefile("r")

    def start(self, request: dict, descriptors: list[int]) -> int:
        """Begins a run and returns its process's id."""
        try:
            socket.send_fds(self.connection, [b" "], descriptors)
            self.connection.sendall(json.dumps(request).encode() + b"\n")
            return int(self.answers.readline())
        except (OSError, ValueError):
            self.process.wait()
            self.log.seek(0)
            raise RuntimeError("Ansible cannot be imported:\n%s" % self.log.read()) from None

    def close(self) -> None:
        self.answers.close()
        self.connection.close()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()


def _server(cwd: str, env: dict[str, str]) -> _Server:
    key = json.dumps([cwd, sorted(env.items())])
    server = _servers.pop(key, None) or _Server(cwd, env)
    # The one that was used last is the last one that is closed.
    _servers[key] = server
    if len(_servers) > MOST_SERVERS:
        _servers.pop(next(iter(_servers))).close()
    return server


@atexit.register
def close_servers() -> None:
    while _servers:
        _servers.popitem()[1].close()


def ansible_playbook(
    arguments: list[str], cwd: pathlib.Path, env: dict[str, str], *, merged: bool = False, timeout: float = 120
) -> subprocess.CompletedProcess:
    """As subprocess.run(["python", "-m", "ansible", "playbook", ...]), with output as text; `merged` says that standard error goes to standard output.

    Runs with one environment and folder share the modules that Ansible puts together: in all of them a module's name has to mean the same file.
    """
    server = _server(str(cwd), {name: value for name, value in env.items() if name not in READ_LATE})
    pipes = [os.pipe()] if merged else [os.pipe(), os.pipe()]
    texts = [""] * len(pipes)

    def read(number: int) -> None:
        with open(pipes[number][0], encoding="utf-8") as file:
            texts[number] = file.read()

    readers = [threading.Thread(target=read, args=[number], daemon=True) for number in range(len(pipes))]
    request = {"arguments": ["playbook", *arguments], "env": {"PYTHONPATH": str(COMPILED), "COMPILED_MODULES": server.folder.name, **env}}
    try:
        child = server.start({**request, "modules": server.folder.name}, [pipes[0][1], pipes[-1][1]])
    finally:
        for reader, pipe in zip(readers, pipes, strict=True):
            os.close(pipe[1])
            reader.start()
    alarm = threading.Timer(timeout, os.kill, [child, signal.SIGKILL])
    alarm.start()
    status = int(server.answers.readline())
    late = not alarm.is_alive()
    alarm.cancel()
    # What a killed run has started may still write, and is waited for as subprocess.run does.
    for reader in readers:
        reader.join(timeout)
    output, errors = texts[0], None if merged else texts[1]
    command = [sys.executable, "-m", "ansible", "playbook", *arguments]
    if late:
        raise subprocess.TimeoutExpired(command, timeout, output, errors)
    return subprocess.CompletedProcess(command, status, output, errors)
