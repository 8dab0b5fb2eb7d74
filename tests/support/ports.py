# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scan of all TCP ports of an address. It runs with a bare Python inside whichever container is the stranger.

Prints one JSON object: the ports that accepted a connection and the ports that refused it. All others kept silent.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys

# What every droplet shows the world.
WORLD = [22, 80, 443]


async def scan(address: str, ports: range, timeout: float) -> dict[str, list[int]]:
    """Tries every port, as many at once as open files allow.

    Args:
        address: the IP address to scan.
        ports: the ports to try.
        timeout: seconds of silence after which a port counts as filtered.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    gate = asyncio.Semaphore(files - 64)
    found: dict[str, list[int]] = {"open": [], "refused": []}

    async def knock(port: int) -> None:
        async with gate:
            try:
                _reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), timeout)
            except ConnectionRefusedError:
                found["refused"].append(port)
            except TimeoutError:
                return
            else:
                found["open"].append(port)
                writer.close()

    await asyncio.gather(*(knock(port) for port in ports))
    return {kind: sorted(seen) for kind, seen in found.items()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(scan(sys.argv[1], range(1, 65536), 0.5))))
