# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What HAProxy and the journal say about requests that wait, and what verify.yml makes of it."""

from __future__ import annotations

import socket
import threading

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _request_queues as request_queues
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification import inside

# As HAProxy 2.6 answers, without the columns that nobody reads.
STATISTICS = """# pxname,svname,qcur,qmax,scur,smax,slim,stot
api,nginx,0,4,3,3,3,40
api,BACKEND,6,6,9,9,200,40
imaginary,nginx,0,0,0,0,4,0
imaginary,BACKEND,0,0,0,0,200,0

"""
JOURNAL = """litefarm-queue service=imaginary status=503 waited_ms=30001 state=sQ
litefarm-queue service=imaginary status=503 waited_ms=-1 state=LR
litefarm-queue service=api status=502 waited_ms=0 state=SH
Proxy imaginary stopped (cumulated conns: FE: 0, BE: 45).
"""


@pytest.fixture
def haproxy(tmp_path):
    """A socket that answers one question."""
    path, asked = str(tmp_path / "admin.sock"), []
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def answer():
        connection, _address = server.accept()
        with connection:
            asked.append(connection.recv(100))
            connection.sendall(STATISTICS.encode())

    thread = threading.Thread(target=answer)
    thread.start()
    yield path, asked
    thread.join()
    server.close()


@pytest.fixture
def journal(tmp_path, monkeypatch):
    """What journalctl prints, or None: it fails."""

    def says(text):
        script = tmp_path / "journalctl"
        script.write_text("#!/bin/sh\nexit 1\n" if text is None else f"#!/bin/sh\ncat <<'END'\n{text}END\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return says


@pytest.mark.parametrize(
    ("said", "refused"),
    [(JOURNAL, {"api": 0, "imaginary": 2}), ("", {"api": 0, "imaginary": 0}), (None, {"api": None, "imaginary": None})],
)
def test_what_waits_and_what_was_refused(haproxy, journal, said, refused):
    path, asked = haproxy
    journal(said)
    assert request_queues.look(path) == {
        "error": None,
        "services": {
            "api": {"waiting": 6, "working": 3, "refused": refused["api"]},
            "imaginary": {"waiting": 0, "working": 0, "refused": refused["imaginary"]},
        },
    }
    assert asked == [b"show stat -1 6 -1\n"]


def test_a_haproxy_that_does_not_run(tmp_path):
    found = request_queues.look(str(tmp_path / "admin.sock"))
    assert found == {"error": "HAProxy does not answer (No such file or directory)", "services": {}}


@pytest.mark.parametrize(
    ("found", "result", "seen"),
    [
        ({"error": None, "services": {"api": {"waiting": 6, "working": 3, "refused": 0}}}, "ok", "3 at work, 6 waiting"),
        ({"error": None, "services": {"api": {"waiting": 0, "working": 0, "refused": None}}}, "ok", "0 at work, 0 waiting"),
        (
            {"error": None, "services": {"api": {"waiting": 6, "working": 3, "refused": 2}}},
            "WARN",
            "3 at work, 6 waiting, 2 refused in the last hour: with a larger api_memory_mb more are worked on at once",
        ),
        ({"error": None, "services": {}}, "FAIL", "HAProxy does not know the service: site.yml configures it"),
        ({"error": "HAProxy does not answer (x)", "services": {}}, "FAIL", "HAProxy does not answer (x), so nothing bounds the requests: site.yml starts it"),
        (None, "FAIL", "not asked, so nothing bounds the requests: site.yml starts it"),
    ],
)
def test_verify_tells_of_it(found, result, seen):
    check = {"check": "queue", "kind": "queue", "service": "api"}
    (row,) = inside.INSIDE["queue"](check, {"request_queues": found}, "one")
    assert (row["result"], row["seen"], row["where"]) == (result, seen, "one api")
    assert inside.arguments_of([check])["request_queues"] is True
    assert inside.arguments_of([])["request_queues"] is False
