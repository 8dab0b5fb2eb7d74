# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a backup of the database into its archive, or verifies the archive, and records the result for status and alarms."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pathlib
import re
import subprocess
import sys
import time

STATE = pathlib.Path("/var/lib/litefarm/postgres")
CONTAINER = ["docker", "exec", "--user", "999", "postgres_backup"]
BACKREST = ["sh", "/etc/litefarm/credentials/pgbackrest"]
KINDS = ("full", "diff", "incr", "verify")
# The engine's exit code for a command that it could not begin, which it can a moment later.
NOT_BEGUN = 126
ATTEMPTS = 5
PAUSE = 0.2  # seconds


def command(kind: str, name: str) -> list[str]:
    """The words for pgBackRest."""
    if kind == "verify":
        return [*BACKREST, "verify", "--output=text", "--verbose"]
    return [*BACKREST, "backup", f"--type={kind}", *([f"--annotation=name={name}"] if name else [])]


def problem(kind: str, code: int, output: str) -> str:
    """Why it failed, or nothing. A verification ends with 0 also when it has found damage: only its text says so."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if code:
        # The reason may be in the lines that follow, such as the object storage's answer.
        first = next((number for number, line in enumerate(lines) if "ERROR" in line), len(lines) - 1)
        return re.sub(r"^.*ERROR: \[\d+\]: ", "", "\n".join(lines[first:]) if lines else f"exit {code}")[:4000]
    if kind == "verify" and "status: ok" not in lines:
        return "; ".join(line for line in lines if "status" in line or "invalid" in line or "missing" in line)[:500] or "the verification says nothing"
    return ""


def last_ok(kind: str, folder: pathlib.Path) -> int | None:
    """When one of this kind last went well, in seconds since 1970."""
    try:
        return json.loads((folder / f"backup-{kind}.json").read_text()).get("last_ok")
    except (OSError, ValueError):
        return None


def record(kind: str, result: dict, folder: pathlib.Path) -> None:
    """Whole or not at all, also after a power cut. On a disk without any room the file becomes empty, which means that the backup failed."""
    path, part = folder / f"backup-{kind}.json", folder / f".backup-{kind}.json.part"
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError:
        part.unlink(missing_ok=True)
        path.write_text("")


def take(kind: str, name: str, folder: pathlib.Path = STATE, run=subprocess.run) -> dict:
    """One at a time: an hourly backup waits for a weekly one."""
    with open(folder / "backup.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        began = time.time()
        for remaining in reversed(range(ATTEMPTS)):
            done = run([*CONTAINER, *command(kind, name)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            if done.returncode != NOT_BEGUN or not remaining:
                break
            time.sleep(PAUSE)
        message = problem(kind, done.returncode, done.stdout.decode(errors="replace"))
        now = round(time.time())
        result = {"time": now, "result": "failed" if message else "ok", "seconds": round(time.time() - began, 1), "message": message}
        # A failure hides neither that there is a good one nor how old that is.
        result["last_ok"] = last_ok(kind, folder) if message else now
        record(kind, result, folder)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--name", default="", help="what backups.yml shows beside it")
    arguments = parser.parse_args()
    result = take(arguments.kind, arguments.name)
    what = "verification of the archive" if arguments.kind == "verify" else f"{arguments.kind} backup"
    if result["result"] == "failed":
        print(f"<3>The {what} failed: {' '.join(result['message'].split())}", file=sys.stderr)
        return 1
    print(f"The {what} took {result['seconds']} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
