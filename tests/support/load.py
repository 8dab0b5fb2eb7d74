# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An open-loop HTTPS load at a fixed rate, as many users make it: nobody waits for anybody else's answer.

Every request opens a connection of its own, so that a request that the server drops counts as what it is: a failure.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
import statistics
import threading
import time
from urllib.parse import urlsplit


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked again and again: a GET of a URL, or something else."""

    url: str
    method: str = "GET"
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""

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
class Report:
    """What a load saw."""

    answers: list[Answer]

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
        )


class Load:
    """A load that runs in a thread of its own between `start` and `stop`.

    Args:
        requests: requests, or HTTPS URLs to GET, each asked `rate` times a second.
        addresses: host name to the address that stands for it (the lab's names are not in the DNS).
        ca_file: the certificate authority that signed the servers' certificates.
        rate: requests per second and URL.
        timeout: seconds after which a request counts as failed.
    """

    def __init__(self, requests, addresses, ca_file, rate=50.0, timeout=10.0):
        self._requests = [Request(each) if isinstance(each, str) else each for each in requests]
        self._addresses = dict(addresses)
        self._context = ssl.create_default_context(cafile=str(ca_file))
        self._rate = rate
        self._timeout = timeout
        self._began = time.monotonic()
        self._stopping = threading.Event()
        self._answers: list[Answer] = []
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
        return Report(sorted(self._answers, key=lambda answer: answer.began))

    def well_for(self, seconds: float) -> bool:
        """Whether every URL answered, and none failed, during the last `seconds`."""
        since = time.monotonic() - self._began - seconds
        recent = [answer for answer in list(self._answers) if answer.began >= since]
        return {answer.url for answer in recent} == {request.url for request in self._requests} and not any(answer.failed for answer in recent)

    async def _run(self) -> None:
        began = self._began = time.monotonic()
        pending: set[asyncio.Task] = set()
        count = 0
        while not self._stopping.is_set():
            for request in self._requests:
                task = asyncio.create_task(self._ask(request, began))
                pending.add(task)
                task.add_done_callback(pending.discard)
            count += 1
            await asyncio.sleep(max(0.0, began + count / self._rate - time.monotonic()))
        if pending:
            await asyncio.wait(set(pending))

    async def _ask(self, request: Request, began: float) -> None:
        start = time.monotonic()
        status, error, body = None, None, b""
        try:
            async with asyncio.timeout(self._timeout):
                status, body = await self._answer_to(request)
        except TimeoutError:
            error = "timeout"
        except (OSError, ValueError, EOFError) as exc:
            error = type(exc).__name__
        self._answers.append(Answer(request.url, start - began, time.monotonic() - start, status, error, body))

    async def _answer_to(self, request: Request) -> tuple[int, bytes]:
        parts = urlsplit(request.url)
        host = parts.hostname or ""
        reader, writer = await asyncio.open_connection(
            self._addresses.get(host, host), parts.port or 443, ssl=self._context, server_hostname=host
        )
        try:
            writer.write(request.encoded())
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.read()
            if "content-length" in headers and len(body) < int(headers["content-length"]):
                raise EOFError("cut short")
            if headers.get("transfer-encoding") == "chunked":
                if not body.endswith(b"0\r\n\r\n"):
                    raise EOFError("cut short")
                body = _unchunk(body)
            return int(head[0].split(" ", 2)[1]), body
        finally:
            writer.close()


def _unchunk(body: bytes) -> bytes:
    """Joins the chunks of a body that is known to be complete."""
    joined, rest = b"", body
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if length == 0:
            return joined
        joined, rest = joined + rest[:length], rest[length + 2 :]
