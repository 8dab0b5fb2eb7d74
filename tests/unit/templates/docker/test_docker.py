# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""daemon.json is what every supported engine accepts, and log-ins are what Docker's own log-in would have written."""

from __future__ import annotations

import base64
import json

import pytest

FACTS = {
    "distribution": "Debian",
    "distribution_release": "trixie",
    "litefarm_droplet": {"default_interface": {"name": "eth0", "mtu": 1500}},
}
BOOKWORM = {**FACTS, "distribution_release": "bookworm"}


@pytest.fixture
def daemon(render):
    def read(**overrides):
        return json.loads(render("docker", "daemon.json.j2", **{"ansible_facts": FACTS, **overrides}))

    return read


def test_logs_are_bounded_containers_outlive_the_engine_and_a_forgotten_address_is_no_hole(daemon):
    options = daemon()
    assert options["log-opts"] == {"max-size": "10m", "max-file": "3"}
    assert options["live-restore"] is True
    assert options["userland-proxy"] is False
    assert options["ip"] == "127.0.0.1"


def test_values_from_a_command_line_have_the_type_the_engine_wants(daemon):
    options = daemon(docker_userland_proxy="true", docker_mtu="1400", docker_log_files="5")
    assert options["userland-proxy"] is True
    assert options["mtu"] == 1400
    assert options["log-opts"]["max-file"] == "5"


@pytest.mark.parametrize(("mtu", "expected"), [(1400, 1400), (1500, 1500), (9000, 1500), (0, 1500)])
def test_packets_of_containers_fit_through_the_default_route(daemon, mtu, expected):
    facts = {**FACTS, "litefarm_droplet": {"default_interface": {"name": "eth0", "mtu": mtu}}}
    options = daemon(ansible_facts=facts)
    assert options["mtu"] == expected
    assert options["default-network-opts"]["bridge"]["com.docker.network.driver.mtu"] == str(expected)


def test_the_engine_of_debian_12_gets_no_setting_that_it_does_not_know(daemon, evaluate):
    assert "default-network-opts" not in daemon(ansible_facts=BOOKWORM)
    assert "default-network-opts" in daemon(ansible_facts=BOOKWORM, docker_package_source="docker")
    assert evaluate("docker", "docker__validate", ansible_facts=BOOKWORM)[0] == "python3"
    assert evaluate("docker", "docker__validate", ansible_facts=FACTS)[0] == "dockerd"


def test_options_of_ones_own_outrank_the_roles(daemon):
    options = daemon(docker_daemon_options={"ip": "0.0.0.0", "debug": True}, docker_registry_mirrors=["https://mirror.example"])
    assert (options["ip"], options["debug"]) == ("0.0.0.0", True)
    assert options["registry-mirrors"] == ["https://mirror.example"]


@pytest.mark.parametrize("source", ["distribution", "docker"])
@pytest.mark.parametrize("release", ["Debian-bookworm", "Debian-trixie", "Ubuntu-jammy", "Ubuntu-noble"])
def test_every_supported_release_has_an_engine(evaluate, source, release):
    packages = evaluate("docker", "docker__packages[docker_package_source][docker__release]", docker_package_source=source,
                        ansible_facts=dict(zip(("distribution", "distribution_release"), release.split("-"), strict=True)))  # fmt: skip
    assert packages
    assert ("docker-cli" in packages) == (source == "distribution" and release == "Debian-trixie")


def test_log_ins_are_stored_as_docker_reads_them(render):
    logins = [
        {"registry": "registry.example:5000", "username": "litefarm", "password": 'quo"te\\ é:colon'},
        {"registry": "https://index.docker.io/v1/", "username": "someone", "password": "x"},
    ]
    stored = json.loads(render("docker", "config.json.j2", docker_registry_logins=logins))["auths"]
    assert {registry: base64.b64decode(entry["auth"]).decode() for registry, entry in stored.items()} == {
        "registry.example:5000": 'litefarm:quo"te\\ é:colon',
        "https://index.docker.io/v1/": "someone:x",
    }
    assert json.loads(render("docker", "config.json.j2")) == {"auths": {}}


def test_certificate_authorities_are_where_docker_looks_for_them(evaluate):
    files = evaluate("docker", "docker__ca_files", docker_registry_ca_certificates={"10.0.0.5:5000": "PEM\n"})
    assert files == [{"dest": "/etc/docker/certs.d/10.0.0.5:5000/ca.crt", "content": "PEM\n"}]
    assert evaluate("docker", "docker__ca_files") == []


def test_dockers_own_repository_is_the_one_of_the_distribution(render):
    text = render("docker", "docker.sources.j2", ansible_facts={"distribution": "Ubuntu", "distribution_release": "noble"})
    assert "URIs: https://download.docker.com/linux/ubuntu\nSuites: noble\n" in text
