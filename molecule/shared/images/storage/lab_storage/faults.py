# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on demand, one at a time: what a client meets when the object storage fails."""

from __future__ import annotations

import datetime
import errno
import hmac
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from .signature import Refusal

TOKEN_HEADER = "x-lab-token"
FAULTS = ("none", "refuse", "hang", "slow_down", "forbid_put", "truncate", "clock")
# More than the 15 minutes that a signature may be off.
_CLOCK_ERROR = datetime.timedelta(minutes=20)


@dataclass(frozen=True)
class Fault:
    fault: str = "none"
    # How the names of the buckets begin that it concerns. Empty: all of them, and requests without one.
    bucket: str = ""


class Faults:
    """Holds the fault that is active. C(at_once) is less than the server has threads, so that others are served while requests hang."""

    def __init__(self, token: str, seconds: float = 120, at_once: int = 48):
        self._token, self._seconds = token, seconds
        self._active = Fault()
        # Set when the active fault ends.
        self._ended = threading.Event()
        self._room = threading.BoundedSemaphore(at_once)

    def control(self, method: str, headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
        """Status and text of the answer to a request that sets the fault (PUT) or asks for it (GET)."""
        if not self._token or not hmac.compare_digest(headers.get(TOKEN_HEADER, "").encode(), self._token.encode()):
            return "403 Forbidden", f"The lab's token is missing in the header {TOKEN_HEADER}, or another one."
        if method == "PUT":
            try:
                self._set(Fault(**json.loads(body)))
            except (TypeError, ValueError) as error:
                return "400 Bad Request", f'Send JSON such as {{"fault": "hang", "bucket": "litefarm-beta"}}, with a fault of {", ".join(FAULTS)}: {error}'
        return "200 OK", json.dumps(asdict(self._active))

    def _set(self, fault: Fault) -> None:
        if fault.fault not in FAULTS or not isinstance(fault.bucket, str):
            raise ValueError(str(fault))
        ended, self._ended = self._ended, threading.Event()
        self._active = fault
        ended.set()

    def meet(self, method: str, bucket: str) -> bool:
        """Let a request meet the fault. Returns whether the answer is to be cut.

        Raises:
            Refusal: the fault is an answer of the storage.
            ConnectionResetError: there is no answer, and the server closes the connection.
        """
        ended, active = self._ended, self._active
        if not bucket.startswith(active.bucket):
            return False
        if active.fault == "slow_down":
            raise Refusal("503 Slow Down", "SlowDown", "Please reduce your request rate.")
        if active.fault == "forbid_put" and method in ("PUT", "POST", "DELETE"):
            raise Refusal("403 Forbidden", "AccessDenied", "Nothing may be written.")
        if active.fault == "hang":
            self._wait(ended)
        if active.fault in ("refuse", "hang"):
            raise _closed()
        return active.fault == "truncate" and method == "GET"

    def clock_error(self, bucket: str) -> datetime.timedelta:
        """How far the storage's clock is ahead of its clients'."""
        active = self._active
        return _CLOCK_ERROR if active.fault == "clock" and bucket.startswith(active.bucket) else datetime.timedelta()

    def _wait(self, ended: threading.Event) -> None:
        if self._room.acquire(blocking=False):
            try:
                ended.wait(self._seconds)
            finally:
                self._room.release()


def cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The first half of an answer whose headers promise all of it."""
    body = b"".join(pieces)
    if hasattr(pieces, "close"):
        pieces.close()
    yield body[: len(body) // 2]
    if body:
        raise _closed()


def _closed() -> ConnectionResetError:
    # The server takes this for a client that went away, and says nothing more.
    return ConnectionResetError(errno.ECONNRESET, "closed by a fault of the lab")
