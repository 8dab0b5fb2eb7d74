# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imaginary fetches nothing unless told where from, and none of its flags is lost."""

from __future__ import annotations

import pytest
import yaml


@pytest.fixture
def tasks(repo):
    return yaml.safe_load((repo / "roles" / "imaginary" / "tasks" / "main.yml").read_text())


@pytest.fixture
def declared(declaration):
    return declaration("imaginary")


def parsed(command):
    """As Go's flag package reads them: all words have to begin with a dash, the first other one ends the flags."""
    assert all(word.startswith("-") for word in command)
    return {name.lstrip("-"): value for name, _equals, value in (word.partition("=") for word in command)}


def test_nothing_is_fetched_unless_wanted(declared):
    flags = parsed(declared("command"))
    assert not {"enable-url-source", "allowed-origins", "mount", "key"} & set(flags)
    assert {"form", "watermarkimage", "pipeline"} <= set(flags["disable-endpoints"].split(","))


def test_pictures_are_fetched_from_the_given_origins_only(declared):
    flags = parsed(declared("command", imaginary_allowed_origins=["https://a.example", "https://b.example/c/"], imaginary_max_fetched_mb=2))
    assert flags["enable-url-source"] == ""
    assert flags["allowed-origins"] == "https://a.example,https://b.example/c/"
    assert flags["max-allowed-size"] == str(2 * 1024 * 1024)
    assert "pipeline" in flags["disable-endpoints"]


@pytest.mark.parametrize(
    "origin", ["http://a.example", "a.example", "https://", "https:///a", "https://*", "https://a.example,https://b", "https://u@a", ""]
)
def test_what_is_no_origin_is_refused(evaluate, tasks, origin):
    given = {"imaginary_allowed_origins": ["https://good.example:8443/pictures/", origin]}
    assert evaluate("imaginary", "imaginary__unreadable_origins", **given) == [origin]
    assert "ansible.builtin.fail" in tasks[0]
    assert [evaluate("imaginary", condition, **given) for condition in tasks[0]["when"]] == [True, True]
    given = {"imaginary_allowed_origins": ["https://good.example:8443/pictures/"]}
    assert [evaluate("imaginary", condition, **given) for condition in tasks[0]["when"]] == [True, False]


def test_limits_are_passed_on(declared):
    flags = parsed(declared("command", imaginary_requests_per_second=3, imaginary_burst=4, imaginary_read_timeout=5, imaginary_write_timeout=6))
    assert (flags["concurrency"], flags["burst"], flags["http-read-timeout"], flags["http-write-timeout"]) == ("3", "4", "5", "6")


def test_the_port_is_that_of_the_probe_and_for_the_droplets_own_nginx(tasks, declared):
    service = tasks[-1]["litefarm.platform.container_service"]
    assert service["env"]["PORT"] == service["ports"][0]["container"] == service["probes"][0]["port"] == 8088
    (port,) = declared("ports")
    assert (port["address"], port["host"]) == ("127.0.0.1", [15088, 15089])
    assert service["update"] == "rolling"
    assert service["upstream"] == {"name": "imaginary"}
