# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pausing the scheduler's queues: all of them, each of them once, and nothing in a check run."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from tests.support.node import NODE

# As much of Bull as is asked for, with a file in Redis's place.
BULL = """
const fs = require('fs');
const read = () => JSON.parse(fs.readFileSync(process.env.STATE));
const write = (state) => fs.writeFileSync(process.env.STATE, JSON.stringify(state));
module.exports = class Queue {
  constructor(name) { this.name = name; }
  on(event, handler) { if (process.env.BROKEN) setTimeout(() => handler(Object.assign(new Error(process.env.BROKEN), { code: process.env.CODE })), 5); }
  async isPaused() { if (process.env.BROKEN) await new Promise(() => {}); return read().paused.includes(this.name); }
  async set(on) {
    const state = read();
    if (state.paused.includes(this.name) === on) throw new Error('twice');
    state.paused = on ? [...state.paused, this.name] : state.paused.filter((name) => name !== this.name);
    write(state);
  }
  async pause() { await this.set(true); }
  async resume() { await this.set(false); }
  async getActiveCount() {
    const state = read();
    state.asked = (state.asked || 0) + 1;
    write(state);
    return this.name === 'zip' && state.asked <= state.busy ? 1 : 0;
  }
  async getWaitingCount() { return 0; }
};
"""


@pytest.fixture
def queues(repo, tmp_path):
    """queues("pause", paused=[...]): status of the program, its lines, and which queues are paused afterwards."""
    bull = tmp_path / "node_modules" / "bull"
    bull.mkdir(parents=True)
    (bull / "index.js").write_text(BULL)
    state = tmp_path / "state.json"

    def run(*words, paused=(), busy=0, **environment):
        state.write_text(json.dumps({"paused": list(paused), "busy": busy}))
        done = subprocess.run(
            [NODE, str(repo / "roles" / "export_scheduler" / "files" / "queues.js"), *words],
            cwd=tmp_path, env={"PATH": os.environ["PATH"], "STATE": str(state), **environment}, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines(), json.loads(state.read_text())["paused"]

    return run


@pytest.fixture
def names(repo):
    """The queues of the sample application, as its own source names them."""
    jobs = repo / "lab" / "sample" / "packages" / "api" / "src" / "jobs"
    listed = re.search(r"QUEUES = \[(.*?)\]", (jobs / "exports.js").read_text())[1]
    return re.findall(r"'([^']*)'", listed) + re.findall(r"queue\('([^']*)'\)", (jobs / "notifications.js").read_text())


def test_every_queue_of_the_application_is_paused_and_goes_on_again(queues, names):
    status, lines, paused = queues("pause")
    assert (status, sorted(paused)) == (0, sorted(names))
    assert "Schedule driver " in paused
    assert lines[-1].startswith("all queues are paused;")
    status, lines, paused = queues("resume", paused=paused)
    assert (status, paused) == (0, [])
    assert lines[-1].startswith("all queues work;")


def test_what_is_paused_is_not_paused_once_more(queues, names):
    status, lines, _paused = queues("pause", paused=names)
    assert status == 0
    assert not [line for line in lines if line.startswith("changed:")]


def test_a_run_that_was_killed_half_way_is_finished(queues, names):
    _status, lines, paused = queues("pause", paused=names[:3])
    assert sorted(paused) == sorted(names)
    assert len([line for line in lines if line.startswith("changed:")]) == len(names) - 3


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_check_run_changes_nothing_and_says_what_would(queues, names, verb):
    before = names[:1]
    _status, lines, paused = queues(verb, "--check", paused=before)
    assert paused == before
    assert [line for line in lines if line.startswith("changed:") and "would be" in line]


def test_jobs_in_work_are_waited_for_and_not_for_ever(queues):
    began = queues("pause", busy=20)[1]
    assert began[-1].endswith("0 are in work")
    assert queues("pause", busy=10**6, QUEUES_WAIT_MS="300")[1][-1].endswith("1 are in work")


def test_status_names_what_is_paused(queues):
    assert queues("status", paused=["zip"])[1] == ["paused: 'zip'; 0 jobs wait, 0 are in work"]


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"BROKEN": "WRONGPASS invalid username-password pair"}, "refuses the password (WRONGPASS)"),
        ({"BROKEN": "connect ECONNREFUSED", "CODE": "ECONNREFUSED"}, "is not reachable (ECONNREFUSED)"),
        ({"BROKEN": "slow", "QUEUES_TIMEOUT_MS": "300"}, "does not answer within 300 ms"),
    ],
)
def test_a_redis_that_does_not_answer_is_told(queues, environment, reason):
    status, lines, _paused = queues("pause", **environment)
    assert (status, lines) == (1, [f"Redis at 127.0.0.1:6379 {reason}"])


def test_another_word_is_refused(queues):
    assert queues("stop")[:2] == (1, ["say status, pause or resume"])


def test_it_is_in_the_container(evaluate, repo):
    files = {file["path"]: file["content"] for file in evaluate("export_scheduler", "export_scheduler__config_files")}
    assert files["/etc/litefarm/queues.js"] == (repo / "roles" / "export_scheduler" / "files" / "queues.js").read_text()
    assert "/etc/litefarm/queues.js" in (repo / "playbooks" / "vars" / "maintenance.yml").read_text()
