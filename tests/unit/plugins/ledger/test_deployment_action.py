# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who a run is, whether another one's process is gone, and what a playbook makes of both on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time

import pytest
from ansible_collections.litefarm.platform.plugins.action import deployment

from tests.support.playbooks import LocalPlay

PLAY = """  tasks:
    - name: locked
      litefarm.platform.deployment: {state: locked, run: "{{ token }}", what: "deploy {{ token }}", directory: "{{ folder }}", plan: {kind: deploy}}
    - name: held
      ansible.builtin.pause: {seconds: "{{ seconds | default(0) }}"}
    - name: unlocked
      litefarm.platform.deployment: {state: unlocked, run: "{{ token }}", directory: "{{ folder }}"}
"""


class Proc:
    """A /proc of a test."""

    def __init__(self, folder):
        self.path = str(folder)
        (folder / "sys/kernel/random").mkdir(parents=True)
        (folder / "sys/kernel/random/boot_id").write_text("one\n")
        (folder / "self/ns").mkdir(parents=True)
        self.namespace = folder / "self/ns/pid"
        self.namespace.symlink_to("pid:[4026531836]")
        self.folder = folder

    def process(self, pid, start, state="S", name="ansible playbook) S 1 (x"):
        folder = self.folder / str(pid)
        folder.mkdir(exist_ok=True)
        (folder / "stat").write_text("%d (%s) %s %s %d 0 0\n" % (pid, name, state, " ".join("9" * 18), start))

    def holder(self, who="anna"):
        return deployment.own_holder(who, self.path)

    def gone(self, lock):
        return deployment.process_gone(lock, self.holder(), self.path)


@pytest.fixture(name="proc")
def fixture_proc(tmp_path):
    return Proc(tmp_path / "proc")


def test_the_beginning_of_a_process_is_read_behind_its_name(proc):
    proc.process(7, 123)
    assert deployment.start_of(7, proc.path) == "123"
    assert deployment.start_of(8, proc.path) == ""
    proc.process(7, 123, state="Z")
    assert deployment.start_of(7, proc.path) == ""
    assert deployment.start_of(os.getpid()).isdigit()


def test_a_process_is_gone_when_its_number_is_free_or_anothers(proc):
    proc.process(os.getpid(), 50)
    lock = proc.holder()
    assert (lock["who"], lock["pid"], lock["start"]) == ("anna", os.getpid(), "50")
    assert not proc.gone(lock)
    # Stopped by Ctrl-Z is alive.
    proc.process(os.getpid(), 50, state="T")
    assert not proc.gone(lock)
    proc.process(os.getpid(), 51)
    assert proc.gone(lock)
    assert proc.gone(dict(lock, pid=1234567))


def test_of_another_machine_or_container_nothing_is_known(proc):
    proc.process(os.getpid(), 50)
    lock = dict(proc.holder(), pid=1234567)
    assert proc.gone(lock)
    assert not proc.gone(dict(lock, boot="another", node="another"))
    assert not proc.gone(dict(lock, pid=None))
    assert not proc.gone({"who": "somebody", "run": "", "node": ""})
    proc.namespace.unlink()
    proc.namespace.symlink_to("pid:[4026532000]")
    assert not proc.gone(lock)
    assert proc.holder()["machine"] == ""


def test_a_machine_that_was_started_anew_has_none_of_its_old_processes(proc):
    proc.process(os.getpid(), 50)
    lock = dict(proc.holder(), machine="m")
    (proc.folder / "sys/kernel/random/boot_id").write_text("two\n")
    now = dict(proc.holder(), machine="m")
    assert deployment.process_gone(lock, now, proc.path)
    assert not deployment.process_gone(lock, dict(now, node="clone"), proc.path)


def test_without_proc_nothing_is_known(tmp_path):
    holder = deployment.own_holder("anna", str(tmp_path))
    assert (holder["boot"], holder["machine"], holder["start"]) == ("", "", "")
    assert not deployment.process_gone(holder, holder, str(tmp_path))


class Templar:
    @staticmethod
    def template(value):
        return value


@pytest.mark.parametrize(
    ("variables", "environment", "expected"),
    [
        ({"litefarm_operator": "Anna A."}, {"SUDO_USER": "ben", "USER": "root"}, "Anna A."),
        ({"litefarm_operator": ""}, {"SUDO_USER": "ben", "USER": "root"}, "ben"),
        ({}, {"USER": "carla"}, "carla"),
    ],
)
def test_the_operator(monkeypatch, variables, environment, expected):
    for name in ("SUDO_USER", "USER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert deployment.operator(Templar, variables) == expected


def test_the_command_names_this_environment(monkeypatch, repo, tmp_path):
    variables = {"ansible_inventory_sources": [str(repo / "inventories/beta"), "localhost,"]}
    monkeypatch.chdir(repo)
    assert deployment.unlock_command(variables) == "ansible-playbook -i inventories/beta playbooks/unlock.yml"
    monkeypatch.chdir(tmp_path)
    assert deployment.unlock_command(variables) == "ansible-playbook -i %s/inventories/beta litefarm.platform.unlock" % repo


class Runs:
    def __init__(self, folder):
        self.folder = folder / "ledger"
        self.play = LocalPlay(folder, PLAY)

    def start(self, token, **variables):
        extra = [word for name, value in {"folder": self.folder, "token": token, **variables}.items() for word in ("-e", "%s=%s" % (name, value))]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen([*self.play.command, *extra], env=self.play.environment, text=True, start_new_session=True, **pipes)

    def run(self, token, **variables):
        process = self.start(token, **variables)
        output = " ".join(process.communicate(timeout=60)[0].split())
        return process.returncode, output

    def lock(self):
        try:
            return json.loads((self.folder / "lock.json").read_text())
        except FileNotFoundError:
            return None

    def history(self):
        return [json.loads(line) for line in (self.folder / "history.jsonl").read_text().splitlines()]


def test_a_living_run_keeps_its_lock_and_a_killed_one_does_not(tmp_path):
    runs = Runs(tmp_path)
    first = runs.start("first", seconds=120, litefarm_operator="anna")
    try:
        limit = time.monotonic() + 30
        while not runs.lock() and time.monotonic() < limit:
            time.sleep(0.1)
        lock = runs.lock()
        assert (lock["who"], lock["pid"]) == ("anna", first.pid)
        code, output = runs.run("second")
        assert code != 0
        assert "anna on %s has held the deploy lock since" % lock["node"] in output
        assert runs.lock() == lock
        # Only the run itself, as kill -9 does: nobody tidies up after it.
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        code, output = runs.run("second")
        assert code == 0, output
        assert "The deploy lock of anna on %s (deploy first, since %s) was taken over, because its process is gone." % (lock["node"], lock["since"]) in output
        assert runs.lock() is None
        assert [(record["run"], record["who"], record["kind"], record["result"]) for record in runs.history()] == [("first", "anna", "deploy", "interrupted")]
    finally:
        # What a killed run had started may have ended by itself.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGKILL)
        first.stdout.close()
