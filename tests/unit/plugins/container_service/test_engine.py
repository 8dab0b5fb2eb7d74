# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real engine does now and then only: a container that crashes just while it is updated, a command that does not end."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import time

import docker
import pytest
import requests
from ansible_collections.litefarm.platform.plugins.module_utils._container_service import engine as engine_module
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import Engine
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.probes import Prober
from urllib3.exceptions import ProtocolError


STOPPED = "Cannot update container x: cannot update a stopped container"
# Seen once in some fifty releases that crash while the machine is busy.
JUST_EXITED = "Cannot update container x: runc did not terminate successfully: exit status 1: container not running\n: unknown"
STILLBORN = (
    "exec failed: unable to start container process: waiting for init preliminary setup: read init-p: connection reset by peer: unknown"  # as runc 1.1 says it
)


@pytest.fixture
def engine_with(fake, monkeypatch):
    def make(failures, message):
        fake.refusals, fake.refusal = failures, message
        return fake.engine, fake

    monkeypatch.setattr(engine_module, "ATTEMPTS_PAUSE", 0)
    return make


@pytest.mark.parametrize("message", [STOPPED, JUST_EXITED])
def test_a_container_between_two_starts_is_updated_when_that_moment_has_passed(engine_with, message):
    engine, fake = engine_with(3, message)
    engine.set_policy("x", "no")
    assert fake.refused == 3
    assert fake.asked["/containers/x/update"] == ("POST", {"RestartPolicy": {"Name": "no"}})


def test_a_container_whose_first_process_is_stillborn_is_started_again(engine_with):
    engine, fake = engine_with(2, f"failed to create task for container: OCI runtime create failed: {STILLBORN}")
    engine.start("x")
    assert fake.refused == 2
    assert fake.asked["/containers/x/start"] == ("POST", None)


@pytest.mark.parametrize(
    ("message", "change", "told"),
    [
        (STOPPED, lambda engine: engine.set_policy("x", "no"), "could not set the restart policy of x: Cannot update container x"),
        (STILLBORN, lambda engine: engine.start("x"), "could not start the container x: .*read init-p"),
    ],
    ids=["policy", "start"],
)
def test_a_moment_that_does_not_pass_is_an_error(engine_with, message, change, told):
    engine, fake = engine_with(1000, message)
    with pytest.raises(ServiceError, match=told):
        change(engine)
    assert fake.refused == engine_module.ATTEMPTS


@pytest.mark.parametrize("change", [lambda engine: engine.set_policy("x", "no"), lambda engine: engine.start("x")], ids=["policy", "start"])
def test_any_other_refusal_is_an_error_at_once(engine_with, change):
    engine, fake = engine_with(1, "no such container")
    with pytest.raises(ServiceError, match="no such container"):
        change(engine)
    assert fake.refused == 1


def test_a_command_whose_process_is_stillborn_is_run_again(engine_with):
    engine, fake = engine_with(2, f"OCI runtime exec failed: {STILLBORN}\r\n")
    fake.parts = [frame(1, b"ok")]
    assert engine.execute("web", ["psql"], 5, stdin="SELECT 1;") == (0, "ok", "")
    assert fake.refused == 2
    assert fake.heard == b"SELECT 1;"


def test_a_command_that_never_gets_a_process_says_so(engine_with):
    engine, fake = engine_with(1000, f"OCI runtime exec failed: {STILLBORN}\r\n")
    code, output, _errors = engine.execute("web", ["ask"], 5)
    assert (code, fake.refused) == (126, engine_module.ATTEMPTS)
    assert "read init-p" in output


def test_a_command_that_cannot_be_run_is_not_run_again(engine_with):
    engine, fake = engine_with(1, 'OCI runtime exec failed: exec: "/no/such/program": stat /no/such/program: no such file or directory\r\n')
    assert engine.execute("web", ["/no/such/program"], 5)[0] == 126
    assert fake.refused == 1


def test_an_engine_that_is_restarted_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "PATIENCE_PAUSE", 0.01)
    path = tmp_path / "docker.sock"
    engine = Engine(str(path))
    with FakeEngine(path) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        engine.rename("x", "y")
        server.shutdown()
    path.unlink()

    def come_back():
        server = FakeEngine(path)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    timer = threading.Timer(0.3, come_back)
    timer.start()
    engine.rename("x", "z")
    timer.join()


def test_an_engine_that_never_answered_is_missing_at_once(tmp_path):
    began = time.monotonic()
    with pytest.raises(engine_module.EngineMissing):
        Engine(str(tmp_path / "docker.sock")).get("/version")
    assert time.monotonic() - began < engine_module.PATIENCE / 2


def frame(stream, content):
    return bytes([stream, 0, 0, 0]) + len(content).to_bytes(4, "big") + content


class FakeEngine(socketserver.ThreadingUnixStreamServer):
    """Runs commands as the engine does: the answer to a start has no length and ends with the connection."""

    daemon_threads = True
    refusing = False
    created, inspected, code, parts, pause, heard = 201, 200, 0, (), 0.0, None
    refusals, refusal, refused = 0, "", 0
    breaks_off = None  # what is still said before the connection breaks off

    def __init__(self, path):
        super().__init__(str(path), Handler)
        self.asked = {}

    def refuses(self):
        """Whether this is one of the first few, which are refused."""
        self.refusing = self.refused < self.refusals
        self.refused += self.refusing
        return self.refusing

    def handle_error(self, request, client_address):
        """Who asked may leave before everything is said."""


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        method, path, _version = self.rfile.readline().decode().split()
        length = 0
        for line in iter(self.rfile.readline, b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = json.loads(self.rfile.read(length) or "null")
        self.server.asked[path] = (method, body)
        answers = {
            "/containers/web/exec": (self.server.created, {"Id": "one"} if self.server.created == 201 else {"message": "Container web is paused"}),
            "/exec/one/json": (self.server.inspected, {"ExitCode": 126 if self.server.refusing else self.server.code}),
        }
        if path.startswith("/containers/x/") and path.endswith(("/update", "/start")):
            answers[path] = (409, {"message": self.server.refusal}) if self.server.refuses() else (200, {"Warnings": None})
        if "/rename" in path:
            answers[path] = (204, None)
        if path == "/distribution/h2non/imaginary:1.2.4/json":
            answers[path] = (200, {"Descriptor": {"digest": "sha256:1"}})
        if path == "/distribution/r.example.org:5000/redis:8/json":
            answers[path] = (403, {"message": "errors: denied"})
        if path.startswith("/images/sha256:2/tag"):
            answers[path] = (201, None)
        if path in answers:
            status, document = answers[path]
            content = json.dumps(document).encode()
            self.wfile.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(content), content))
            return
        if self.server.breaks_off is not None:
            self.wfile.write(self.server.breaks_off)
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n")
        if self.server.asked["/containers/web/exec"][1]["AttachStdin"]:
            self.server.heard = self.rfile.read()
        # What the engine has to say of a command that it cannot begin comes as if the command said it.
        for part in [frame(1, self.server.refusal.encode())] if self.server.refuses() else self.server.parts:
            self.wfile.write(part)
            time.sleep(self.server.pause)


@pytest.fixture
def fake(tmp_path):
    with FakeEngine(tmp_path / "docker.sock") as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        server.engine = Engine(server.server_address)
        yield server
        server.shutdown()


def test_a_command_has_an_exit_code_and_both_streams(fake):
    fake.code, fake.parts = 3, [frame(1, b"out\n"), frame(2, "é\n".encode())]
    assert fake.engine.execute("web", ["ask"], 5) == (3, "out\n", "é\n")
    wanted = {"Cmd": ["ask"], "User": "", "AttachStdin": False, "AttachStdout": True, "AttachStderr": True}
    assert fake.asked["/containers/web/exec"] == ("POST", wanted)
    assert fake.asked["/exec/one/start"] == ("POST", {"Detach": False, "Tty": False})


def test_frames_may_come_in_any_pieces(fake):
    content = frame(1, b"x" * 70000) + frame(2, b"") + frame(1, b"end")
    fake.parts = [content[:3], content[3:11], content[11:50000], content[50000:]]
    fake.pause = 0.01
    assert fake.engine.execute("web", ["ask"], 5) == (0, "x" * 70000 + "end", "")


def test_a_command_as_somebody_who_says_something(fake):
    fake.parts = [frame(1, b"ok")]
    assert fake.engine.execute("web", ["psql"], 5, user="999:999", stdin="SELECT 'ü';") == (0, "ok", "")
    assert fake.heard == "SELECT 'ü';".encode()
    assert fake.asked["/containers/web/exec"][1]["User"] == "999:999"


def test_what_the_engine_itself_says_is_no_standard_output(fake):
    fake.parts = [frame(3, b"broken"), frame(1, b"ok")]
    assert fake.engine.execute("web", ["ask"], 5) == (0, "ok", "broken")


@pytest.mark.parametrize("pause", [60, 0.05, 0], ids=["silent", "says something now and then", "never stops talking"])
def test_a_command_that_does_not_end_is_left_at_the_deadline(fake, pause):
    fake.parts, fake.pause = iter(lambda: frame(1, b"." * 1000), None), pause
    began = time.monotonic()
    with pytest.raises(ServiceError, match=r"^The command 'sleep 9' did not end within 0.3 s.$"):
        fake.engine.execute("web", ["sleep", "9"], 0.3)
    assert 0.3 <= time.monotonic() - began < 30


def test_a_container_that_cannot_be_asked_is_told(fake):
    fake.created = 409
    with pytest.raises(ServiceError, match="refused /containers/web/exec: .*Container web is paused"):
        fake.engine.execute("web", ["ask"], 5)


@pytest.mark.parametrize(("inspected", "code"), [(200, None), (404, 0)])
def test_a_command_without_an_exit_code_is_no_good_command(fake, inspected, code):
    fake.inspected, fake.code = inspected, code
    with pytest.raises(ServiceError, match="The command 'ask' was cut off before it ended"):
        fake.engine.execute("web", ["ask"], 5)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 nonsense\r\n\r\n", b"HTTP/1.1 409 Conflict\r\nContent-Length: 90\r\n\r\n{"])
def test_an_engine_that_is_restarted_while_a_command_runs_is_told(fake, said):
    fake.breaks_off = said
    with pytest.raises(ServiceError, match=r"^The container engine broke off while it ran the command 'psql' \(.+\): if docker.service was restarted meanwhile, run again.$"):
        fake.engine.execute("web", ["psql"], 5, stdin="SELECT 1;")


def test_an_engine_that_is_gone_when_a_command_begins_is_told(fake, tmp_path):
    attach = fake.engine._attach

    def gone(*arguments):
        (tmp_path / "docker.sock").unlink()
        return attach(*arguments)

    fake.engine._attach = gone
    with pytest.raises(ServiceError, match="broke off while it ran the command 'psql'"):
        fake.engine.execute("web", ["psql"], 5)


@pytest.mark.parametrize("content", [b"", b"{", b"<html>"])
def test_half_an_answer_is_told(fake, content):
    fake.engine._ask = lambda *_arguments, **_more: (200, content)
    for ask in (lambda: fake.engine.get("/version"), lambda: fake.engine.wait("x", 5)):
        with pytest.raises(ServiceError, match="broke off while it answered /"):
            ask()


def test_an_engine_that_cannot_say_why_a_container_ended(fake):
    fake.engine._ask = lambda *_arguments, **_more: (500, b'{"message": "shutting down"}')
    with pytest.raises(ServiceError, match="could not say why x ended: shutting down"):
        fake.engine.deaths("x", 0)


@pytest.mark.parametrize("error", [OSError("reset"), requests.exceptions.ReadTimeout("slow"), ProtocolError("short"), ValueError("half a line"), docker.errors.DockerException("no")])
def test_a_pull_that_breaks_off_is_told(fake, error):
    class Sdk:
        def pull(self, *_arguments, **_more):
            yield {"status": "Pulling"}
            raise error

    fake.engine._sdk = lambda timeout: Sdk()
    with pytest.raises(ServiceError, match="pull"):
        fake.engine.pull("app:1")


def test_what_a_probe_command_says_is_an_answer(fake):
    class Container:
        id = "web"

    class Service:
        params = {"probes": [{"name": "ready", "kind": "exec", "command": ["ask"], "timeout": 3}]}

    prober = Prober(Service, fake.engine)
    fake.code, fake.parts = 2, [frame(2, b"no response\n")]
    assert [str(answer) for answer in prober.check(Container)] == ["ready: bad, exit 2: no response"]
    fake.parts, fake.pause = [b"", b""], 60
    assert [str(answer) for answer in prober.check(Container)] == ["ready: bad, The command 'ask' did not end within 3 s."]


def test_a_registry_is_asked_through_the_engine(fake):
    assert fake.engine.registry_digest("h2non/imaginary:1.2.4") == "sha256:1"
    with pytest.raises(ServiceError, match="The registry of r.example.org:5000/redis:8 cannot be asked: errors: denied"):
        fake.engine.registry_digest("r.example.org:5000/redis:8")


def test_a_registry_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "REGISTRY_TIMEOUT", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        with pytest.raises(ServiceError, match="The registry of redis:8 does not answer"):
            Engine(str(tmp_path / "silent.sock")).registry_digest("redis:8")


def test_an_image_gets_a_name(fake):
    fake.engine.tag("sha256:2", "r.example.org:5000/redis:8")
    assert fake.asked["/images/sha256:2/tag?repo=r.example.org%3A5000%2Fredis&tag=8"] == ("POST", None)
