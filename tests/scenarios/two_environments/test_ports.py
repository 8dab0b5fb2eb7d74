# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every TCP port of every droplet, from a stranger and from peers: at night from each, by day from those with the API in the private network."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import lab
from tests.support.night import NIGHT
from tests.support.ports import WORLD

STRANGER = "a stranger"
PRIVATE = "private"
NETWORKS = ("public", PRIVATE)


def expected(target, seen_from):
    """The ports that are open there: for the world, and for the droplets whose services are clients of the target's."""
    groups = lab.hosts(lab.environment_of(target))
    ports = set(WORLD)
    if target in groups["postgres"] and seen_from in groups["api"]:
        ports.add(5432)
    if target in groups["redis"] and seen_from in groups["api"] + groups["export_scheduler"]:
        ports.add(6379)
    return sorted(ports)


def scan(target, network, seen_from):
    if seen_from == STRANGER:
        return lab.scan_as_stranger(target, network)
    address = lab.status()["droplets"][target][f"{network}_address"]
    return json.loads(lab.connect(seen_from).check_output("python3 -c %s %s", lab.PORTS.read_text(), address))


def peers():
    return lab.droplets() if NIGHT else lab.droplets("api")


def networks(seen_from):
    return NETWORKS if NIGHT or seen_from == STRANGER else (PRIVATE,)


@pytest.fixture(scope="module")
def table(request):
    """Target, network and observer to what was seen; observers look at the same time."""
    looks = [
        (target, network, seen_from)
        for seen_from in [STRANGER, *peers()]
        for target in lab.droplets()
        for network in networks(seen_from)
        if target != seen_from
    ]
    with ThreadPoolExecutor(4) as pool:
        seen = dict(zip(looks, pool.map(lambda look: scan(*look), looks)))
    lines = [f"{'seen from':20} {'target':20} {'network':8} {'expected':24} seen"]
    lines += [f"{seen_from:20} {target:20} {network:8} {str(private(target, network, seen_from)):24} {found}" for (target, network, seen_from), found in seen.items()]
    request.config.get_terminal_writer().line("\n" + "\n".join(lines))
    return seen


def private(target, network, seen_from):
    """Services listen on private addresses only."""
    return expected(target, seen_from) if network == PRIVATE else WORLD


def test_exactly_the_expected_ports_are_open(table):
    droplets = len(lab.droplets())
    assert peers() and len(table) == len(NETWORKS) * droplets + len(networks(peers()[0])) * len(peers()) * (droplets - 1)
    assert {look: found["open"] for look, found in table.items()} == {look: private(*look) for look in table}


def test_all_other_ports_are_silent_to_a_stranger(table):
    """Not asked of peers: two droplets that try each other's ports meet on some, and take a question for an answer."""
    assert {look: found["refused"] for look, found in table.items() if look[2] == STRANGER and found["refused"]} == {}
