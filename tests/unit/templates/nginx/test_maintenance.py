# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""maintenance.yml as a person runs it, without a droplet: what it refuses, and what it would do."""

from __future__ import annotations

import json

import pytest

from tests.support.night import sample
from tests.support.playbooks import REPO, Environment


@pytest.fixture
def maintenance(tmp_path, monkeypatch):
    """maintenance("state=on", ...): a run with an engine that writes down what it is asked; its result, and those words."""
    environment = Environment(tmp_path / "inventory")
    asked, folder, program = tmp_path / "asked", tmp_path / "maintenance", tmp_path / "program"
    engine = tmp_path / "bin" / "docker"
    engine.parent.mkdir()
    engine.write_text(f"#!/bin/sh\necho \"$@\" >> {asked}\ncat > {program}\necho \"changed: 'zip' would be paused\"\necho 'all queues are paused'\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", str(engine.parent), prepend=":")

    def run(*options):
        process = environment.play("maintenance.yml", "-e", json.dumps({"litefarm_maintenance_directory": str(folder)}), *options)
        return process, asked.read_text().splitlines() if asked.exists() else []

    run.folder, run.program = folder, program
    return run


@pytest.mark.parametrize("state", sample(["state=onn", "state=maybe"]))
def test_another_state_is_refused_before_anything_is_touched(maintenance, state):
    process, asked = maintenance("-e", state)
    assert process.returncode != 0
    assert "it has to be on or off: nothing was changed" in " ".join(process.stdout.split())
    assert asked == []
    assert not maintenance.folder.exists()


@pytest.mark.parametrize(("given", "verb"), sample([("state=on", "pause"), ('{"state": false}', "resume"), ('{"state": true}', "pause"), ("state=off", "resume")], by_day=2))
def test_a_check_run_only_says_what_would_be_done(maintenance, given, verb):
    process, asked = maintenance("--check", "-e", given)
    assert process.returncode == 0, process.stdout
    assert asked == [f"exec --interactive export_scheduler node - {verb} --check"]
    assert not maintenance.folder.exists()


def test_it_uses_the_program_of_a_release_so_that_none_ends_its_pause(maintenance):
    process, asked = maintenance("--check", "-e", "state=on", "-e", '{"export_scheduler_queues": ["zip", "Schedule driver "]}')
    assert process.returncode == 0, process.stdout
    assert asked == ['exec --interactive export_scheduler node - pause --queues=["zip", "Schedule driver "] --check']
    assert maintenance.program.read_text() == (REPO / "roles" / "export_scheduler" / "files" / "queues.js").read_text()


def test_the_page_holds_the_message_as_text_and_not_as_markup(maintenance):
    process, _asked = maintenance("--check", "--diff", "-e", json.dumps({"state": "on", "message": 'Back at 14:00 <b> "soon"'}))
    assert process.returncode == 0, process.stdout
    assert "Back at 14:00 &lt;b&gt; &#34;soon&#34;" in process.stdout
    assert r"Back at 14:00 <b> \"soon\"" in process.stdout


def test_without_a_state_it_says_what_is_so(maintenance):
    process, asked = maintenance()
    assert process.returncode == 0, process.stdout
    assert asked == ["exec --interactive export_scheduler node - status"]
    assert "web and API: open" in process.stdout
    maintenance.folder.mkdir()
    (maintenance.folder / "page.html").write_text("closed")
    assert "web and API: maintenance" in maintenance()[0].stdout
