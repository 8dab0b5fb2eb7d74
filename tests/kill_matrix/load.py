# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of all services of the matrix, at a fixed rate for each: plain HTTP, because what is asked is who answers, and a core has other work to do."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import threading
import time


@dataclasses.dataclass(frozen=True)
class Answer:
    """One request: when it began and ended, on the monotonic clock, which version answered, or what went wrong instead."""

    began: float
    ended: float
    version: str | None
    error: str | None


class Load:
    """Asks until it is stopped.

    Args:
        address: the droplet's.
        services: their names.
        rate: requests per second and service.
        timeout: seconds after which a request counts as failed.
    """

    def __init__(self, address: str, services: list[str], rate: float = 5.0, timeout: float = 10.0):
        self._address, self._rate, self._timeout = address, rate, timeout
        self.answers: dict[str, list[Answer]] = {service: [] for service in services}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._stopping.set()
        self._thread.join()

    def between(self, service: str, since: float, until: float) -> list[Answer]:
        """The answers to what was asked in that time, in the order in which it was asked."""
        return sorted((answer for answer in list(self.answers[service]) if since <= answer.began < until), key=lambda answer: answer.began)

    async def _run(self) -> None:
        # Spread over the time, or all services would be asked at the same moments.
        users = [self._user(service, number / len(self.answers) / self._rate) for number, service in enumerate(self.answers)]
        await asyncio.gather(*users)

    async def _user(self, service: str, delay: float) -> None:
        began, count, pending = time.monotonic() + delay, 0, set()
        while not self._stopping.is_set():
            await asyncio.sleep(max(0.0, began + count / self._rate - time.monotonic()))
            task = asyncio.create_task(self._ask(service))
            pending.add(task)
            task.add_done_callback(pending.discard)
            count += 1
        if pending:
            await asyncio.wait(set(pending))

    async def _ask(self, service: str) -> None:
        began, version, error = time.monotonic(), None, None
        try:
            async with asyncio.timeout(self._timeout):
                version = await self._answer_of(service)
        except TimeoutError:
            error = "timeout"
        except (OSError, EOFError, ValueError) as exc:
            error = str(exc) or type(exc).__name__
        self.answers[service].append(Answer(began, time.monotonic(), version, error))

    async def _answer_of(self, service: str) -> str:
        reader, writer = await asyncio.open_connection(self._address, 80)
        try:
            writer.write(f"GET / HTTP/1.1\r\nHost: {service}.kill-matrix.test\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        status = head.split(b" ", 2)[1:2]
        if status != [b"200"]:
            raise ValueError(f"HTTP {status[0].decode()}" if status else "no answer")
        found = re.fullmatch(rb"version (\d+)\.", body)
        if not found:
            raise EOFError("cut short")
        return found[1].decode()
