# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An open-loop load over HTTPS or HTTP at a fixed rate, as many users make it: nobody waits for anybody else's answer.

Every request opens a connection of its own, so that a request that the server drops counts as what it is: a failure. Beside the requests,
event streams may be listened to as a browser does: whoever loses one opens it again, and it is counted how often that was necessary.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import ssl
import statistics
import threading
import time
from urllib.parse import urlsplit


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked again and again: a GET of a URL, or something else; with a rate of its own, or at the load's."""

    url: str
    method: str = "GET"
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    rate: float | None = None

    def encoded(self) -> bytes:
        """The request as it goes over the wire, over a connection of its own."""
        parts = urlsplit(self.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fields = {"Host": parts.hostname, "Connection": "close", **self.headers}
        if self.body:
            fields["Content-Length"] = str(len(self.body))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"{self.method} {path} HTTP/1.1\r\n{head}\r\n".encode() + self.body


@dataclasses.dataclass(frozen=True)
class Answer:
    """One request: when it began (seconds since the load began), how long it took (seconds), and what came of it."""

    url: str
    began: float
    seconds: float
    status: int | None
    error: str | None
    body: bytes = b""

    @property
    def failed(self) -> bool:
        """Anything but a 2xx or 3xx answer, read to its end, is a failure."""
        return self.error is not None or self.status is None or not 200 <= self.status < 400


@dataclasses.dataclass(frozen=True)
class Listening:
    """One attempt of a listener to open its event stream, and what came of it. Times are in seconds since the load began.

    end: `stopped` (open when the load ended), `closed` (the server said that this is all), `cut` (the connection broke), `silent` (open, but
    nothing came for too long), or why it was never open.
    """

    url: str
    listener: int
    asked: float
    opened: float | None
    ended: float
    events: int
    end: str

    @property
    def lost(self) -> bool:
        """Whether it was open, and ended before its listener wanted it to."""
        return self.opened is not None and self.end != "stopped"


@dataclasses.dataclass(frozen=True)
class Second:
    """The requests that began within one second (or whatever width was asked for). `p99` is in seconds, and of the good ones."""

    began: float
    requests: int
    failures: int
    p99: float


@dataclasses.dataclass(frozen=True)
class Report:
    """What a load saw. `began_at` is when it began, in seconds since the epoch; all other times count from there."""

    answers: list[Answer]
    streams: list[Listening] = dataclasses.field(default_factory=list)
    began_at: float = 0.0

    @property
    def failures(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.failed]

    @property
    def first_failure(self) -> float:
        """When the first request that failed began, in seconds since the load began."""
        return min(answer.began for answer in self.failures)

    @property
    def last_failure(self) -> float:
        """When the last request that failed had failed, in seconds since the load began."""
        return max(answer.began + answer.seconds for answer in self.failures)

    def quantile(self, share: float) -> float:
        """Latency in seconds below which `share` (0 to 1) of the good requests stayed."""
        times = sorted(answer.seconds for answer in self.answers if not answer.failed)
        return times[min(len(times) - 1, int(share * len(times)))] if times else float("nan")

    def of(self, *urls: str) -> Report:
        """What was seen of these URLs alone."""
        return dataclasses.replace(
            self,
            answers=[answer for answer in self.answers if answer.url in urls],
            streams=[stream for stream in self.streams if stream.url in urls],
        )

    def window(self, since: float, until: float) -> Report:
        """The requests that began from `since` on and before `until`, and the attempts to listen that were under way meanwhile."""
        return dataclasses.replace(
            self,
            answers=[answer for answer in self.answers if since <= answer.began < until],
            streams=[stream for stream in self.streams if stream.asked < until and stream.ended >= since],
        )

    def series(self, width: float = 1.0) -> list[Second]:
        """The load second by second, with those in which nothing began; its failures and p99 tell which second suffered from what was done in it."""
        seconds = []
        for index in range(int(self.answers[-1].began / width) + 1 if self.answers else 0):
            part = self.window(index * width, (index + 1) * width)
            seconds.append(Second(index * width, len(part.answers), len(part.failures), part.quantile(0.99)))
        return seconds

    def first_seen(self, text: bytes) -> float:
        """When an answer with this text in its body first began to be asked for: the moment of a switch, to within one request.

        Raises:
            ValueError: no good answer has it.
        """
        for answer in self.answers:
            if not answer.failed and text in answer.body:
                return answer.began
        raise ValueError(f"no answer contains {text!r}")

    @property
    def lost_streams(self) -> list[Listening]:
        """Event streams that were open and ended before their listener wanted it."""
        return [stream for stream in self.streams if stream.lost]

    @property
    def refused_streams(self) -> list[Listening]:
        """Attempts to open an event stream that failed."""
        return [stream for stream in self.streams if stream.opened is None and stream.end != "stopped"]

    @property
    def longest_gap(self) -> float:
        """The longest time in seconds that a listener was without its stream, between losing it and having it again (or the end of the load)."""
        gaps = [0.0]
        for listener in {stream.listener for stream in self.streams}:
            mine = sorted((stream for stream in self.streams if stream.listener == listener), key=lambda stream: stream.asked)
            since: float | None = None
            for stream in mine:
                if stream.opened is not None and since is not None:
                    gaps.append(stream.opened - since)
                    since = None
                if stream.lost:
                    since = stream.ended
            if since is not None:
                gaps.append(max(stream.ended for stream in mine) - since)
        return max(gaps)

    def bodies(self, part: str) -> list[bytes]:
        """The distinct bodies of the URLs that contain `part`, in the order in which they were first seen."""
        return list(dict.fromkeys(answer.body for answer in self.answers if part in answer.url and not answer.failed))

    def __str__(self) -> str:
        kinds: dict[str, int] = {}
        for answer in self.failures:
            kind = answer.error or f"HTTP {answer.status}"
            kinds[kind] = kinds.get(kind, 0) + 1
        good = [answer.seconds for answer in self.answers if not answer.failed]
        median = statistics.median(good) if good else float("nan")
        return (
            f"{len(self.answers)} requests, {len(self.failures)} failed"
            + (f" {kinds}" if kinds else "")
            + f", median {median * 1000:.0f} ms, p99 {self.quantile(0.99) * 1000:.0f} ms"
            + (f"; {self._about_streams()}" if self.streams else "")
        )

    def _about_streams(self) -> str:
        listeners = len({stream.listener for stream in self.streams})
        ends: dict[str, int] = {}
        for stream in [*self.lost_streams, *self.refused_streams]:
            ends[stream.end] = ends.get(stream.end, 0) + 1
        lost = f"{len(self.lost_streams)} lost, {len(self.refused_streams)} refused" + (f" {ends}" if ends else "")
        return f"{listeners} event streams: {lost}, longest gap {self.longest_gap:.1f} s"


class Load:
    """A load that runs in a thread of its own between `start` and `stop`.

    Args:
        requests: requests, or URLs to GET, each asked `rate` times a second, or as often as it says itself.
        addresses: host name to the address that stands for it (the lab's names are not in the DNS).
        ca_file: the certificate authority that signed the servers' certificates; without HTTPS there is none.
        rate: requests per second and URL.
        timeout: seconds after which a request counts as failed. It has to be more than the slowest one takes.
        streams: URLs of event streams; each mention is a listener that opens it, and again whenever it ends.
        retry: seconds that a listener waits before it tries again. Browsers wait for about three.
        silence: seconds without a byte after which a stream counts as lost. It has to be more than the server's heartbeat.
        most: requests of one URL that are out at the same time. A machine that is too slow for the rate makes fewer of them: more would queue
            up until all of them time out, and take from the tested service the processor time that it is short of.
    """

    def __init__(self, requests, addresses, ca_file=None, rate=50.0, timeout=10.0, streams=(), retry=1.0, silence=60.0, most=64):
        self._requests = [Request(each) if isinstance(each, str) else each for each in requests]
        self._addresses = dict(addresses)
        self._context = ssl.create_default_context(cafile=ca_file and str(ca_file))
        self._rate = rate
        self._timeout = timeout
        self._streams = list(streams)
        self._retry = retry
        self._silence = silence
        self._most = most
        self._began = time.monotonic()
        self._began_at = time.time()
        self._stopping = threading.Event()
        # Separate, because a load of many URLs is asked for one of them at a time while it runs.
        self._answers: dict[str, list[Answer]] = {request.url: [] for request in self._requests}
        self._listened: list[Listening] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_exc):
        self.stop()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> Report:
        """Ends the load, waits for the answers that are still out, and reports."""
        self._stopping.set()
        self._thread.join()
        return Report(
            sorted(itertools.chain(*self._answers.values()), key=lambda answer: answer.began),
            sorted(self._listened, key=lambda stream: stream.asked),
            self._began_at,
        )

    def well_for(self, seconds: float) -> bool:
        """Whether every URL answered, and none failed, during the last `seconds`."""
        now = time.monotonic()
        recent = [self.between(url, now - seconds, now) for url in self._answers]
        return all(recent) and not any(answer.failed for answers in recent for answer in answers)

    def between(self, url: str, since: float, until: float) -> list[Answer]:
        """The answers so far to what was asked of a URL between two moments of the monotonic clock, in the order in which it was asked."""
        found = [answer for answer in list(self._answers[url]) if since <= self._began + answer.began < until]
        return sorted(found, key=lambda answer: answer.began)

    async def _run(self) -> None:
        self._began, self._began_at = time.monotonic(), time.time()
        listeners = [asyncio.create_task(self._listen(url, number)) for number, url in enumerate(self._streams)]
        await asyncio.gather(*(self._repeat(request, index / len(self._requests)) for index, request in enumerate(self._requests)))
        # Without requests, nothing else waits for the end.
        while not self._stopping.is_set():
            await asyncio.sleep(0.05)
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)

    def _now(self) -> float:
        return time.monotonic() - self._began

    async def _repeat(self, request: Request, phase: float) -> None:
        """Asks at the request's rate, beginning within the first period, so that different requests do not go off at the same moment."""
        pending: set[asyncio.Task] = set()
        period = 1 / (request.rate or self._rate)
        due = phase * period
        while True:
            await self._sleep_until(due)
            while len(pending) >= self._most and not self._stopping.is_set():
                await asyncio.wait(pending, timeout=0.25, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                break
            task = asyncio.create_task(self._ask(request))
            pending.add(task)
            task.add_done_callback(pending.discard)
            # What could not be asked in time is not made up for: that would be a burst, which a limit of requests may refuse.
            due = max(due + period, self._now())
        if pending:
            await asyncio.wait(set(pending))

    async def _sleep_until(self, moment: float) -> None:
        """In naps, so that a rare request does not delay the end."""
        while not self._stopping.is_set() and (rest := moment - self._now()) > 0:
            await asyncio.sleep(min(rest, 0.25))

    async def _ask(self, request: Request) -> None:
        start = self._now()
        status, error, body = None, None, b""
        try:
            async with asyncio.timeout(self._timeout):
                status, body = await self._answer_to(request)
        except TimeoutError:
            error = "timeout"
        except (OSError, ValueError, EOFError) as exc:
            error = type(exc).__name__
        self._answers[request.url].append(Answer(request.url, start, self._now() - start, status, error, body))

    async def _listen(self, url: str, listener: int) -> None:
        """Has the stream open until the load ends, over as many connections as it takes."""
        while True:
            attempt = _Attempt(self._now())
            try:
                await self._hear(url, attempt)
            except asyncio.CancelledError:
                attempt.end = "stopped"
                raise
            except TimeoutError:
                attempt.end = "silent" if attempt.opened is not None else "timeout"
            except (OSError, ValueError, EOFError) as exc:
                attempt.end = "cut" if attempt.opened is not None else type(exc).__name__
            finally:
                self._listened.append(Listening(url, listener, attempt.asked, attempt.opened, self._now(), attempt.events, attempt.end))
            await asyncio.sleep(self._retry)

    async def _hear(self, url: str, attempt: _Attempt) -> None:
        """Reads a stream to its end, and notes in `attempt` how far it came."""
        async with asyncio.timeout(self._timeout):
            reader, writer = await self._connect(url)
        try:
            async with asyncio.timeout(self._timeout):
                writer.write(Request(url, headers={"Accept": "text/event-stream"}).encoded())
                await writer.drain()
                status, headers = await _head(reader)
            if status != 200:
                attempt.end = f"HTTP {status}"
                return
            if "retry-after" in headers:
                # What nginx answers in place of an error, so that browsers try again: not the service's stream.
                attempt.end = "told to retry"
                return
            attempt.opened = self._now()
            chunked = headers.get("transfer-encoding") == "chunked"
            text = b""
            while True:
                async with asyncio.timeout(self._silence):
                    part = await (_chunk(reader) if chunked else reader.read(65536))
                if not part:
                    break
                *events, text = (text + part).split(b"\n\n")
                attempt.events += len(events)
            # Without chunks, an end in order and a connection that was closed look the same.
            attempt.end = "closed"
        finally:
            writer.close()

    async def _connect(self, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(url)
        host = parts.hostname or ""
        address = self._addresses.get(host, host)
        if parts.scheme == "http":
            return await asyncio.open_connection(address, parts.port or 80)
        return await asyncio.open_connection(address, parts.port or 443, ssl=self._context, server_hostname=host)

    async def _answer_to(self, request: Request) -> tuple[int, bytes]:
        reader, writer = await self._connect(request.url)
        try:
            writer.write(request.encoded())
            await writer.drain()
            status, headers = await _head(reader)
            body = await reader.read()
            if "content-length" in headers and len(body) < int(headers["content-length"]):
                raise EOFError("cut short")
            if headers.get("transfer-encoding") == "chunked":
                if not body.endswith(b"0\r\n\r\n"):
                    raise EOFError("cut short")
                body = _unchunk(body)
            return status, body
        finally:
            writer.close()


@dataclasses.dataclass
class _Attempt:
    """How far an attempt to listen has come."""

    asked: float
    opened: float | None = None
    events: int = 0
    end: str = ""


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split(" ", 2)[1]), headers


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    """The next chunk of a body; nothing is its proper end."""
    size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
    return (await reader.readexactly(size + 2))[:size]


def _unchunk(body: bytes) -> bytes:
    """Joins the chunks of a body that is known to be complete."""
    joined, rest = b"", body
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if length == 0:
            return joined
        joined, rest = joined + rest[:length], rest[length + 2 :]
