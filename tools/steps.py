# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs commands as named steps: one line each with its time, signs of life while it lasts, its output when it fails."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

REPO = pathlib.Path(__file__).resolve().parents[1]
# Of the environment that runs this file, whether or not it is activated.
BIN = pathlib.Path(sys.executable).parent
SIGN_OF_LIFE = 30.0
# What a shell says of a program that is not there.
NOT_FOUND = 127

_print_lock = threading.Lock()


@dataclasses.dataclass
class Step:
    name: str
    command: list[str]
    # Added to the environment of the caller.
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    cwd: pathlib.Path = REPO
    log: pathlib.Path | None = None


@dataclasses.dataclass
class Result:
    step: Step
    status: int
    seconds: float
    output: str

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def last_line(self) -> str:
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1] if lines else ""


def tool(name: str) -> str:
    """A program of this Python environment."""
    return str(BIN / name)


def environment(extra: dict[str, str]) -> dict[str, str]:
    env = {
        **os.environ,
        "ANSIBLE_CONFIG": str(REPO / "ansible.cfg"),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
    }
    return {**env, **extra}


def say(text: str, *, end: str = "\n") -> None:
    with _print_lock:
        sys.stdout.write(text + end)
        sys.stdout.flush()


def clock(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


class Progress:
    """Says every so often what the newest line of output is; on a terminal in place, elsewhere every half minute."""

    def __init__(self, name: str, alone: bool) -> None:
        self.name, self.alone = name, alone
        self.started = self.said = time.monotonic()
        self.live = alone and sys.stdout.isatty()

    def line(self, text: str) -> None:
        now = time.monotonic()
        if self.live and now - self.said > 0.2:
            width = shutil.get_terminal_size().columns - 1
            say("\r\033[K" + f"  …     {self.name} {int(now - self.started)} s  {text.strip()}"[:width], end="")
        elif not self.live and now - self.said > SIGN_OF_LIFE:
            say(f"  …     {self.name}: {int(now - self.started)} s so far  {text.strip()[:100]}")
        else:
            return
        self.said = now

    def done(self) -> float:
        if self.live:
            say("\r\033[K", end="")
        return time.monotonic() - self.started


def run(step: Step, *, alone: bool = True, show_output: bool = True) -> Result:
    """Runs one step to its end; its whole output goes to step.log, and to the screen if it failed."""
    progress = Progress(step.name, alone)
    lines: list[str] = []
    log = None
    if step.log:
        step.log.parent.mkdir(parents=True, exist_ok=True)
        log = step.log.open("w", encoding="utf-8")
    newest = ["starts"]
    status = NOT_FOUND
    ended = threading.Event()

    def signs_of_life() -> None:
        while not ended.wait(1.0):
            progress.line(newest[0])

    watcher = threading.Thread(target=signs_of_life, daemon=True)
    watcher.start()
    try:
        with subprocess.Popen(
            step.command, cwd=step.cwd, env=environment(step.env), stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
        ) as process:  # fmt: skip
            for line in process.stdout or ():
                lines.append(line)
                if line.strip():
                    newest[0] = line
                if log:
                    log.write(line)
                    log.flush()
        status = process.returncode
    except FileNotFoundError as error:
        lines.append(f"{error}\n{BIN} lacks this program: run make venv\n")
    finally:
        ended.set()
        watcher.join()
        if log:
            log.close()
    result = Result(step, status, progress.done(), "".join(lines))
    say(f"  {'ok  ' if result.ok else 'FAIL'}  {clock(result.seconds):>12}  {step.name}")
    if not result.ok and show_output:
        say("\n".join(f"        {line}" for line in result.output.rstrip().splitlines()))
    return result


def run_together(steps: list[Step], workers: int | None = None) -> list[Result]:
    """Runs independent steps side by side, the first ones first."""
    with concurrent.futures.ThreadPoolExecutor(workers or max(2, os.cpu_count() or 2)) as pool:
        return list(pool.map(lambda step: run(step, alone=False), steps))
