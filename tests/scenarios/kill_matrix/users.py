# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of all services of the matrix, at a fixed rate for each: plain HTTP, because what is asked is who answers, and a core has other work to do."""

from __future__ import annotations

import dataclasses
import re

from tests.support import load

DOMAIN = "kill-matrix.test"


@dataclasses.dataclass(frozen=True)
class Answer:
    """One request: when it began and ended, which version answered, or what went wrong instead. Times are in seconds since the load began."""

    began: float
    ended: float
    version: str | None
    error: str | None


class Users:
    """They ask until they are stopped.

    Args:
        address: the droplet's.
        services: their names.
        rate: requests per second and service.
        timeout: seconds after which a request counts as failed.
        port: of the droplet's nginx.
    """

    def __init__(self, address: str, services: list[str], rate: float = 5.0, timeout: float = 10.0, port: int = 80):
        self._urls = {service: f"http://{service}.{DOMAIN}:{port}/" for service in services}
        self._load = load.Load(self._urls.values(), {f"{service}.{DOMAIN}": address for service in services}, rate=rate, timeout=timeout)

    def __enter__(self):
        self._load.start()
        return self

    def __exit__(self, *_exc):
        self._load.stop()

    def between(self, service: str, since: float, until: float) -> list[Answer]:
        """The answers to what was asked between two moments of the monotonic clock, in the order in which it was asked."""
        return [answer_of(each) for each in self._load.between(self._urls[service], since, until)]


def answer_of(seen: load.Answer) -> Answer:
    """Who answered: nobody, unless it is the whole of a version's own page."""
    found, error = re.fullmatch(rb"version (\d+)\.", seen.body), seen.error
    if not error and seen.status != 200:
        error = f"HTTP {seen.status}"
    elif not error and not found:
        error = "cut short"
    return Answer(seen.began, seen.began + seen.seconds, found[1].decode() if found and not error else None, error)
