# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A droplet refuses a run that is older than another that has changed it."""

from __future__ import annotations

import json
import os
import stat
import threading

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.litefarm.platform.plugins.module_utils import _config_files as config_files_utils
from ansible_collections.litefarm.platform.plugins.module_utils import _run_number as run_number
from ansible_collections.litefarm.platform.plugins.module_utils._container_service import host
from ansible_collections.litefarm.platform.plugins.modules import config_files, container_release, container_service, image_pull, packages, refuse_runs


@pytest.fixture(name="file", autouse=True)
def fixture_file(tmp_path, monkeypatch):
    """The droplet's file; its folder does not exist yet."""
    path = tmp_path / "lib" / "litefarm" / "run_number"
    monkeypatch.setattr(run_number, "PATH", str(path))
    monkeypatch.setattr(config_files_utils, "STATE_ROOT", str(tmp_path / "config_files"))
    for module in (container_release, container_service):
        monkeypatch.setattr(module, "STATE_DIRECTORY", str(tmp_path / "state"))
        monkeypatch.setattr(module, "LOCK_TIMEOUT", 5)
    return path


def test_the_highest_number_is_kept_and_a_lower_one_refused(file):
    for number in (5, 5, 7):
        run_number.require(number)
        assert file.read_text() == "%d\n" % number
    with pytest.raises(run_number.RunRefused) as refused:
        run_number.require(6)
    assert str(refused.value) == (
        "A newer run (number 7) has changed this droplet, or run 6 was ended with unlock.yml: nothing was changed here. "
        "See playbooks/status.yml, then run again."
    )
    assert file.read_text() == "7\n"
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600


def test_without_a_number_nothing_is_checked_or_written(file):
    run_number.require(0)
    assert not file.parent.exists()
    run_number.require(7)
    run_number.require(0)


def test_check_mode_refuses_too_and_writes_nothing(file):
    run_number.require(7, check_mode=True)
    assert not file.parent.exists()
    run_number.require(7)
    run_number.require(8, check_mode=True)
    with pytest.raises(run_number.RunRefused, match="newer run"):
        run_number.require(6, check_mode=True)
    assert file.read_text() == "7\n"


def test_a_run_whose_lock_is_broken_is_refused_from_then_on_and_its_successor_is_not(file):
    run_number.require(7)
    assert run_number.refuse(7) and not run_number.refuse(7) and not run_number.refuse(3)
    assert file.read_text() == "8\n"
    with pytest.raises(run_number.RunRefused, match=r"run 7 was ended with unlock\.yml"):
        run_number.require(7)
    run_number.require(8)


def test_a_droplet_that_the_broken_run_has_not_reached_refuses_it_too(file):
    assert run_number.refuse(7, check_mode=True) and not file.parent.exists()
    assert run_number.refuse(7)
    with pytest.raises(run_number.RunRefused):
        run_number.require(7)


@pytest.mark.parametrize("content", [b"", bytes(3), b"12\0\0", b"seven\n", b"-7\n", b"\xff\xfe", "٧\n".encode()])
def test_a_corrupt_file_is_named(file, content):
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    with pytest.raises(run_number.RunRefused, match="run_number does not hold the number of a run .*delete the file, then run again"):
        run_number.require(7)
    assert file.read_bytes() == content


@pytest.mark.parametrize("content", [b"", bytes(3)])
def test_of_a_file_without_anything_no_zeroes_are_shown(file, content):
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    with pytest.raises(run_number.RunRefused, match="it is empty or full of zeroes"):
        run_number.require(7)


def test_a_number_that_cannot_be_written_refuses_the_run(file):
    file.parent.parent.write_text("a file where a folder should be")
    with pytest.raises(run_number.RunRefused, match="run_number"):
        run_number.require(7)


def test_of_many_at_once_the_highest_stays(file):
    threads = [threading.Thread(target=run_number.advance, args=(number,)) for number in range(1, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.read_text() == "29\n"


def answer(module, capsys, **arguments):
    """What a module prints, as on a droplet."""
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    return json.loads(capsys.readouterr().out)


def arguments_of(tmp_path):
    service = {"name": "web", "image": "app:1", "user": "1:1"}
    return {
        config_files: {"name": "sample", "files": [{"dest": str(tmp_path / "file"), "content": "x"}]},
        container_release: {"operation": "commit", "services": {"web": "abc"}},
        container_service: service,
        image_pull: {"images": ["app:1"]},
        packages: {"name": ["no-such-package"]},
    }


@pytest.mark.parametrize("module", [config_files, container_release, container_service, image_pull, packages], ids=lambda module: module.__name__.split(".")[-1])
@pytest.mark.parametrize("check", [False, True])
def test_every_module_that_changes_a_droplet_refuses_before_anything_else(module, check, tmp_path, capsys, monkeypatch):
    """Engine and package manager are out of reach: a module that asked them first would say so."""
    monkeypatch.setenv("PATH", "/nonexistent")
    run_number.require(7)
    refused = answer(module, capsys, run_number=6, _ansible_check_mode=check, **arguments_of(tmp_path)[module])
    assert refused["failed"] and refused["msg"].startswith("A newer run (number 7) has changed this droplet, or run 6 was ended"), refused
    assert not (tmp_path / "file").exists()


def test_a_module_that_waits_for_the_service_refuses_what_became_older_meanwhile(tmp_path, capsys):
    lock = host.Lock(str(tmp_path / "state" / "container_service" / "web.lock"), 5, host.Clock())
    run_number.require(6)

    def newer_run():
        run_number.require(7)
        lock.__exit__()

    lock.__enter__()
    timer = threading.Timer(0.5, newer_run)
    timer.start()
    refused = answer(container_service, capsys, run_number=6, **arguments_of(tmp_path)[container_service])
    timer.join()
    assert refused["failed"] and refused["msg"].startswith("A newer run (number 7)")


def test_the_module_for_unlock(file, capsys):
    assert answer(refuse_runs, capsys, number=7, _ansible_check_mode=True)["changed"]
    assert not file.parent.exists()
    first = answer(refuse_runs, capsys, number=7)
    assert (first["changed"], first["lowest"]) == (True, 8)
    assert (answer(refuse_runs, capsys, number=7)["changed"], file.read_text()) == (False, "8\n")
    run_number.require(20)
    older = answer(refuse_runs, capsys, number=7)
    assert (older["changed"], older["lowest"]) == (False, 20)
    file.write_text("x")
    assert str(file) in answer(refuse_runs, capsys, number=7)["msg"]
    assert "number of a run" in answer(refuse_runs, capsys, number=-1)["msg"]
