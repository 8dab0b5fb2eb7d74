# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reloads nginx, and fails unless the new configuration is in effect; systemd runs it as ExecReload of nginx.service.

A signal tells nginx to reload, and nothing tells how that ended: where a socket cannot be opened, for one, nginx keeps the former
configuration and writes a line into its error log. The evidence is in its processes: a configuration in effect has new
workers, and those of the former one accept nothing any more.
"""

from __future__ import annotations

import fcntl
import os
import pathlib
import subprocess
import sys
import time

NGINX = ["/usr/sbin/nginx", "-g", "daemon on; master_process on;"]  # as Debian's unit calls it
PID = "/run/nginx.pid"
ERROR_LOG = "/var/log/nginx/error.log"
LOCK = "/run/litefarm-nginx-reload.lock"
# Nginx itself tries for 2.5 s to open a socket that is in use.
PATIENCE = 15  # seconds
PAUSE = 0.02  # seconds
LINES = 10  # of the error log


def accepting(master):
    """Workers of this master that accept connections."""
    found = set()
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            # The name of a program may hold spaces and parentheses; what follows it does not.
            parent = int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            title = (process / "cmdline").read_bytes() if parent == master else b""
        except OSError:
            continue
        if title.startswith(b"nginx: worker process") and b"shutting down" not in title:
            found.add(int(process.name))
    return found


def size_of(log):
    try:
        return os.stat(log).st_size
    except OSError:
        return 0


def last_words(log, position):
    """What was written to the log since it was so long."""
    try:
        with open(log, "rb") as file:
            file.seek(position)
            return file.read().decode(errors="replace").splitlines()[-LINES:]
    except OSError:
        return []


def reload():
    """None, or why the new configuration is not in effect."""
    master = int(os.environ.get("MAINPID") or pathlib.Path(PID).read_text())
    former, written = accepting(master), size_of(ERROR_LOG)
    done = subprocess.run([*NGINX, "-s", "reload"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        return done.stdout.strip()
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        present = accepting(master)
        if present and not present & former:
            return None
        time.sleep(PAUSE)
    said = last_words(ERROR_LOG, written) or ["(nothing was written to it)"]
    return "\n".join(["Nginx has not taken over the new configuration in %d s and goes on with the former one. %s:" % (PATIENCE, ERROR_LOG), *said])


def main():
    with open(LOCK, "w", encoding="utf-8") as lock:
        # What another reload brings about must not count as the work of this one.
        fcntl.flock(lock, fcntl.LOCK_EX)
        problem = reload()
    if problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
