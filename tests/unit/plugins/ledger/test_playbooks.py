# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""status.yml and unlock.yml as a person runs them, against an inventory whose droplets are this machine, or down."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._ledger import Ledger

from tests.support.playbooks import REPO, Environment

ANNA = {"who": "anna", "node": "desk"}
V1 = {"version": "v1", "commit": "a" * 40}
DOWN = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
TASK = "      litefarm.platform.deployment:\n"
REFUSE = "      litefarm.platform.refuse_runs:\n"


@pytest.fixture(name="environment")
def fixture_environment(tmp_path):
    environment = Environment(tmp_path / "inventory")
    environment.book = Ledger(str(tmp_path / "deployment"))
    # Beside the playbooks that play() writes, and where these look for a role's files.
    for folder in ("group_vars", "vars"):
        shutil.copytree(REPO / "playbooks" / folder, tmp_path / "playbooks" / folder)
    (tmp_path / "roles").symlink_to(REPO / "roles")
    return environment


def play(environment, name, *options):
    """The playbook, with a folder of the test instead of the droplet's: that one is nobody's to choose."""
    text = (REPO / "playbooks" / name).read_text()
    assert text.count(TASK) == 1
    playbook = environment.folder.parent / "playbooks" / name
    text = text.replace(TASK, "%s        directory: %s\n" % (TASK, environment.book.directory))
    playbook.write_text(text.replace(REFUSE, "%s        path: %s/run_number\n" % (REFUSE, environment.folder.parent)))
    process = environment.play(playbook, *options)
    return process.returncode, process.stdout + process.stderr


def rows(output, title):
    lines = output.splitlines()
    begin = next((number for number, line in enumerate(lines) if line.startswith(title)), None)
    assert begin is not None, output
    end = next(number for number in range(begin, len(lines)) if "  " not in lines[number])
    return [line.split() for line in lines[begin + 1 : end]]


def test_status_shows_what_runs_the_lock_and_the_history(environment):
    environment.book.record({"kind": "deploy", "result": "ok", "to": V1, "seconds": 9}, ANNA)
    failed = {"kind": "deploy", "result": "failed", "from": V1, "to": {"version": "v2", "commit": "b" * 40}, "message": "it never listened"}
    environment.book.record(failed, ANNA)
    environment.book.take("a", "deploy v3", ANNA)
    before = sorted((path.name, path.read_bytes()) for path in environment.folder.parent.glob("deployment/*"))
    code, output = play(environment, "status.yml")
    assert code == 0, output
    app, other = environment.droplets
    services = [("api", app), ("export_scheduler", other), ("webapp", app), ("imaginary", other), ("postgres", app), ("redis", other)]
    assert [tuple(row[:2]) for row in rows(output, "SERVICE ")] == services
    # Nothing of it runs on this machine, which may have an engine.
    assert all(row[4] in ("missing", "no") for row in rows(output, "SERVICE "))
    assert "anna on desk holds the deploy lock since " in output
    assert "Failed when it was last released: v2 (bbbbbbb)." in output
    assert [row[-1] for row in rows(output, "WHEN ")][:1] == ["ok"]
    assert "it never listened" in output
    assert sorted((path.name, path.read_bytes()) for path in environment.folder.parent.glob("deployment/*")) == before


def test_status_of_an_environment_without_a_history(environment):
    code, output = play(environment, "status.yml")
    assert code == 0, output
    assert "Nobody holds the deploy lock." in output
    assert "WHEN " not in output
    assert not environment.folder.parent.joinpath("deployment").exists()


def test_a_droplet_that_is_down_is_a_row_and_no_failure(environment):
    app, other = environment.droplets
    environment.book.record({"kind": "deploy", "result": "ok", "to": V1}, ANNA)
    environment.host(other, **DOWN)
    code, output = play(environment, "status.yml")
    assert code == 0, output
    unreachable = {tuple(row[:2]) for row in rows(output, "SERVICE ") if row[4] == "unreachable"}
    assert unreachable == {("export_scheduler", other), ("imaginary", other), ("redis", other)}
    assert "%s does not answer: " % other in output
    assert "Nobody holds the deploy lock." in output
    assert "v1 (aaaaaaa)" in output


def test_the_droplet_of_the_ledger_may_be_down_too(environment):
    app, other = environment.droplets
    environment.host(app, **DOWN)
    code, output = play(environment, "status.yml")
    assert code == 0, output
    assert {row[1] for row in rows(output, "SERVICE ") if row[4] == "unreachable"} == {app}
    assert "The lock and the history cannot be read: " in output


def test_unlock_says_what_the_lock_was_and_breaks_it(environment):
    environment.book.take("a", "deploy v2 (bbbbbbb)", ANNA)
    since, number = environment.book.lock()["since"], environment.book.lock()["number"]
    code, output = play(environment, "unlock.yml", "--check")
    assert code == 0, output
    assert environment.book.lock()["run"] == "a"
    code, output = play(environment, "unlock.yml", "-e", "litefarm_operator=ben")
    assert code == 0, output
    assert "The deploy lock of anna on desk (deploy v2 (bbbbbbb), since %s) is broken." % since in " ".join(output.split())
    assert environment.book.lock() is None
    # What the run had in hand on the droplets is refused there.
    assert (environment.folder.parent / "run_number").read_text() == "%d\n" % (number + 1)
    (record,) = environment.book.history()
    assert (record["run"], record["result"]) == ("a", "interrupted")
    assert record["message"].endswith("its lock was broken by ben")
    code, output = play(environment, "unlock.yml")
    assert code == 0, output
    assert "Nobody holds the deploy lock." in output


def test_status_and_verify_tell_of_maintenance(environment):
    """As maintenance.yml leaves it on the droplet that answers for web and API."""
    folder = environment.folder.parent / "maintenance"
    folder.mkdir()
    (folder / "page.html").write_text("closed")
    (folder / "page.json").write_text('{"error": "maintenance", "message": "We are back at 14:00 UTC."}')
    os.utime(folder / "page.html", (1767323045, 1767323045))
    environment.host(environment.droplets[1], litefarm_maintenance_directory=str(folder) + "-none")
    environment.set(litefarm_maintenance_directory=str(folder))
    code, output = play(environment, "status.yml")
    assert code == 0, output
    said = "on since 2026-01-02 03:04 UTC, message 'We are back at 14:00 UTC.'"
    assert "Maintenance is %s (%s)." % (said, environment.droplets[0]) in output
    checks = {"nginx": [{"check": "maintenance", "kind": "maintenance", "path": "{{ litefarm_maintenance_directory }}"}]}
    process = environment.play("verify.yml", "-e", json.dumps({"verify_checks": checks}))
    assert process.returncode != 0
    told = " ".join(process.stdout.replace("''", "'").split())
    assert "Maintenance is %s, so users are not served: end it with playbooks/maintenance.yml -e litefarm_state=off. Nothing else failed." % said in told
    (folder / "page.html").unlink()
    assert "Maintenance" not in play(environment, "status.yml")[1]
    assert environment.play("verify.yml", "-e", json.dumps({"verify_checks": checks})).returncode == 0
