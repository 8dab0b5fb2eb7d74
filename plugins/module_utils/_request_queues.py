# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests that wait for a service: HAProxy knows how many wait now, and the journal which ones it has refused lately."""

from __future__ import annotations

import csv
import re
import socket
import subprocess

SOCKET = "/run/haproxy/admin.sock"
# Backends and servers.
QUESTION = b"show stat -1 6 -1\n"
REFUSED = re.compile(r"litefarm-queue service=(\S+) status=503 ")
TIMEOUT = 10  # seconds


def look(path=SOCKET):
    """Service to the number of requests that C(waiting), that it is C(working) on, and that were C(refused) within the last hour (null: not known)."""
    try:
        found = parsed(asked(path))
    except (OSError, KeyError, ValueError) as error:
        return {"error": "HAProxy does not answer (%s)" % (getattr(error, "strerror", None) or error), "services": {}}
    refused = refusals()
    for service, each in found.items():
        each["refused"] = None if refused is None else refused.count(service)
    return {"error": None, "services": found}


def asked(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(path)
        connection.sendall(QUESTION)
        with connection.makefile("rb") as answer:
            return answer.read().decode("utf-8", "replace")


def parsed(text):
    """A queue is a backend with one server. What may go to any server waits at the backend, and counts there alone."""
    found = {}
    for line in csv.DictReader(text.lstrip("# ").splitlines()):
        service = found.setdefault(line["pxname"], {"waiting": 0, "working": 0})
        service["waiting"] += int(line["qcur"] or 0)
        if line["svname"] != "BACKEND":
            service["working"] = int(line["scur"])
    return found


def refusals():
    """The service of each request that was refused within the last hour."""
    command = ["journalctl", "--quiet", "--no-pager", "--output=cat", "--since=-1h", "--identifier=haproxy"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return REFUSED.findall(done.stdout) if done.returncode == 0 else None
