# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import getpass
import hashlib
import multiprocessing
import os
import socket

from ansible.utils.display import Display

from ansible_collections.litefarm.platform.plugins.module_utils import _ledger as ledger
from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import COLLECTION, evaluate, inventory_folders
from ansible_collections.litefarm.platform.plugins.plugin_utils._droplet_action import DropletAction
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.journal import FAILED, LOCK_LOST, Event, Journal
from ansible_collections.litefarm.platform.plugins.plugin_utils._rollout.state import Rollout
from ansible_collections.litefarm.platform.plugins.plugin_utils._variables import short_path

display = Display()

# The process numbers of the machine itself, not of a container on it.
MACHINE_PROCESSES = "pid:[4026531836]"


class ActionModule(DropletAction):
    """Says who asks for the lock, takes one over whose process on this machine is gone, and tells the rollout that has lost its own."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        me = own_holder(operator(self._templar, task_vars))
        arguments = {"holder": me, "unlock": unlock_command(task_vars), **self._task.args}
        journal = Journal(arguments["run"]) if arguments.get("run") else None
        if arguments.get("state") == "locked":
            listed = Rollout(journal.events()).listed()
            arguments.setdefault("completed", list(listed.completed) if listed else None)
        answer = self._ask(arguments, task_vars)
        if answer.get("held") and arguments.get("state") == "locked" and process_gone(answer["lock"], me):
            answer = self._ask(dict(arguments, takes_over=answer["lock"]["run"]), task_vars)
        if answer.get("taken_over") and arguments.get("state") == "locked" and not self._task.check_mode:
            display.warning(answer["msg"])
        if answer.get("failed") and arguments.get("state") in ("locked", "checked"):
            lost = arguments["state"] == "checked" and not answer.get("lost")
            journal.append(Event("", LOCK_LOST if lost else FAILED, False, str(answer.get("msg") or "")))
        if answer.get("lock"):
            # Only here can it be known.
            answer["dead"] = process_gone(answer["lock"], me)
        return dict(result, **answer)

    def _ask(self, arguments, task_vars):
        name = "litefarm.platform.deployment"
        if arguments.get("state", "read") == "read":
            # No rollout depends on it, and a table shows a droplet that is down.
            return self._execute_module(module_name=name, module_args=arguments, task_vars=task_vars)
        return self.run_module(name, arguments, task_vars)


def operator(templar, task_vars):
    value, _reason = evaluate(templar, task_vars, "litefarm_operator")
    if value:
        return str(value)
    # An operator who is root by sudo is still the person who logged in.
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or user_of_process()


def user_of_process():
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "user %d" % os.getuid()


def own_holder(who, proc="/proc"):
    """Who and which process this is, as others can check it: numbers of processes are only known to be different under the same kernel."""
    # A task runs in a process of its own; the run is its parent, which has this number even if it has just been killed.
    parent = multiprocessing.parent_process()
    pid = parent.pid if parent else os.getpid()
    boot = _read("%s/sys/kernel/random/boot_id" % proc).strip()
    processes = _link("%s/self/ns/pid" % proc)
    machine = _read("/etc/machine-id").strip()
    return {
        "who": who,
        "node": socket.gethostname(),
        # Containers may share it, so it means something on a whole machine only.
        "machine": _short_hash(machine) if machine and processes == MACHINE_PROCESSES else "",
        "boot": _short_hash(boot + processes) if boot and processes else "",
        "pid": pid,
        "start": start_of(pid, proc),
    }


def process_gone(lock, me, proc="/proc"):
    """Whether the lock's process is known to have ended. What cannot be known from here is not."""
    if ledger.rebooted(lock, me):
        return True
    if not ledger.same_process(lock, me) or not str(lock.get("pid", "")).isdigit():
        return False
    return start_of(lock["pid"], proc) != lock.get("start") or not lock.get("start")


def start_of(pid, proc="/proc"):
    """When the process was started, in the kernel's ticks; empty if there is none, or only what is left until its parent asks for it."""
    # The second field is the program's name in brackets, and may contain anything.
    fields = _read("%s/%s/stat" % (proc, pid)).rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in ("Z", "X", "x") else ""


def unlock_command(task_vars):
    """As a person would type it here, with the inventories of this run: without them it would be about another environment."""
    inventories = ["-i %s" % short_path(folder) for folder in inventory_folders(task_vars)]
    playbook = short_path(os.path.join(os.path.realpath(COLLECTION), "playbooks", "unlock.yml"))
    return " ".join(["ansible-playbook", *inventories, "litefarm.platform.unlock" if os.path.isabs(playbook) else playbook])


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _short_hash(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]
