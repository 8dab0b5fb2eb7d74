# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load generator sees what a server does to its requests and event streams, and when."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.load import Answer, Listening, Load, Report, Request

NAME = "app.example.org"


class Server:
    """HTTPS on a port of loopback, whose behaviour a test changes while it runs."""

    def __init__(self, certificate):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self.version = b"1"
        # Seconds that an answer of /fast and one of /slow take.
        self.delay, self.slow = 0.0, 0.6
        self.refuses_streams = b""
        self.silent = False
        # How often a stream was opened and refused, and the events of each stream that was open.
        self.opened = self.refused = 0
        self.events = {}
        self._streams = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_details):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def url(self, path):
        return f"https://{NAME}:{self.port}{path}"

    def end_streams(self, in_order):
        """Ends the streams that are open: as a server that closes them, or as a connection that breaks."""
        done = threading.Event()

        def end():
            for writer in self._streams:
                if in_order:
                    writer.write(b"0\r\n\r\n")
                    writer.close()
                else:
                    writer.transport.abort()
            self._streams.clear()
            done.set()

        self._loop.call_soon_threadsafe(end)
        assert done.wait(10)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        listening = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context))
        self.port = listening.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))

    async def _serve(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1]
            if path == b"/events":
                await self._stream(head, writer)
            else:
                await asyncio.sleep(self.slow if path == b"/slow" else self.delay)
                body = b"version " + self.version
                status = b"500 Oops" if path == b"/bad" else b"200 OK"
                length = len(body) + (5 if path == b"/cut" else 0)
                writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, length, body))
                await writer.drain()
        except ConnectionError:
            self._streams.discard(writer)
        finally:
            writer.close()

    async def _stream(self, head, writer):
        assert b"Accept: text/event-stream" in head
        if self.refuses_streams:
            self.refused += 1
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % self.refuses_streams)
            return
        self.opened += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._streams.add(writer)
        # An event may come in more than one chunk.
        while writer in self._streams and not writer.is_closing():
            if not self.silent:
                writer.write(b"6\r\ndata: \r\n4\r\nhi\n\n\r\n")
                self.events[writer] = self.events.get(writer, 0) + 1
            await writer.drain()
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of its own authority for the server's name, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def server(certificate):
    with Server(certificate) as running:
        yield running


@pytest.fixture
def load(server, certificate):
    def make(requests, **options):
        return Load(requests, {NAME: "127.0.0.1"}, certificate, **{"rate": 20.0, "retry": 0.1, **options})

    return make


def wait_for(condition):
    """What the load does is waited for: on a busy machine a second is enough for nothing."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def answered(running, url):
    """The answers so far."""
    return running.between(url, 0, float("inf"))


def test_slow_requests_run_beside_fast_ones_at_a_rate_of_their_own(server, load):
    fast, slow = server.url("/fast"), server.url("/slow")
    with load([fast, Request(slow, rate=4.0)]) as running:
        wait_for(lambda: len(answered(running, fast)) >= 25 and len(answered(running, slow)) >= 5)
        report = running.stop()
    assert not report.failures, report
    fast_ones, slow_ones = report.of(fast).answers, report.of(slow).answers
    # Each at its rate, or below it on a machine that stands still meanwhile.
    assert len(slow_ones) < len(fast_ones) <= 1 + 20 * (fast_ones[-1].began + 0.05)
    assert len(slow_ones) <= 1 + 4 * (slow_ones[-1].began + 0.05)
    assert report.of(slow).quantile(0.0) >= 0.6
    # The slow ones are out at the same time, and nobody waits for them.
    assert all(later.began < earlier.began + earlier.seconds for earlier, later in itertools.pairwise(slow_ones))
    assert report.of(fast).quantile(0.5) < report.of(slow).quantile(0.0)


def test_a_server_that_is_too_slow_for_the_rate_gets_no_more_than_it_can_have_out(server, load):
    server.delay, url = 0.5, server.url("/fast")
    with load([url], rate=100.0, most=3) as running:
        wait_for(lambda: len(answered(running, url)) >= 12)
        server.delay = 0.0
        wait_for(lambda: len(answered(running, url)) >= 40)
        report = running.stop()
    assert not report.failures, report
    out = [sum(other.began <= each.began < other.began + other.seconds for other in report.answers) for each in report.answers]
    assert max(out) == 3
    # Afterwards at the rate, without a burst for what was left out: the last twenty begin within a fifth of a second, and not faster.
    moments = [answer.began for answer in report.answers[-20:]]
    assert moments[-1] - moments[0] >= 19 / 100 - 0.05


def test_a_failure_of_a_slow_request_is_a_failure(server, load):
    server.slow, slow = 60, server.url("/slow")
    with load([server.url("/fast"), Request(slow, rate=1.0)], rate=5.0, timeout=3) as running:
        wait_for(lambda: answered(running, slow))
        report = running.stop()
    assert {answer.error for answer in report.failures} == {"timeout"}
    assert {answer.url for answer in report.failures} == {slow}


@pytest.mark.parametrize(("path", "told"), [("/bad", "HTTP 500"), ("/cut", "EOFError")])
def test_bad_and_incomplete_answers_are_failures(server, load, path, told):
    with load([server.url(path)]) as running:
        wait_for(lambda: answered(running, server.url(path)))
        report = running.stop()
    assert report.failures == report.answers != []
    assert told in str(report)


def test_the_second_of_a_switch_is_told_from_quiet_ones():
    """Fifty a second; from second 1.0 to 1.5 they take 0.4 s, and come from version 2."""
    moments = [number / 50 for number in range(125)]
    answers = [Answer("u", at, 0.4 if 1.0 <= at < 1.5 else 0.01, 200, None, b"version %d" % (1 + (at >= 1.0))) for at in moments]
    report = Report(answers)
    switch = report.first_seen(b"version 2")
    assert switch == 1.0
    assert report.window(switch, switch + 0.4).quantile(0.99) == 0.4
    assert report.window(0.1, switch - 0.1).quantile(0.99) == 0.01
    assert max(report.series(0.5), key=lambda second: second.p99).began == 1.0
    with pytest.raises(ValueError, match="version 3"):
        report.first_seen(b"version 3")


def test_a_switch_is_seen_when_it_is_made(server, load):
    url = server.url("/fast")
    with load([url], rate=50.0) as running:
        wait_for(lambda: len(answered(running, url)) >= 20)
        before = time.time()
        server.version, server.delay = b"2", 0.4
        wait_for(lambda: any(answer.body == b"version 2" and answer.seconds >= 0.4 for answer in answered(running, url)))
        after = time.time()
        report = running.stop()
    switch = report.first_seen(b"version 2")
    # The first one with the new version may have been asked for before it.
    assert before - 10 < report.began_at + switch < after
    assert {answer.body for answer in report.window(0, switch).answers} == {b"version 1"}


def test_streams_that_stay_open_are_not_lost(server, load):
    with load([], streams=[server.url("/events")] * 3) as running:
        # When twenty are sent, four have long arrived.
        wait_for(lambda: len(server.events) == 3 and min(server.events.values()) >= 20)
        report = running.stop()
    assert [stream.end for stream in report.streams] == ["stopped"] * 3
    assert {stream.listener for stream in report.streams} == {0, 1, 2}
    assert all(stream.events >= 4 for stream in report.streams)
    assert (report.lost_streams, report.refused_streams, report.longest_gap) == ([], [], 0.0)


@pytest.mark.parametrize(("in_order", "end"), [(True, "closed"), (False, "cut")])
def test_a_lost_stream_is_counted_and_opened_again(server, load, in_order, end):
    with load([server.url("/fast")], streams=[server.url("/events")] * 2) as running:
        wait_for(lambda: len(server._streams) == 2)
        began = time.monotonic()
        server.end_streams(in_order)
        wait_for(lambda: len(server._streams) == 2)
        report = running.stop()
        took = time.monotonic() - began
    assert [stream.end for stream in report.lost_streams] == [end] * 2
    assert [stream.end for stream in report.streams if not stream.lost] == ["stopped"] * 2
    assert 0.1 <= report.longest_gap <= took
    assert not report.failures
    assert "2 event streams: 2 lost, 0 refused" in str(report)


@pytest.mark.parametrize(("answer", "end"), [(b"503 Later", "HTTP 503"), (b"200 OK\r\nContent-Type: text/event-stream\r\nRetry-After: 10", "told to retry")])
def test_streams_that_cannot_be_opened_again_are_told(server, load, answer, end):
    with load([], streams=[server.url("/events")]) as running:
        wait_for(lambda: len(server._streams) == 1)
        server.refuses_streams = answer
        server.end_streams(in_order=True)
        wait_for(lambda: server.refused >= 5)
        report = running.stop()
    assert len(report.lost_streams) == 1
    assert {stream.end for stream in report.refused_streams} == {end}
    assert len(report.refused_streams) >= 4
    assert report.longest_gap >= 0.4


def test_a_stream_on_which_nothing_comes_counts_as_lost(server, load):
    server.silent = True
    with load([], streams=[server.url("/events")], silence=0.2) as running:
        # Opened again, so the first one was given up.
        wait_for(lambda: server.opened >= 2)
        report = running.stop()
    assert report.lost_streams[0].end == "silent"


def test_nobody_there_is_a_failure_of_requests_and_streams(certificate):
    url = "https://app.example.org:9/"
    with Load([url], {NAME: "127.0.0.1"}, certificate, streams=["https://app.example.org:9/events"], retry=0.1) as running:
        wait_for(lambda: answered(running, url) and running._listened)
        report = running.stop()
    assert report.failures == report.answers != []
    assert {stream.end for stream in report.refused_streams} == {"ConnectionRefusedError"}


def test_a_second_without_requests_is_in_the_series():
    """A load that stood still must not look like a load that went well."""
    answers = [Answer("u", began, 0.1, status, None) for began, status in [(0.2, 200), (0.8, 502), (2.1, 200)]]
    assert [(second.began, second.requests, second.failures) for second in Report(answers).series()] == [(0.0, 2, 1), (1.0, 0, 0), (2.0, 1, 0)]


def test_a_stream_that_never_comes_back_is_a_gap_until_the_end():
    streams = [
        Listening("u", 0, asked=0.0, opened=0.1, ended=2.0, events=3, end="cut"),
        Listening("u", 0, asked=3.0, opened=None, ended=3.1, events=0, end="HTTP 502"),
        Listening("u", 0, asked=4.1, opened=None, ended=9.0, events=0, end="stopped"),
        Listening("u", 1, asked=0.0, opened=0.1, ended=9.0, events=9, end="stopped"),
    ]
    report = Report([], streams)
    assert report.longest_gap == 7.0
    assert [stream.end for stream in report.window(2.5, 3.5).refused_streams] == ["HTTP 502"]
