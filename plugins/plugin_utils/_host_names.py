# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the DNS says that host names lead, and whether that is the droplet which answers for them."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterable

# A run does not wait longer for the DNS. A name without an answer by then is not reported.
PATIENCE = 2.0


class Lookup:
    """Looks up the addresses (A and AAAA) of several names at once, beside everything else that its process does.

    A lookup cannot be ended from outside, so each has a thread that nothing waits for.
    """

    def __init__(self, names: Iterable[str], ask: Callable = socket.getaddrinfo, patience: float = PATIENCE):
        self._ask = ask
        self._end = time.monotonic() + patience
        self._found: dict[str, list[str] | None] = {}
        self._threads = {name: threading.Thread(target=self._look_up, args=(name,), daemon=True) for name in dict.fromkeys(names)}
        for thread in self._threads.values():
            thread.start()

    def _look_up(self, name: str) -> None:
        try:
            answers = self._ask(name, None, type=socket.SOCK_STREAM)
            self._found[name] = sorted({answer[4][0].partition("%")[0] for answer in answers})
        except socket.gaierror as error:
            # A server that does not answer says nothing about the name.
            self._found[name] = None if error.errno == socket.EAI_AGAIN else []
        except (OSError, UnicodeError):
            self._found[name] = None

    def answers(self) -> dict[str, list[str]]:
        """Addresses by name; none for a name that does not exist. What has no answer is left out."""
        for thread in self._threads.values():
            thread.join(max(0.0, self._end - time.monotonic()))
        found = dict(self._found)
        return {name: found[name] for name in self._threads if found.get(name) is not None}


def same_form(addresses: Iterable[str]) -> list[str]:
    """Addresses as they are compared; what is none, such as a host name, is left out."""
    found = []
    for address in addresses:
        try:
            found.append(str(ipaddress.ip_address(address)))
        except ValueError:
            continue
    return found


def warnings(names: dict[str, dict[str, list[str]]], own: dict[str, list[str]], outside: Iterable[str]) -> list[str]:
    """Sentences about names that do not lead to the droplets which answer for them.

    Args:
        names: droplet to its names with the addresses that the DNS has for them.
        own: droplet to its addresses, the one that Ansible reaches it at first.
        outside: addresses of droplets that are not part of the run, which may answer for the same names.
    """
    hosts: dict[str, list[str]] = {}
    addresses: dict[str, list[str]] = {}
    for host, found in names.items():
        for name, answer in found.items():
            hosts.setdefault(name, []).append(host)
            addresses[name] = answer
    sentences = []
    for name, where in hosts.items():
        good = {address for host in where for address in same_form(own.get(host) or [])} | set(same_form(outside))
        wrong = [address for address in same_form(addresses[name]) if address not in good]
        targets = " or ".join("%s (%s)" % (host, own[host][0]) if own.get(host) else host for host in where)
        if not addresses[name]:
            sentences.append("The DNS has no address for %s: point it to %s, or it gets no certificate and nobody reaches it." % (name, targets))
        elif wrong:
            kinds = ", ".join("%s (%s)" % (address, "AAAA" if ":" in address else "A") for address in wrong)
            also = "" if len(wrong) == len(addresses[name]) else "also "
            sentences.append(
                "%s %sleads to %s, which is no address of %s: correct that before users come, or it gets no certificate. "
                "Before a cut-over, and with a proxy in front of the droplet, it is meant so." % (name, also, kinds, targets)
            )
    return sentences
