# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where host names lead: told before the first change, and never waited for."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from ansible_collections.litefarm.platform.plugins.plugin_utils._host_names import Lookup, warnings

OWN = {"app1": ["203.0.113.5", "203.0.113.5", "10.0.0.5", "2001:db8::5"]}


def answer(*addresses):
    return [(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]


def test_a_and_aaaa_of_every_name_are_looked_up_at_once():
    together = threading.Barrier(3, timeout=60)

    def ask(name, port, **options):
        together.wait()
        if name == "none.example.org":
            raise socket.gaierror(socket.EAI_NONAME, "x")
        return answer("203.0.113.5", "2001:db8::5", "203.0.113.5")

    found = Lookup(["a.example.org", "b.example.org", "none.example.org", "a.example.org"], ask).answers()
    assert found == {"a.example.org": ["2001:db8::5", "203.0.113.5"], "b.example.org": ["2001:db8::5", "203.0.113.5"], "none.example.org": []}


@pytest.mark.parametrize("failure", [socket.gaierror(socket.EAI_AGAIN, "x"), OSError("network"), UnicodeError("label too long")])
def test_a_server_without_an_answer_says_nothing_about_a_name(failure):
    def ask(name, port, **options):
        raise failure

    assert Lookup(["a.example.org"], ask).answers() == {}


def test_names_without_an_answer_are_waited_for_together_and_not_longer_than_that():
    never = threading.Event()

    def ask(name, port, **options):
        if name != "quick.example.org":
            never.wait(120)
        return answer("203.0.113.5")

    before = time.monotonic()
    lookup = Lookup(["slow%d.example.org" % number for number in range(5)] + ["quick.example.org"], ask, patience=3)
    assert time.monotonic() - before < 3
    assert lookup.answers() == {"quick.example.org": ["203.0.113.5"]}
    # One after the other they would take 15 s.
    assert time.monotonic() - before < 9
    never.set()


@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        (["203.0.113.5"], []),
        (["203.0.113.5", "2001:0db8::0005"], []),
        ([], ["The DNS has no address for a.example.org: point it to app1 (203.0.113.5), or it gets no certificate and nobody reaches it."]),
        (["198.51.100.7"], ["a.example.org leads to 198.51.100.7 (A), which is no address of app1 (203.0.113.5): "]),
        (["203.0.113.5", "2001:db8::9"], ["a.example.org also leads to 2001:db8::9 (AAAA), which is no address of app1 (203.0.113.5): "]),
    ],
)
def test_a_name_that_leads_elsewhere_is_told_with_its_addresses(addresses, said):
    found = warnings({"app1": {"a.example.org": addresses}}, OWN, [])
    assert len(found) == len(said) and all(sentence.startswith(begin) for sentence, begin in zip(found, said))


def test_a_name_of_several_load_balancers_may_lead_to_any_of_them():
    own = {"lb1": ["203.0.113.5"], "lb2": ["203.0.113.6"]}
    for addresses in (["203.0.113.5"], ["203.0.113.6"], ["203.0.113.5", "203.0.113.6"]):
        assert warnings({host: {"a.example.org": addresses} for host in own}, own, []) == []
    (sentence,) = warnings({host: {"a.example.org": ["198.51.100.7"]} for host in own}, own, [])
    assert "no address of lb1 (203.0.113.5) or lb2 (203.0.113.6)" in sentence


def test_a_droplet_that_is_not_part_of_the_run_may_be_meant():
    assert warnings({"app1": {"a.example.org": ["203.0.113.9"]}}, OWN, ["203.0.113.9", "other.example.org"]) == []
