# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pausing the scheduler's queues: all of them, each of them once, and nothing in a check run."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess
import time

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.host import STATE_DIRECTORY, Host

from tests.support.node import NODE

# What containers that run have mounted.
MOUNTED = "d8530c3c772149779d42379df5d228fc4637c485789263acde8a145783e7a7aa"

# As much of Bull as is asked for, with a file in Redis's place.
BULL = """
const fs = require('fs');
const read = () => JSON.parse(fs.readFileSync(process.env.STATE));
const write = (state) => fs.writeFileSync(process.env.STATE, JSON.stringify(state));
const change = (how) => { const state = read(); const answer = how(state); write(state); return answer; };
const failed = (key) => (read().failed[key.split(':')[1]] || []).map(([id, at, reason]) => ({ id: String(id), at, reason }));
const client = {
  async hkeys() { return Object.keys(read().by_release); },
  async hexists(_key, name) { return name in read().by_release ? 1 : 0; },
  async hset(_key, name, since) { change((state) => { state.by_release[name] = since; }); },
  async hdel(key, ...fields) {
    change((state) => {
      if (key === 'bull:litefarm:paused_by_release') fields.forEach((name) => delete state.by_release[name]);
      else state.forgotten.push([key, ...fields]);
    });
  },
  async zcard(key) { return failed(key).length; },
  async zcount(key, from) { return failed(key).filter(({ at }) => at >= from).length; },
  async zscore(key, id) { const found = failed(key).find((each) => each.id === id); return found ? String(found.at) : null; },
  async zrange(key, from, to, scores) {
    return failed(key).slice(from, to < 0 ? undefined : to + 1).flatMap(({ id, at }) => (scores ? [id, String(at)] : [id]));
  },
  async lindex(key) { const waiting = read().waiting[key.split(':')[1]]; return waiting ? waiting[Math.min(state_looks(key), waiting.length - 1)][0] : null; },
  async hmget(key, field) {
    if (field === 'timestamp') return Object.values(read().waiting).flat().find(([id]) => key.endsWith(`:${id}`)).slice(1);
    return [failed(key).find(({ id }) => key.endsWith(`:${id}`)).reason, '1'];
  },
};
// How often a queue was looked at before.
const looks = {};
const state_looks = (key) => { looks[key] = (looks[key] ?? -1) + 1; return looks[key]; };
module.exports = class Queue {
  constructor(name) { this.name = name; this.client = client; }
  async isReady() {}
  toKey(part) { return `bull:${this.name}:${part}`; }
  async getJob(id) {
    return { retry: async () => change((state) => {
      state.failed[this.name] = state.failed[this.name].filter(([each]) => String(each) !== id);
      state.retried.push([this.name, id]);
    }) };
  }
  on(event, handler) { if (process.env.BROKEN) setTimeout(() => handler(Object.assign(new Error(process.env.BROKEN), { code: process.env.CODE })), 5); }
  async isPaused() { if (process.env.BROKEN) await new Promise(() => {}); return read().paused.includes(this.name); }
  async set(on) {
    const state = read();
    if (state.paused.includes(this.name) === on) throw new Error('twice');
    state.paused = on ? [...state.paused, this.name] : state.paused.filter((name) => name !== this.name);
    // Killed right after it.
    if (state.dies === this.name) { state.dies = null; write(state); process.exit(137); }
    write(state);
  }
  async pause() { await this.set(true); }
  async resume() { await this.set(false); }
  async getActiveCount() {
    const state = read();
    state.asked = (state.asked || 0) + 1;
    write(state);
    // From one look on, and for one more.
    if (this.name === 'excel' && state.asked > 7 * state.later && state.asked <= 7 * state.later + 7) return 1;
    return this.name === 'zip' && state.asked <= state.busy ? 1 : 0;
  }
  async getWaitingCount() { return (read().waiting[this.name] || []).length; }
};
"""


@pytest.fixture
def queues(repo, tmp_path):
    """queues("pause", paused=[...]): status of the program, its lines, and which queues are paused afterwards; `queues.state` is all there is."""
    bull = tmp_path / "node_modules" / "bull"
    bull.mkdir(parents=True)
    (bull / "index.js").write_text(BULL)
    state = tmp_path / "state.json"

    program = (repo / "roles" / "export_scheduler" / "files" / "queues.js").read_text()

    def run(*words, paused=(), busy=0, later=10**6, by_release=(), failed=None, waiting=None, dies=None, **environment):
        kept = {"paused": list(paused), "busy": busy, "later": later, "by_release": dict.fromkeys(by_release, 1), "failed": failed or {}, "dies": dies}
        kept["waiting"] = waiting or {}
        state.write_text(json.dumps({**kept, "forgotten": [], "retried": []}))
        environment = {"PATH": os.environ["PATH"], "STATE": str(state), "QUEUES_QUIET_MS": "0", "QUEUES_LOOK_AGAIN_MS": "1", **environment}
        done = subprocess.run([NODE, "-", *words], input=program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False)
        assert done.stderr == ""
        run.state = json.loads(state.read_text())
        return done.returncode, done.stdout.splitlines(), run.state["paused"]

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
    assert queues("stop")[:2] == (1, ["say status, pause, resume, begin-release, end-release, report, untaken, failed, retry"])
    assert queues("begin-release")[:2] == (1, ["say for how many seconds jobs in work are waited for: begin-release 60"])


class TestRelease:
    def test_it_pauses_all_queues_and_resumes_them(self, queues, names):
        status, lines, paused = queues("begin-release", "1")
        assert (status, sorted(paused)) == (0, sorted(names))
        assert sorted(queues.state["by_release"]) == sorted(names)
        assert lines[-1].startswith("all queues are paused; by a release: 'retrieve',")
        status, lines, paused = queues("end-release", paused=paused, by_release=names)
        assert (status, paused, queues.state["by_release"]) == (0, [], {})
        assert lines[-1].startswith("all queues work;")

    def test_it_never_ends_the_pause_of_a_person(self, queues, names):
        paused = queues("begin-release", "1", paused=["zip"])[2]
        assert sorted(paused) == sorted(names)
        assert "zip" not in queues.state["by_release"]
        assert queues("end-release", paused=paused, by_release=queues.state["by_release"])[2] == ["zip"]

    @pytest.mark.parametrize("verb", ["end-release", "begin-release"])
    def test_once_more_changes_nothing(self, queues, verb):
        paused = [] if verb == "end-release" else ["zip"]
        names = [] if verb == "end-release" else ['--queues=["zip"]']
        _status, lines, after = queues(verb, "1", *names, paused=paused, by_release=paused)
        assert (after, list(queues.state["by_release"])) == (paused, paused)
        assert not [line for line in lines if line.startswith("changed:")]

    @pytest.mark.parametrize("number", range(7))
    def test_killed_at_any_queue_the_next_one_resumes_what_it_paused(self, queues, names, number):
        status, _lines, paused = queues("begin-release", "1", paused=["email"], dies=names[number])
        assert status == (0 if names[number] == "email" else 137)
        assert queues("end-release", paused=paused, by_release=queues.state["by_release"])[2] == ["email"]

    @pytest.mark.parametrize("number", range(7))
    def test_killed_while_it_resumes_the_next_one_goes_on(self, queues, names, number):
        assert queues("end-release", paused=names, by_release=names, dies=names[number])[0] == 137
        assert queues("end-release", paused=queues.state["paused"], by_release=queues.state["by_release"])[2] == []

    def test_maintenance_takes_the_pause_over(self, queues, names):
        _status, lines, paused = queues("pause", paused=names, by_release=names[1:])
        assert queues.state["by_release"] == {}
        assert [line for line in lines if line.startswith("changed:")] == [f"changed: '{name}' stays paused after the release" for name in names[1:]]
        assert queues("end-release", paused=paused)[2] == names

    def test_a_check_run_of_maintenance_takes_nothing_over(self, queues, names):
        _status, lines, _paused = queues("pause", "--check", paused=names, by_release=names)
        assert sorted(queues.state["by_release"]) == sorted(names)
        assert "changed: 'zip' would stay paused after the release" in lines

    def test_the_end_of_maintenance_ends_all_of_it(self, queues, names):
        assert queues("resume", paused=names, by_release=names)[2] == []
        assert queues.state["by_release"] == {}

    def test_jobs_in_work_are_waited_for(self, queues):
        lines = queues("begin-release", "60", busy=20)[1]
        assert not [line for line in lines if line.startswith("warning:")]
        assert lines[-1].endswith("0 are in work")

    def test_a_job_that_follows_another_one_a_moment_later_is_waited_for(self, queues):
        """Of LiteFarm's steps each ends before it has handed on."""
        queues("begin-release", "60", busy=7, later=2, QUEUES_QUIET_MS="600")
        looks = queues.state["asked"] // 7
        assert looks >= 5, "the job at the third look was not seen, or not waited for"
        queues("begin-release", "60")
        assert queues.state["asked"] // 7 <= 2

    def test_jobs_that_do_not_end_are_counted(self, queues):
        lines = queues("begin-release", "0", busy=10**6)[1]
        assert lines[0].startswith("warning: 1 jobs were still in work after 0 s and are cut off: 1 of 'zip'.")
        assert lines[-1].endswith("1 are in work")

    def test_a_queue_that_an_operator_has_added_is_paused_too(self, queues):
        assert queues("begin-release", "1", '--queues=["zip", "reports of a year"]')[2] == ["zip", "reports of a year"]

    @pytest.mark.parametrize("words", [["begin-release", "1"], ["end-release"], ["pause"], ["resume"], ["status"], ["failed"]])
    def test_without_queues_there_is_nothing_to_do(self, queues, words):
        assert queues(*words, "--queues=[]", paused=["zip"]) == (0, ["no queues are named"], ["zip"])

    def test_a_queue_that_is_not_named_any_more_is_resumed(self, queues):
        assert queues("end-release", '--queues=["zip"]', paused=["retrieve"], by_release=["retrieve"])[2] == []


NOW = time.time()
FAILED = {
    "excel": [[7, int((NOW - 3 * 86400) * 1000), "job stalled more than allowable limit\n at x"], [9, int((NOW - 60) * 1000), "no crops"]],
    "email": [["a", int((NOW - 600) * 1000), "550 <farmer@example.org> is unknown"]],
}


class TestFailed:
    def test_they_are_counted_in_all_and_of_the_last_day(self, queues):
        _status, (line,), _paused = queues("report", failed=FAILED, paused=["zip", "upload"], by_release=["zip"])
        found = json.loads(line)
        counts = {name: (each["failed"], each["failed_last_day"]) for name, each in found["queues"].items() if each["failed"]}
        assert counts == {"excel": (2, 1), "email": (1, 1)}
        assert {name: each["paused_by"] for name, each in found["queues"].items() if each["paused_by"]} == {"zip": "a release", "upload": "a person"}
        # These tests may run for minutes after this file was read.
        assert abs(found["oldest"].pop("age") - 3 * 86400 - (time.time() - NOW)) < 60
        assert found["oldest"] == {"queue": "excel", "id": "7", "reason": "job stalled more than allowable limit"}

    def test_without_any_there_is_no_oldest(self, queues):
        assert json.loads(queues("report")[1][0])["oldest"] is None
        assert json.loads(queues("report", "--queues=[]")[1][0]) == {"queues": {}, "oldest": None}

    @pytest.mark.parametrize(
        ("age", "delay", "more", "untaken"),
        [
            (3600, 0, {}, True),
            (3600, 3590, {}, False),
            (60, 0, {}, False),
            (3600, 0, {"paused": ["zip"]}, False),
            # In work at the first look, and at the second one.
            (3600, 0, {"busy": 1}, False),
            (3600, 0, {"busy": 7}, False),
        ],
    )
    def test_a_job_that_nobody_takes_is_told(self, queues, age, delay, more, untaken):
        job = ["1", str(int((time.time() - age) * 1000)), str(delay * 1000)]
        found = json.loads(queues("report", waiting={"zip": [job]}, **more)[1][0])["queues"]["zip"]
        assert found["waiting"] == 1 and (age <= found["untaken"] < age + 60 if untaken else found["untaken"] == 0)

    def test_a_job_whose_turn_has_come_between_two_looks_is_taken(self, queues):
        jobs = [[number, str(int((time.time() - 3600) * 1000)), "0"] for number in ("1", "2")]
        assert json.loads(queues("report", waiting={"zip": jobs})[1][0])["queues"]["zip"]["untaken"] == 0

    @pytest.mark.parametrize(("more", "restart"), [({}, True), ({"paused": ["zip"]}, False), ({"busy": 1}, False), ({"busy": 21}, False)])
    def test_the_watch_of_the_queues_reads_one_number(self, queues, more, restart):
        job = ["1", str(int((time.time() - 3600) * 1000)), "0"]
        status, lines, _paused = queues("untaken", waiting={"zip": [job]}, **more)
        assert status == 0 and (3600 <= int(lines[-1]) < 3700 if restart else lines == ["0"])

    def test_they_are_listed_without_anybody_s_address(self, queues):
        lines = queues("failed", failed=FAILED)[1]
        assert re.fullmatch(r"'excel' 7: failed \d{4}-\d\d-\d\d \d\d:\d\d UTC: job stalled more than allowable limit", lines[0])
        assert lines[1].endswith(": 550 <(address)> is unknown")
        assert lines[3] == "3 jobs have failed: litefarm-queues retry QUEUE ID queues one again"

    @pytest.mark.parametrize(
        ("words", "retried"),
        [
            (["excel", "9"], [["excel", "9"]]),
            (["excel"], [["excel", "7"], ["excel", "9"]]),
            (["all"], [["excel", "7"], ["excel", "9"], ["email", "a"]]),
            (["Schedule driver"], []),
        ],
    )
    def test_they_are_queued_again_and_may_be_cut_off_once_more(self, queues, words, retried):
        status, lines, _paused = queues("retry", *words, failed=FAILED)
        assert (status, queues.state["retried"]) == (0, retried)
        assert queues.state["forgotten"] == [[f"bull:{queue}:{job}", "stalledCounter"] for queue, job in retried]
        assert lines[-1] == f"{len(retried)} jobs were queued again"

    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            (["excel", "8"], "'excel' has no failed job 8: litefarm-queues failed lists them"),
            (["excels"], "there is no queue 'excels': say one of 'retrieve', "),
            ([], "there is no queue '': say one of 'retrieve', "),
        ],
    )
    def test_one_that_is_not_there_is_told(self, queues, words, reason):
        status, lines, _paused = queues("retry", *words, failed=FAILED)
        assert status == 1 and lines[-1].startswith(reason)

    def test_nothing_is_put_into_a_queue_that_is_paused(self, queues):
        status, lines, _paused = queues("retry", "excel", failed=FAILED, paused=["excel"])
        assert (status, queues.state["retried"]) == (1, [])
        assert lines == ["'excel' is paused, so nothing was queued: resume it first, by maintenance.yml -e litefarm_state=off"]


def test_an_application_without_bull_is_told(repo, tmp_path):
    program = (repo / "roles" / "export_scheduler" / "files" / "queues.js").read_text()
    done = subprocess.run([NODE, "-", "status"], input=program, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, f"the application in {tmp_path} has no Bull (MODULE_NOT_FOUND)\n")


def test_the_queues_of_role_program_and_application_are_the_same(repo, evaluate, names):
    program = (repo / "roles" / "export_scheduler" / "files" / "queues.js").read_text()
    listed = re.findall(r"'([^']*)'", re.search(r"NAMES = \[(.*?)\]", program)[1])
    assert sorted(listed) == sorted(names)
    assert evaluate("export_scheduler", "export_scheduler_queues") == listed


def test_a_release_runs_it_in_containers_that_were_made_without_it(declaration, repo):
    declared = declaration("export_scheduler")
    program = (repo / "roles" / "export_scheduler" / "files" / "queues.js").read_text()
    before, after = declared("before_stop", export_scheduler_job_timeout=90), declared("after_start")
    assert before["command"][:4] == ["node", "-", "begin-release", 90] and before["timeout"] == 110
    assert after["command"][:3] == ["node", "-", "end-release"]
    assert json.loads(before["command"][-1].partition("=")[2])[5] == "Schedule driver "
    assert before["stdin"] == after["stdin"] == program


def test_what_is_mounted_stays_as_it_was_or_every_container_is_replaced(evaluate, repo):
    files = {file["path"]: file["content"] for file in evaluate("export_scheduler", "export_scheduler__config_files")}
    assert files["/etc/litefarm/queues.js"] == (repo / "roles" / "export_scheduler" / "files" / "mounted_queues.js").read_text()
    assert hashlib.sha256(files["/etc/litefarm/queues.js"].encode()).hexdigest() == MOUNTED


@pytest.fixture
def droplet(render, tmp_path, repo):
    """droplet("litefarm-queues", ...): the droplet's program, with an engine that writes down what it is asked; what it said, and those words."""
    bin_folder, asked, due = tmp_path / "bin", tmp_path / "asked", tmp_path / "export_scheduler.after_start_due"
    started = tmp_path / "started"
    bin_folder.mkdir()
    programs = {
        # Of the containers that have exited, the first one has the policy `no`, and the second one `always`.
        "docker": f"""#!/bin/sh
            case "$1 $*" in
                ps*status=running*) if [ -e {started} ]; then echo old; else echo "$RUNNING"; fi ;;
                ps*status=exited*) echo "next old" ;;
                inspect*old) echo always ;;
                inspect*) echo no ;;
                start*) echo "$@" >> {asked}; touch {started} ;;
                *) echo "$@" >> {asked}; cat >> {asked}; [ -z "$SAID" ] || echo "$SAID"; exit "$STATUS" ;;
            esac
        """,
        "litefarm-queues": render("export_scheduler", "litefarm-queues.sh.j2"),
        "litefarm-queues-resume": render("export_scheduler", "litefarm-queues-resume.sh.j2", export_scheduler__due=str(due)),
        "litefarm-queues-watch": render(
            "export_scheduler", "litefarm-queues-watch.sh.j2", export_scheduler__due=str(due), export_scheduler__watch_folder=str(tmp_path)
        ),
    }
    for name, text in programs.items():
        (bin_folder / name).write_text(text)
        (bin_folder / name).chmod(0o755)

    def run(*command, running="abc", status=0, said="", **more):
        environment = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "RUNNING": running, "STATUS": str(status), "SAID": said}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False, **more)
        return done, asked.read_text() if asked.exists() else ""

    run.due, run.bin, run.restarted = due, bin_folder, tmp_path / "restarted"
    return run


def test_the_droplet_s_command_runs_it_in_the_container_that_runs(droplet, repo):
    done, asked = droplet("litefarm-queues", "retry", "Schedule driver ", "7")
    assert done.returncode == 0, done.stderr
    first, _newline, program = asked.partition("\n")
    assert first.startswith('exec --interactive abc node - retry Schedule driver  7 --queues=["retrieve",')
    assert program == (repo / "roles" / "export_scheduler" / "files" / "queues.js").read_text()


def test_a_scheduler_that_does_not_run_is_told(droplet):
    done, asked = droplet("litefarm-queues", "failed", running="")
    assert (done.returncode, asked) == (1, "")
    assert "The export scheduler does not run on this droplet" in done.stdout


def test_a_pause_that_a_killed_release_left_is_ended_by_the_droplet(droplet):
    droplet.due.write_text("")
    done, asked = droplet("litefarm-queues-resume")
    assert done.returncode == 0, done.stderr
    assert asked.startswith("exec --interactive abc node - end-release --queues=")
    assert not droplet.due.exists()


def test_a_release_that_was_killed_between_stop_and_start_gets_its_old_container_back(droplet):
    """The one that a reboot would start: `old exited always` in the protocol."""
    droplet.due.write_text("")
    done, asked = droplet("litefarm-queues-resume", running="")
    assert done.returncode == 0, done.stderr
    assert asked.startswith("start old\nexec --interactive old node - end-release --queues=")
    assert not droplet.due.exists()


@pytest.mark.parametrize("running", ["abc", ""])
def test_a_pause_that_cannot_be_ended_stays_due(droplet, running):
    droplet.due.write_text("")
    assert droplet("litefarm-queues-resume", running=running, status=1)[0].returncode == 1
    assert droplet.due.exists()


def test_a_release_that_is_at_work_is_waited_for(droplet):
    """The lock is the one that container_service holds."""
    droplet.due.write_text("")
    with droplet.due.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environment = {"PATH": f"{droplet.bin}:{os.environ['PATH']}", "RUNNING": "abc", "STATUS": "0", "SAID": ""}
        with subprocess.Popen(["litefarm-queues-resume"], env=environment, executable=str(droplet.bin / "litefarm-queues-resume")) as waiting:
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(0.5)
            # The release ends well.
            droplet.due.unlink()
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert waiting.wait(10) == 0
    assert droplet("true")[1] == ""


def test_the_droplet_watches_the_file_that_the_module_writes(evaluate, render):
    due = evaluate("export_scheduler", "export_scheduler__due")
    assert due == Host("export_scheduler", STATE_DIRECTORY).due_path
    assert due.replace(".after_start_due", ".lock") == Host("export_scheduler", STATE_DIRECTORY).lock_path
    assert f"PathExists={due}\n" in render("export_scheduler", "queues-resume.path.j2")


def test_a_scheduler_that_takes_no_job_is_restarted_once_in_an_hour(droplet):
    done, asked = droplet("litefarm-queues-watch", said="180")
    assert done.returncode == 0, done.stderr
    assert asked.startswith("exec --interactive abc node - untaken --queues=") and asked.endswith("\nrestart abc\n")
    assert "A job has waited for 180 s" in done.stdout
    assert droplet("litefarm-queues-watch", said="300")[1] == asked
    os.utime(droplet.restarted, (time.time() - 3700,) * 2)
    assert droplet("litefarm-queues-watch", said="180")[1].count("\nrestart abc\n") == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"said": "0"}, ""),
        ({"said": "Redis at redis:6379 does not answer within 10000 ms", "status": 1}, "Redis at redis:6379 does not answer within 10000 ms\n"),
        ({"running": ""}, "The export scheduler does not run on this droplet, so its queues cannot be asked: run site.yml.\n"),
    ],
)
def test_a_scheduler_is_not_restarted_for_another_reason(droplet, options, told):
    done, asked = droplet("litefarm-queues-watch", **options)
    assert (done.returncode, done.stdout) == (0, told) and "\nrestart abc\n" not in asked


def test_a_scheduler_is_not_restarted_during_a_release(droplet):
    droplet.due.write_text("")
    assert droplet("litefarm-queues-watch", said="180")[1] == ""
    droplet.due.unlink()
    with droplet.due.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert droplet("litefarm-queues-watch", said="180")[1] == ""
