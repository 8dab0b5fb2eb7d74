# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment's database as tests of its backups use it: statements, a writer that counts what was acknowledged, and the archive."""

from __future__ import annotations

import subprocess
import threading
import time

from tests.support import lab
from tests.support.deployment import LEDGER

PSQL = "docker exec -i -u 999 postgres psql -qAtX -U postgres -d litefarm"
ARCHIVE_STATUS = "/srv/litefarm/postgres/pgdata/pg_wal/archive_status"


class StatementError(Exception):
    """The server did not do what a statement says, or does not answer any more."""


def sql(text: str) -> str:
    """What the database answers to statements, which are done in one transaction."""
    return lab.connect(LEDGER).check_output(f"{PSQL} -v ON_ERROR_STOP=1 -c %s", text)


def unarchived() -> int:
    """How many segments wait for the archive."""
    return int(lab.connect(LEDGER).check_output(f"ls {ARCHIVE_STATUS} | grep -c 'ready$' || true"))


def wait_until_archived(seconds: float = 60) -> None:
    """Returns as soon as no segment waits for the archive.

    Raises:
        AssertionError: some still do.
    """
    limit = time.monotonic() + seconds
    while count := unarchived():
        assert time.monotonic() < limit, f"{count} segments are not archived after {seconds:.0f} s"
        time.sleep(0.3)


class Session:
    """One connection to the database, over one connection to its droplet: statements one after the other, without the cost of a start."""

    END = "that is all"

    def __init__(self) -> None:
        command = lab.ssh_command(LEDGER, ["sh", "-c", f"exec {PSQL} 2>&1"])
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def __call__(self, statement: str) -> str:
        """The answer to a statement.

        Raises:
            StatementError: the server refused it, or the connection is lost.
        """
        lines = []
        try:
            self._process.stdin.write(f"{statement};\n\\echo {self.END}\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise StatementError("the connection is lost") from error
        while (line := self._process.stdout.readline().rstrip("\n")) != self.END:
            if not line and self._process.poll() is not None:
                raise StatementError("the connection is lost")
            lines.append(line)
        if any(line.startswith(("ERROR:", "FATAL:", "PANIC:")) for line in lines):
            raise StatementError("\n".join(lines))
        return "\n".join(lines)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Writer(threading.Thread):
    """Inserts numbered rows at a steady rate, and keeps number and time of each insert that the server acknowledged.

    Args:
        rate: inserts a second.
        rows: rows of each insert, of which the last one counts.
    """

    def __init__(self, rate: float = 50, rows: int = 1):
        super().__init__(daemon=True)
        sql("DROP TABLE IF EXISTS public.written; CREATE TABLE public.written (number bigint, at float8)")
        self.acknowledged: list[tuple[int, float]] = []
        self.failed, self.slowest = 0, 0.0
        self._rate, self._rows = rate, rows
        self._stopping, self._session = threading.Event(), Session()

    def run(self) -> None:
        number, due = 0, time.monotonic()
        while not self._stopping.is_set():
            number += 1
            values = f"SELECT {number}, extract(epoch FROM clock_timestamp()) FROM generate_series(1, {self._rows})"
            began = time.monotonic()
            try:
                answer = self._session(f"WITH new AS (INSERT INTO public.written {values} RETURNING at) SELECT max(at) FROM new")
                self.acknowledged.append((number, float(answer)))
            except StatementError:
                self.failed += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            # Inserts that are late are not made up for.
            due = max(due + 1 / self._rate, time.monotonic() - 1)
            self._stopping.wait(max(due - time.monotonic(), 0))

    def stop(self) -> None:
        """Ends it, also when its connection hangs because the droplet is gone."""
        self._stopping.set()
        self.join(timeout=2)
        self._session.close()
        self.join(timeout=10)

    def lost(self) -> tuple[int, float]:
        """What the database that is there now lacks of what was acknowledged: how many inserts, and seconds between the last one and the last that is there.

        Raises:
            AssertionError: an insert is missing although a later one is there.
        """
        kept = dict(tuple(row.split("|")) for row in sql("SELECT number, max(at) FROM public.written GROUP BY number").splitlines())
        there = {int(number) for number in kept}
        missing = [number for number, _at in self.acknowledged if number not in there]
        assert not missing or missing[0] > max(there, default=0), f"insert {missing[0]} is missing, and {max(there)} is there"
        last = max(map(float, kept.values()), default=self.acknowledged[0][1])
        return len(missing), max(self.acknowledged[-1][1] - last, 0.0)
