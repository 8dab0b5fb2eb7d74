# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line when a step starts, one for every ten seconds it takes, one when it is done."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_started = time.monotonic()
_lock = threading.Lock()


def say(text: str) -> None:
    with _lock:
        print(f"[{time.monotonic() - _started:5.1f} s] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """`what` reads after "Done:", for instance "image of the droplets"."""
    began = time.monotonic()
    finished = threading.Event()

    def beat() -> None:
        while not finished.wait(10):
            say(f"{what}: {time.monotonic() - began:.0f} s so far")

    say(f"{what} …")
    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield
    finally:
        finished.set()
        heart.join()
    say(f"{what}: done in {time.monotonic() - began:.1f} s")
