# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scan of all TCP ports of an address. It runs with a bare Python inside whichever container is the stranger.

Prints one JSON object: the ports that accepted a connection and the ports that refused it. All others kept silent.
"""

from __future__ import annotations

import errno
import json
import resource
import select
import socket
import sys
import time

# What every droplet shows the world.
WORLD = [22, 80, 443]
SILENCE = 0.3


def scan(address: str, ports: range, silence: float) -> dict[str, list[int]]:
    """Tries every port, as many at once as open files allow.

    Args:
        address: the IP address to scan.
        ports: the ports to try.
        silence: seconds after which a port that has not answered counts as filtered. The kernel shakes hands however busy the machine
            is, and what it has by then is looked at afterwards, so an answer is not missed for want of processor time.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    found: dict[str, list[int]] = {"open": [], "refused": []}
    for first in range(ports.start, ports.stop, files - 64):
        knock(address, range(first, min(first + files - 64, ports.stop)), silence, found)
    return {kind: sorted(seen) for kind, seen in found.items()}


def knock(address: str, ports: range, silence: float, found: dict[str, list[int]]) -> None:
    """Tries some ports at once and sorts them into what was found."""
    waiting = {}
    with select.epoll() as answers:
        for port in ports:
            door = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            door.connect_ex((address, port))
            answers.register(door, select.EPOLLOUT)
            waiting[door.fileno()] = door, port
        time.sleep(silence)
        for descriptor, _event in answers.poll(0, len(waiting)):
            door, port = waiting[descriptor]
            error = door.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error == 0:
                found["open"].append(port)
            elif error == errno.ECONNREFUSED:
                found["refused"].append(port)
    for door, _port in waiting.values():
        door.close()


if __name__ == "__main__":
    print(json.dumps(scan(sys.argv[1], range(1, 65536), SILENCE)))
