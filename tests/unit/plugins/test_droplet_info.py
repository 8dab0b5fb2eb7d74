# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What droplet_info says has to be what ansible.builtin.setup says: by its own code, on files of every supported release."""

from __future__ import annotations

import json
import os
import platform
import socketserver
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from ansible.module_utils.distro import LinuxDistribution
from ansible_collections.litefarm.platform.plugins.modules import droplet_info

# The lines of /etc/os-release that decide, /etc/debian_version, and what setup is known to answer.
RELEASES = {
    "bookworm": (
        'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\n'
        'VERSION="12 (bookworm)"\nVERSION_CODENAME=bookworm\nID=debian\n',
        "12.11\n",
        ("Debian", "bookworm", "12.11", "12"),
    ),
    "trixie": (
        'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nNAME="Debian GNU/Linux"\nVERSION_ID="13"\n'
        'VERSION="13 (trixie)"\nVERSION_CODENAME=trixie\nDEBIAN_VERSION_FULL=13.1\nID=debian\n',
        "13.1\n",
        ("Debian", "trixie", "13.1", "13"),
    ),
    "jammy": (
        'PRETTY_NAME="Ubuntu 22.04.5 LTS"\nNAME="Ubuntu"\nVERSION_ID="22.04"\nVERSION="22.04.5 LTS (Jammy Jellyfish)"\n'
        "VERSION_CODENAME=jammy\nID=ubuntu\nID_LIKE=debian\nUBUNTU_CODENAME=jammy\n",
        "bookworm/sid\n",
        ("Ubuntu", "jammy", "22.04", "22"),
    ),
    "noble": (
        'PRETTY_NAME="Ubuntu 24.04.3 LTS"\nNAME="Ubuntu"\nVERSION_ID="24.04"\nVERSION="24.04.3 LTS (Noble Numbat)"\n'
        "VERSION_CODENAME=noble\nID=ubuntu\nID_LIKE=debian\nUBUNTU_CODENAME=noble\n",
        "trixie/sid\n",
        ("Ubuntu", "noble", "24.04", "24"),
    ),
}


@pytest.mark.parametrize("name", RELEASES)
def test_distribution_is_what_setup_derives_from_the_same_files(name: str, tmp_path: Path) -> None:
    os_release, debian_version, expected = RELEASES[name]
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(os_release)
    (tmp_path / "etc/debian_version").write_text(debian_version)
    distro = LinuxDistribution(include_lsb=False, include_uname=False, root_dir=str(tmp_path))

    facts = droplet_info.distribution_facts(os_release, debian_version)

    assert tuple(facts.values()) == expected
    assert facts["distribution"] == distro.id().capitalize()
    assert facts["distribution_version"] == distro.version(best=distro.id() == "debian")
    assert facts["distribution_release"] == distro.os_release_info()["version_codename"]


def test_an_unknown_distribution_is_named_and_no_error() -> None:
    facts = droplet_info.distribution_facts('ID=alpine\nVERSION_ID="3.22.1"\n', "")
    assert facts["distribution"] == "Alpine"
    assert facts["distribution_version"] == "3.22.1"
    assert droplet_info.distribution_facts("", "")["distribution"] == "OtherLinux"


def test_memory_is_in_whole_mebibytes() -> None:
    meminfo = "MemTotal:        2014496 kB\nMemFree:          123456 kB\nSwapTotal:       2097148 kB\n"
    assert droplet_info.memory_facts(meminfo) == {"memtotal_mb": 1967, "swaptotal_mb": 2047}


def test_every_address_is_listed_and_the_default_route_with_the_lowest_metric_wins() -> None:
    interfaces = [
        {"ifname": "lo", "mtu": 65536, "addr_info": [{"local": "127.0.0.1"}, {"local": "::1"}]},
        {"ifname": "eth0", "mtu": 1400, "addr_info": [{"local": "203.0.113.7"}, {}]},
        {"ifname": "eth1", "mtu": 1500},
        {},
    ]
    routes = [{"dev": "eth1", "metric": 100}, {"dev": "eth0"}]
    assert droplet_info.network_facts(interfaces, routes) == {
        "addresses": ["127.0.0.1", "::1", "203.0.113.7"],
        "default_interface": {"name": "eth0", "mtu": 1400},
    }
    assert droplet_info.network_facts(interfaces, [])["default_interface"] == {"name": "", "mtu": 0}


def test_a_folder_that_does_not_exist_yet_is_measured_at_its_parent(tmp_path: Path) -> None:
    disks = droplet_info.disk_facts([str(tmp_path), str(tmp_path / "not/there")])
    assert disks[str(tmp_path / "not/there")]["total_mb"] == disks[str(tmp_path)]["total_mb"] > 0


@pytest.mark.parametrize(
    ("body", "version"),
    [(b'{"Version": "26.1.5"}', "26.1.5"), (b"{}", ""), (b"[]", ""), (b"not JSON", "")],
)
def test_the_version_of_the_engine_is_asked_at_its_socket(body: bytes, version: str, tmp_path: Path) -> None:
    class Engine(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "client"

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with socketserver.UnixStreamServer(str(tmp_path / "docker.sock"), Engine) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert droplet_info.docker_facts(str(tmp_path / "docker.sock"))["version"] == version


def test_no_engine_is_no_error(tmp_path: Path) -> None:
    assert droplet_info.docker_facts(str(tmp_path / "docker.sock"))["version"] == ""


def ansible_facts(module: str, arguments: str) -> dict:
    """The facts that a module gathers on this machine."""
    answer = subprocess.run(
        [
            Path(sys.executable).parent / "ansible",
            *("localhost", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"),
            *("-m", module, "-a", arguments, "--one-line"),
        ],
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout.partition(" => ")[2])["ansible_facts"]


def test_on_this_machine_it_agrees_with_setup() -> None:
    ours = ansible_facts("litefarm.platform.droplet_info", "")
    theirs = ansible_facts("ansible.builtin.setup", "gather_subset=!all,!min,distribution,hardware,network,platform")

    names = [name for name in ours if name != "litefarm_droplet"]
    assert len(names) == 8
    assert {name: ours[name] for name in names} == {name: theirs[f"ansible_{name}"] for name in names}

    droplet = ours["litefarm_droplet"]
    # Link-local ones come and go with other containers between the two questions.
    lasting = {address for address in theirs["ansible_all_ipv4_addresses"] + theirs["ansible_all_ipv6_addresses"] if not address.startswith("fe80:")}
    assert lasting <= set(droplet["addresses"])
    assert droplet["default_interface"]["name"] == theirs["ansible_default_ipv4"].get("interface", "")
    assert droplet["default_interface"]["mtu"] == theirs["ansible_default_ipv4"].get("mtu", 0)
    assert droplet["python_version"] == platform.python_version()


@pytest.mark.parametrize("content", [b"", b"\n", bytes(65), b"3f2a" + bytes(61)])
def test_a_damaged_file_says_nothing_of_the_vault_and_does_not_refuse_the_droplet(content: bytes, tmp_path: Path) -> None:
    for name in (droplet_info.ENVIRONMENT_FILE, droplet_info.SECRET_FILES[0], droplet_info.BACKUP_FILE):
        path = tmp_path / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    found = droplet_info.deployed_with(str(tmp_path))
    assert (found["environment"], found["backup_key"]) == ("", "")
    assert found["files"] == ([droplet_info.fingerprint("\n")] if content == b"\n" else [])


@pytest.mark.parametrize(("content", "there"), [(None, False), (b"", False), (b"17\n", True), (bytes(3), True), (b"\xff\xfe", True)])
def test_a_damaged_database_is_one(content: bytes | None, there: bool, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "PG_VERSION").write_bytes(content)
    assert droplet_info.has_database(str(tmp_path)) is there
