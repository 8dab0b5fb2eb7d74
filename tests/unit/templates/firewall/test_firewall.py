# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ruleset opens what is declared and nothing else, before Docker gets to see a packet."""

from __future__ import annotations

import pytest
import yaml


@pytest.fixture
def rules(render):
    """The lines of one chain."""

    def read(chain, **overrides):
        lines = [line.strip() for line in render("firewall", "ruleset.nft.j2", **overrides).splitlines()]
        body = lines[lines.index(f"chain {chain} {{") + 1 :]
        return [line for line in body[: body.index("}")] if line and not line.startswith("#")]

    return read


def test_only_the_own_table_is_replaced_and_in_one_transaction(render):
    text = render("firewall", "ruleset.nft.j2")
    statements = [line for line in text.splitlines() if line and not line.startswith(("#", " ", "}"))]
    # Declared first, because deleting a table that does not exist is an error.
    assert statements == ["table inet litefarm", "delete table inet litefarm", "table inet litefarm {"]
    assert "flush" not in text


def test_packets_are_seen_before_docker_redirects_them_and_only_containers_of_the_droplet_pass_unseen(rules):
    assert rules("prerouting") == [
        "type filter hook prerouting priority mangle; policy accept;",
        'iifname "lo" accept',
        "ip daddr 127.0.0.0/8 drop",
        'iifname "docker0" accept',
        'iifname "br-*" accept',
        "goto outside",
    ]


def test_what_comes_from_outside_meets_the_declared_ports_and_then_the_end(rules):
    outside = rules("outside")
    assert [rule for rule in outside if "tcp" in rule] == ["tcp dport { 22, 80, 443 } accept"]
    assert outside[-1] == "goto refused"
    assert rules("refused") == ["counter drop"]


def test_addresses_of_containers_are_refused_before_any_port_is_opened(rules):
    outside = rules("outside")
    assert outside.index("fib daddr type != local goto refused") < outside.index("tcp dport { 22, 80, 443 } accept")


def test_a_service_is_open_for_its_clients_alone_in_both_families(rules):
    services = [{"name": "postgres", "port": 5432, "from": ["192.0.2.10", "2001:db8::1", "192.0.2.10", "198.51.100.0/24"]}]
    assert [rule for rule in rules("outside", firewall_services=services) if "5432" in rule] == [
        'ip saddr 192.0.2.10 tcp dport 5432 accept comment "postgres"',
        'ip saddr 198.51.100.0/24 tcp dport 5432 accept comment "postgres"',
        'ip6 saddr 2001:db8::1 tcp dport 5432 accept comment "postgres"',
    ]


def test_a_service_without_clients_is_closed(rules):
    services = [{"name": "postgres", "port": 5432, "from": []}]
    assert rules("outside", firewall_services=services) == rules("outside")


def test_without_world_ports_there_is_no_rule_with_an_empty_set(rules):
    assert not [rule for rule in rules("outside", firewall_world_ports=[]) if "tcp" in rule]


def test_limits_come_before_the_port_is_opened_and_have_room_of_their_own(rules, render):
    outside = rules("outside", firewall_rate_limits={22: 30})
    limits = [rule for rule in outside if "limit rate over 30/minute burst 30 packets" in rule]
    assert [rule.split()[3:5] for rule in limits] == [["add", "@sources4_22"], ["add", "@sources6_22"]]
    assert max(map(outside.index, limits)) < outside.index("tcp dport { 22, 80, 443 } accept")
    text = render("firewall", "ruleset.nft.j2", firewall_rate_limits={22: 30})
    assert "set sources4_22 {" in text
    assert "set sources6_22 {" in text


def test_a_log_of_refused_packets_is_bounded(rules):
    assert rules("refused", firewall_log_refused=True) == [
        'limit rate 10/minute log prefix "litefarm-firewall: " level info',
        "counter drop",
    ]


def test_it_is_loaded_before_the_network_and_stopping_it_opens_nothing(render):
    unit = render("firewall", "litefarm-firewall.service.j2").splitlines()
    assert "Before=network-pre.target shutdown.target" in unit
    assert "After=local-fs.target nftables.service" in unit
    assert not [line for line in unit if line.startswith("ExecStop")]


def test_debians_unit_flushes_nothing_of_other_programs(render):
    directives = [line for line in render("firewall", "nftables.conf.j2").splitlines() if line and not line.startswith("#")]
    assert directives == ['include "/etc/litefarm/firewall/ruleset.nft"', 'include "/etc/nftables.d/*.nft"']
    unit = [line for line in render("firewall", "nftables.service.j2").splitlines() if not line.startswith("#")]
    assert unit == ["[Service]", "ExecStop="]


def test_each_run_compares_the_kernels_rules_with_the_file(repo):
    tasks = yaml.safe_load((repo / "roles/firewall/tasks/main.yml").read_text())
    (unit,) = tasks[-1]["litefarm.platform.config_files"]["units"]
    assert (unit["on_change"], unit["live"]) == ("reload", {"kind": "nftables", "table": "inet litefarm", "file": "/etc/litefarm/firewall/ruleset.nft"})


@pytest.mark.parametrize(
    ("client", "accepted"),
    [
        ("192.0.2.10", True),
        ("198.51.100.0/24", True),
        ("2001:db8::1", True),
        ("fe80::/10", True),
        ("db.example.org", False),
        ("deadbeef", False),
        ("", False),
        ("192.0.2.10; drop", False),
    ],
)
def test_clients_are_addresses_never_names(evaluate, client, accepted):
    services = [{"name": "postgres", "port": 5432, "from": ["192.0.2.1", client]}]
    assert evaluate("firewall", "firewall__names", firewall_services=services) == ([] if accepted else [client])
