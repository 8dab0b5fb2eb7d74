# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports Ansible once and forks for each run of ansible-playbook; tests/support/ansible_run.py starts it and sends it the runs.

Ansible reads its configuration when it is imported, so a server has the environment and the folder of its runs from its start.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import multiprocessing.util
import os
import socket
import sys
import tempfile
import types

# Loaded by every run, with the documentation that says which options they have.
PLUGINS = {
    "callback": None,
    "connection": None,
    "filter": None,
    "inventory": ("auto", "host_list", "ini", "script", "toml", "yaml"),
    "shell": None,
    "strategy": ("linear",),
    "test": None,
}


def load() -> types.ModuleType:
    """Imports the program and loads what no option of the command line changes."""
    program = importlib.import_module("ansible.__main__")
    importlib.import_module("ansible.cli.playbook")
    importlib.import_module("cryptography.x509")
    command_line = sys.modules["ansible.cli"]
    # Runs of ansible-playbook call it with these arguments, and it warns when it is called again.
    command_line.init_plugin_loader(None)
    command_line.init_plugin_loader = lambda _path: None
    for kind, names in PLUGINS.items():
        loader = getattr(sys.modules["ansible.plugins.loader"], kind + "_loader")
        if names:
            for name in names:
                loader.get(name, class_only=True)
        else:
            list(loader.all(class_only=True))
    gc.collect()
    gc.freeze()
    return program


def serve(connection: socket.socket) -> dict:
    """Forks for each request and answers with the process's id and exit status; returns in the forked process only."""
    requests = connection.makefile("r")
    while descriptors := socket.recv_fds(connection, 1, 2)[1]:
        request = json.loads(requests.readline())
        child = os.fork()
        if not child:
            for number, descriptor in enumerate(descriptors, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            requests.close()
            connection.close()
            return request
        for descriptor in descriptors:
            os.close(descriptor)
        connection.sendall(b"%d\n" % child)
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    sys.exit()


def use_own_folder(modules: str) -> None:
    """Gives the run temporary files of its own, beside the modules that runs before it put together: `modules` is their folder."""
    # The server's files are removed by the server.
    atexit._clear()
    atexit.register(multiprocessing.util._exit_function)
    constants = sys.modules["ansible.constants"]
    folder = tempfile.mkdtemp(prefix="ansible-local-%d" % os.getpid(), dir=os.path.dirname(constants.DEFAULT_LOCAL_TMP))
    atexit.register(sys.modules["ansible.utils.path"].cleanup_tmp_file, folder, warn=True)
    os.symlink(modules, os.path.join(folder, "ansiballz_cache"))
    constants.DEFAULT_LOCAL_TMP = folder


def main() -> None:
    # As with `python -m`: the current folder, not the one of this file.
    sys.path[0] = os.getcwd()
    program = load()
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        request = serve(connection)
    os.environ.clear()
    os.environ.update(request["env"])
    use_own_folder(request["modules"])
    sys.argv = [program.__file__, *request["arguments"]]
    program.main()


main()
