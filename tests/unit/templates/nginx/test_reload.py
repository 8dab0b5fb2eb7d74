# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""litefarm-nginx-reload with real processes that behave as nginx does: a master that obeys a signal or not, and its workers."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time

import pytest

MASTER = """
import os, pathlib, signal, subprocess, sys, time

folder = pathlib.Path(sys.argv[1])
def worker(title):
    return subprocess.Popen([title, "1000"], executable="/bin/sleep")

def reload(*unused):
    global workers
    what = (folder / "behaviour").read_text()
    if what == "port in use":
        time.sleep(0.2)
        with open(folder / "error.log", "a") as log:
            log.write("[emerg] bind() to 0.0.0.0:8099 failed (98: Address already in use)\\n")
        return
    time.sleep(0.3 if what == "slow" else 0)
    former, workers = workers, [worker("nginx: worker process") for _ in range(2)]
    if what != "both":
        for one in former:
            one.kill()
            one.wait()
        # As long as their requests last.
        leaving.append(worker("nginx: worker process is shutting down"))

leaving, workers = [worker("nginx: cache manager process")], [worker("nginx: worker process")]
signal.signal(signal.SIGHUP, reload)
def stop(*unused):
    for one in workers + leaving:
        one.kill()
    sys.exit()
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture(name="nginx")
def fixture_nginx(tmp_path, repo, monkeypatch):
    """nginx(behaviour) reloads, and returns what the program says."""
    (tmp_path / "error.log").write_text("of yesterday\n")
    (tmp_path / "nginx").write_text("#!/bin/sh\ngrep -q nonsense %s/behaviour && { echo unknown directive; exit 1; }\nkill -HUP $MASTER\n" % tmp_path)
    (tmp_path / "nginx").chmod(0o755)
    spec = importlib.util.spec_from_file_location("litefarm_nginx_reload", repo / "roles/nginx/files/litefarm-nginx-reload.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in {"NGINX": [str(tmp_path / "nginx")], "PID": str(tmp_path / "pid"), "ERROR_LOG": str(tmp_path / "error.log"), "LOCK": str(tmp_path / "lock")}.items():
        monkeypatch.setattr(module, name, value)
    (tmp_path / "behaviour").write_text("well")
    with subprocess.Popen([sys.executable, "-c", MASTER, str(tmp_path)], stdout=subprocess.PIPE) as master:
        master.stdout.readline()
        (tmp_path / "pid").write_text("%d\n" % master.pid)
        monkeypatch.setenv("MASTER", str(master.pid))
        monkeypatch.delenv("MAINPID", raising=False)

        def reload(behaviour, patience=60):
            monkeypatch.setattr(module, "PATIENCE", patience)
            (tmp_path / "behaviour").write_text(behaviour)
            return module.main()

        reload.module, reload.master = module, master
        yield reload
        master.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("behaviour", ["well", "slow"])
def test_new_workers_are_waited_for(nginx, behaviour):
    before = nginx.module.accepting(nginx.master.pid)
    assert len(before) == 1
    assert nginx(behaviour) == 0
    now = nginx.module.accepting(nginx.master.pid)
    assert now and not now & before
    assert nginx(behaviour) == 0


def test_a_configuration_that_does_not_take_effect_is_a_failure_with_the_words_of_the_log(nginx, capsys):
    assert nginx("port in use", patience=3) == 1
    said = capsys.readouterr().err
    assert "goes on with the former one" in said and "Address already in use" in said and "yesterday" not in said
    assert nginx("well") == 0


def test_former_workers_that_still_accept_are_a_failure(nginx, capsys):
    assert nginx("both", patience=1) == 1
    assert "nothing was written" in capsys.readouterr().err


def test_what_nginx_refuses_is_told_at_once(nginx, capsys):
    began = time.monotonic()
    assert nginx("nonsense") == 1
    assert "unknown directive" in capsys.readouterr().err
    assert time.monotonic() - began < 30


def test_systemd_names_the_master(nginx, monkeypatch):
    os.unlink(nginx.module.PID)
    monkeypatch.setenv("MAINPID", str(nginx.master.pid))
    assert nginx("well") == 0
