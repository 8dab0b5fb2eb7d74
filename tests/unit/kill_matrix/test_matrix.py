# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kill matrix, as far as it needs no droplet: it leaves no row out, keeps off labs that nobody named, and a wrong cell is told."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.scenarios.kill_matrix import cells, verdict
from tests.scenarios.kill_matrix.conftest import checked_lab
from tests.scenarios.kill_matrix.droplet import Run, _lives
from tests.scenarios.kill_matrix.matrix import Seen, outage, waves
from tests.scenarios.kill_matrix.users import Answer, Users, answer_of
from tests.support import load
from tests.unit.plugins.container_service.protocol import DOCUMENT, tables

VERSIONS = {"older": "1", "old": "2", "new": "3"}


def row_of(table, step):
    return next(row for row in cells.rows() if (row.table, row["step"]) == (table, step))


def container(name, version, state="running", policy="unless-stopped", port=0, number=1):
    return {
        "id": name + version, "name": name, "version": version, "state": state, "policy": policy, "port": port, "number": number, "spec": "spec" + version,
    }  # fmt: skip


def seen_at_write():
    """What a good cell `rolling-write-module-killed` sees."""
    older = container("w.previous.1", "1", "exited", "no", 21000, 1)
    left = [container("w", "2", port=21001, number=2), container("w.next", "3", port=21000, number=3), older]
    after = [container("w", "3", port=21000, number=3), container("w.previous.2", "2", "exited", "no", 21001, 2)]
    after[0]["id"] = left[1]["id"]
    return Seen(
        VERSIONS,
        before={"containers": left, "upstream": [21000, 21001], "paused": False, "due": False},
        after={"containers": after, "upstream": [21000], "init_commands": [], "with_secrets": ["spec2", "spec3"], "paused": False, "due": False},
        serves=["old"],
        during=[Answer(0, 0.1, "2", None), Answer(1, 1.1, "3", None)],
        next_run={"failed": False, "changed": True},
        last=["new"],
    )


WRONG = {
    "never reached": ({"reached": False}, "never reached"),
    "evidence": ({"before": {"containers": [], "upstream": [], "paused": False, "due": False}}, "current is '-'"),
    "unknown pause": ({"before": {"containers": [], "upstream": [], "paused": True, "due": False}}, "does not know that after_start is due"),
    "serves": ({"serves": ["old", "nobody"]}, "old and nobody served"),
    "request": ({"during": [Answer(0, 0.1, None, "HTTP 503")]}, "1 of 1 requests failed"),
    "stranger": ({"during": [Answer(0, 0.1, "1", None)]}, "older answered"),
    "next run": ({"next_run": {"failed": True, "msg": "no"}}, "The next run failed: no"),
    "no next run": ({"next_run": None}, "said nothing"),
    "nothing done": ({"next_run": {"failed": False, "changed": False}}, "The next run nothing, and the protocol says 'resumes'"),
    "end": ({"last": ["old"]}, "In the end old answers instead of new"),
}


def test_every_row_of_the_protocol_is_a_service_of_its_own():
    rows = cells.rows()
    assert len(rows) == sum(len(table) for table in tables().values()) == len({row.service for row in rows})
    ports = [port for row in rows for port in row.ports]
    assert len(ports) == len(set(ports)) and max(ports) < 32768


@pytest.mark.parametrize("name", ["several hosts", "hosts-2", "Edge"])
def test_a_table_that_the_matrix_does_not_know_is_refused(name):
    document = DOCUMENT.read_text() + f"\n<!-- table: {name} -->\n| step |\n|---|\n| x |\n"
    with pytest.raises(ValueError, match=name):
        cells.rows(document)


def test_a_table_that_is_gone_is_refused():
    found = {name: rows for name, rows in tables().items() if name != "recreate undo"}
    with pytest.raises(ValueError, match="teach it"):
        cells.rows(found=found)


def test_who_must_not_be_reloaded_by_others_comes_last():
    parts = waves(cells.rows())
    assert [[row["step"] for row in part] for part in parts[1:]] == [["unwrite"], ["write", "validate"]]
    assert sum(map(len, parts)) == len(cells.rows())


@pytest.mark.parametrize("environment", [{}, {"LITEFARM_LAB": ""}, {"LITEFARM_LAB": "litefarm"}])
def test_a_lab_that_nobody_named_is_left_alone(environment):
    with pytest.raises(pytest.UsageError, match="needs a lab of its own"):
        checked_lab(environment)


def test_a_lab_of_its_own_is_taken():
    assert checked_lab({"LITEFARM_LAB": "killmatrix"}) == "killmatrix"


def test_a_good_cell():
    assert verdict.problems(row_of("rolling", "write"), cells.MODULE, seen_at_write()) == []


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_cell_is_told(wrong):
    change, words = WRONG[wrong]
    found = verdict.problems(row_of("rolling", "write"), cells.MODULE, dataclasses.replace(seen_at_write(), **change))
    assert any(words in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"with_secrets": ["spec2", "spec3", "spec9"]}, "spec9"),
        ({"init_commands": ["w.shot.prepare"]}, "w.shot.prepare"),
        ({"paused": True}, "still paused"),
        ({"due": True}, "after_start is due"),
        ({"upstream": [21000, 21001]}, "upstream is 'new, else nobody'"),
    ],
)
def test_what_is_left_in_the_end_is_told(change, words):
    seen = seen_at_write()
    seen.after |= change
    assert any(words in sentence for sentence in verdict.problems(row_of("rolling", "write"), cells.MODULE, seen))


def test_after_a_reboot_nobody_else_than_the_protocol_says_may_serve():
    assert verdict.allowed(row_of("rolling", "write"), cells.REBOOTED) == {"new"}
    assert verdict.allowed(row_of("recreate", "stop"), cells.CUT) == {"old"}
    assert verdict.allowed(row_of("recreate", "stop"), cells.RESTARTED) == {"nobody", "old"}
    assert verdict.allowed(row_of("recreate", "start"), cells.RESTARTED) == {"new"}


@pytest.mark.parametrize(
    ("status", "error", "body", "told"),
    [
        (200, None, b"version 12.", ("12", None)),
        (200, None, b"version 12", (None, "cut short")),
        (302, None, b"version 12.", (None, "HTTP 302")),
        (503, None, b"closed", (None, "HTTP 503")),
        (None, "ConnectionRefusedError", b"", (None, "ConnectionRefusedError")),
    ],
)
def test_only_the_whole_page_of_a_version_is_an_answer(status, error, body, told):
    answer = answer_of(load.Answer("u", 1.0, 0.5, status, error, body))
    assert (answer.began, answer.ended) == (1.0, 1.5)
    assert (answer.version, answer.error) == told


class Nginx(BaseHTTPRequestHandler):
    """The version of `one` is 7, and nobody else is served."""

    def do_GET(self):
        good = self.headers["Host"] == "one.kill-matrix.test"
        body = b"version 7." if good else b"closed"
        self.send_response(200 if good else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        """Say nothing."""


def test_users_ask_every_service_and_are_told_while_they_ask():
    with ThreadingHTTPServer(("127.0.0.1", 0), Nginx) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        began = time.monotonic()
        with Users("127.0.0.1", ["one", "two"], rate=20.0, port=server.server_port) as users:
            deadline = began + 20
            while not all(users.between(service, began, deadline) for service in ("one", "two")) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert {(each.version, each.error) for each in users.between("one", began, deadline)} == {("7", None)}
            assert {(each.version, each.error) for each in users.between("two", began, deadline)} == {(None, "HTTP 503")}
            assert users.between("one", began - 1, began) == []
        server.shutdown()


def test_the_longest_outage_counts():
    answers = [Answer(0, 0.1, "1", None), Answer(1, 1.2, None, "x"), Answer(2, 2.5, None, "x"), Answer(3, 3.1, "1", None), Answer(4, 4.1, None, "x")]
    assert outage(answers) == 1.5


def test_the_page_has_every_cell_and_does_not_hide_a_wrong_one():
    row = row_of("rolling", "write")
    text = verdict.page({cells.MODULE: {row: seen_at_write()}, cells.REBOOTED: {row: dataclasses.replace(seen_at_write(), reached=False)}})
    assert "| write | old; 0 of 2 failed; resumes, new serves | **wrong**: The step write was never reached" in text


def test_a_killed_run_leaves_no_worker_that_made_a_session_of_its_own(tmp_path):
    file = tmp_path / "pids"
    worker = f"import os, subprocess, time; os.setsid(); c = subprocess.Popen(['sleep', '60']); open({str(file)!r}, 'w').write(f'{{os.getpid()}} {{c.pid}}.'); time.sleep(60)"
    main = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {worker!r}])"
    run = Run([sys.executable, "-c", main], dict(os.environ), tmp_path / "log")
    deadline = time.monotonic() + 20
    while not (file.exists() and file.read_text().endswith(".")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert run.kill() == 3
    assert not any(_lives(int(pid)) for pid in file.read_text().rstrip(".").split())
