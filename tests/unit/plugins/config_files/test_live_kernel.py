# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules and values of the kernel are compared with what is declared, whatever way programs print them."""

from __future__ import annotations

import json

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _live_kernel as kernel

# As `nft --stateless list table` prints it.
TABLE = """table inet litefarm {
	set sources4_22 {
		type ipv4_addr
		size 65535
		flags dynamic,timeout
		timeout 2m
	}

	chain prerouting {
		type filter hook prerouting priority mangle; policy accept;
		iifname "lo" accept
		goto outside
	}

	chain outside {
		tcp dport 22 add @sources4_22 { ip saddr limit rate over 30/minute burst 30 packets } goto refused
		tcp dport { 22, 80, 443 } accept
		ip saddr 10.0.0.2 tcp dport 5432 accept comment "postgres # count 3"
		goto refused
	}

	chain refused {
		counter drop
	}
}
"""
USED = TABLE.replace("size 65535", "size 65535\t# count 3").replace(
    "		timeout 2m\n",
    "		timeout 2m\n		elements = { 192.0.2.1 limit rate over 30/minute burst 30 packets timeout 2m expires 1m3s,\n			     192.0.2.2 expires 9s }\n",
)
FLUSHED = "\n".join(line for line in TABLE.splitlines() if not line.startswith("\t\t") or line.split()[0] in ("type", "size", "flags", "timeout"))


def nftables(listed, declared=TABLE):
    asked = []

    def run(command):
        asked.append(command)
        return (0, declared) if command[0] == "unshare" else listed

    return kernel.nftables("inet litefarm", "/etc/ruleset.nft", run), asked


@pytest.mark.parametrize("listed", [TABLE, USED])
def test_what_traffic_leaves_in_a_table_is_no_difference(listed):
    assert nftables((0, listed))[0] == ""


def test_the_file_is_loaded_in_a_namespace_of_its_own():
    _text, asked = nftables((0, TABLE))
    assert asked[0][:2] == ["unshare", "--net"]
    assert "/etc/ruleset.nft" in asked[0]
    assert asked[1] == ["nft", "--stateless", "list", "table", "inet", "litefarm"]


def test_flushed_rules_are_counted_and_shown():
    text = nftables((0, FLUSHED))[0]
    assert text.startswith("the kernel lacks 7 declared lines of table inet litefarm (-) and has 0 others (+)\n")
    assert "-\t\ttcp dport { 22, 80, 443 } accept" in text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{ 22, 80, 443 }", "{ 22, 80, 443, 5432 }"),
        ('iifname "lo" accept\n\t\tgoto outside', 'goto outside\n\t\tiifname "lo" accept'),
        ("{\n\tset", "{\n\tflags dormant\n\n\tset"),
        ("10.0.0.2", "0.0.0.0/0"),
    ],
)
def test_another_rule_another_order_or_a_sleeping_table_is_a_difference(before, after):
    assert before in TABLE
    assert "(+)" in nftables((0, TABLE.replace(before, after, 1)))[0]


def test_a_table_that_is_not_there_is_a_difference_and_a_file_that_nft_refuses_a_failure():
    assert nftables((1, "Error: No such file or directory"))[0] == "the kernel has no table inet litefarm, so its rules do not hold"
    with pytest.raises(kernel.CannotTell, match="/etc/ruleset.nft cannot be loaded .*: syntax error"):
        kernel.nftables("inet litefarm", "/etc/ruleset.nft", lambda command: (1, "syntax error"))


# -- Docker ------------------------------------------------------------------------------------------------------------

INFO = {"LiveRestoreEnabled": True}
CONTAINERS = [
    {
        "Names": ["/api_2"],
        "State": "running",
        "Ports": [{"IP": "127.0.0.1", "PrivatePort": 5000, "PublicPort": 15001, "Type": "tcp"}, {"PrivatePort": 9229, "Type": "tcp"}],
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.30.0.3"}}},
    },
    {"Names": ["/old"], "State": "exited", "Ports": [], "NetworkSettings": {"Networks": {"bridge": {"IPAddress": ""}}}},
    {"Names": ["/hosts_own"], "State": "running", "Ports": [], "NetworkSettings": {"Networks": {"host": {"IPAddress": ""}}}},
]
NETWORKS = [
    {"Name": "bridge", "Driver": "bridge", "Options": {"com.docker.network.bridge.name": "docker0"}, "IPAM": {"Config": [{"Subnet": "172.30.0.0/24"}]}},
    {"Name": "unused", "Driver": "bridge", "Options": {}, "IPAM": {"Config": [{"Subnet": "172.30.1.0/24"}]}},
    {"Name": "host", "Driver": "host", "Options": {}, "IPAM": {"Config": None}},
]
NAT = """*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.30.0.0/24 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 172.30.0.3/32 -d 172.30.0.3/32 -p tcp -m tcp --dport 5000 -j MASQUERADE
-A DOCKER -d 127.0.0.1/32 -p tcp -m tcp --dport 15001 -j DNAT --to-destination 172.30.0.3:5000
COMMIT
"""
# Before engine 28, and from then on.
FILTERS = [
    """*filter
:FORWARD DROP [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A DOCKER -d 172.30.0.3/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 5000 -j ACCEPT
COMMIT
""",
    """*filter
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d 172.30.0.3/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 5000 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-FORWARD -j DOCKER-CT
COMMIT
""",
]


@pytest.fixture(name="docker")
def fixture_docker(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel, "ENGINE_SETTINGS", str(tmp_path / "daemon.json"))

    def docker(nat=NAT, rules=FILTERS[0], info=INFO, settings=None, later=None):
        if settings is not None:
            (tmp_path / "daemon.json").write_text(json.dumps(settings))
        answers = {"/info": info, "/containers/json": CONTAINERS, "/networks": NETWORKS}
        tables = [{"nat": nat, "filter": rules}] + ([{"nat": later, "filter": rules}] if later else [])
        saved = []

        def run(command):
            saved.append(command[2])
            return 0, tables[min(saved.count(command[2]), len(tables)) - 1][command[2]]

        return kernel.docker(run, ask=answers.__getitem__, pause=0)

    return docker


@pytest.mark.parametrize("rules", FILTERS)
def test_the_rules_of_every_supported_engine_are_known(docker, rules):
    assert docker(rules=rules) == ""


@pytest.mark.parametrize(
    ("gone", "text"),
    [
        ("-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n", "nat: PREROUTING does not jump to DOCKER"),
        ("-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER\n", "nat: OUTPUT does not jump to DOCKER"),
        ("-A DOCKER -d 127.0.0.1/32 -p tcp -m tcp --dport 15001 -j DNAT --to-destination 172.30.0.3:5000\n", "nat: no DNAT for port 127.0.0.1:15001 of api_2"),
        ("-A POSTROUTING -s 172.30.0.0/24 ! -o docker0 -j MASQUERADE\n", "nat: no MASQUERADE for network bridge"),
    ],
)
def test_each_missing_rule_of_nat_is_told(docker, gone, text):
    assert gone in NAT
    assert docker(nat=NAT.replace(gone, "")) == "the kernel lacks rules of Docker's (%s)" % text


@pytest.mark.parametrize(
    ("start", "text"),
    [
        ("-A FORWARD ", "filter: FORWARD does not jump to Docker's chains"),
        ("-A DOCKER ", "filter: no ACCEPT for port 127.0.0.1:15001 of api_2"),
    ],
)
def test_each_missing_rule_of_filter_is_told(docker, start, text):
    rules = "\n".join(line for line in FILTERS[1].splitlines() if not line.startswith(start))
    assert docker(rules=rules) == "the kernel lacks rules of Docker's (%s)" % text


def test_a_flushed_ruleset_has_none_of_them(docker):
    text = docker(nat="", rules="")
    assert text.count(";") == 4
    assert text.endswith(" and 1 more)")


def test_a_container_that_was_just_replaced_is_looked_at_again(docker):
    assert docker(nat=NAT.replace("172.30.0.3:5000", "172.30.0.9:5000"), later=NAT) == ""


def test_without_live_restore_a_person_decides(docker):
    with pytest.raises(kernel.CannotTell, match="`systemctl restart docker` writes them again, but stops every container"):
        docker(nat="", info={"LiveRestoreEnabled": False})


@pytest.mark.parametrize(("info", "settings"), [({"FirewallBackend": {"Driver": "nftables"}}, {}), (INFO, {"iptables": False})])
def test_an_engine_that_does_not_use_iptables_lacks_no_rules(docker, info, settings):
    assert docker(nat="", info=info, settings=settings) == ""


def test_an_engine_that_does_not_answer_is_a_failure():
    def ask(path):
        raise ConnectionRefusedError("refused")

    with pytest.raises(kernel.CannotTell, match="the engine does not say which rules its containers need: refused"):
        kernel.docker(None, ask=ask)


def test_ports_that_do_not_go_by_a_bridge_need_no_rule():
    routed = [dict(NETWORKS[0], Options={kernel.GATEWAY_MODE: "routed"})]
    assert len(kernel.needed(CONTAINERS[:1], routed)) == 3
    internal = [dict(NETWORKS[0], Internal=True)]
    assert len(kernel.needed(CONTAINERS[:1], internal)) == 3


# -- sysctl ------------------------------------------------------------------------------------------------------------


@pytest.fixture(name="sysctl")
def fixture_sysctl(tmp_path):
    root = tmp_path / "sys"
    for name, value in {
        "vm/swappiness": "10\n",
        "net/ipv4/tcp_rmem": "4096\t131072\t6291456\n",
        "net/ipv4/conf/eth0.100/rp_filter": "2\n",
        "kernel/printk": "4\t4\t1\t7\n",
        "kernel/domainname": "(none)\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(value)
    (root / "vm/compact_memory").write_text("")
    (root / "vm/compact_memory").chmod(0o200)

    def compare(text):
        (tmp_path / "sysctl.conf").write_text(text)
        return kernel.sysctl(str(tmp_path / "sysctl.conf"), str(root))

    return compare


@pytest.mark.parametrize(
    "text",
    [
        "# vm.swappiness = 60\nvm.swappiness = 10\n",
        "vm.swappiness=0xa",
        "vm/swappiness = 60\nvm/swappiness = 10",
        "net.ipv4.tcp_rmem = 4096 131072  6291456",
        "net.ipv4.conf.eth0/100.rp_filter = 2",
        "net/ipv4/conf/eth0.100/rp_filter = 2",
        "net.ipv4.conf.*.rp_filter = 2",
        "kernel.printk = 4",
        "kernel.domainname = (none)",
        "vm.compact_memory = 1",
        "-net.ipv6.conf.all.accept_redirects = 0",
        "",
    ],
)
def test_a_value_is_the_same_however_the_kernel_prints_it(sysctl, text):
    assert sysctl(text) == ""


@pytest.mark.parametrize(
    ("text", "difference"),
    [
        ("vm.swappiness = 60", "vm.swappiness is 10, declared is 60"),
        ("net.ipv4.tcp_rmem = 4096 87380 6291456", "net.ipv4.tcp_rmem is 4096 131072 6291456, declared is 4096 87380 6291456"),
        ("kernel.domainname = example.org", "kernel.domainname is (none), declared is example.org"),
        ("net.ipv6.conf.all.accept_redirects = 0", "net.ipv6.conf.all.accept_redirects is not in the kernel"),
        ("vm.swappiness = 1\nkernel.printk = 3", "kernel.printk is 4 4 1 7, declared is 3; vm.swappiness is 10, declared is 1"),
    ],
)
def test_another_value_is_told_with_both(sysctl, text, difference):
    assert sysctl(text) == difference
