# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib

import pytest
from lab import apt


@pytest.mark.parametrize(
    "targets, main, security",
    [
        (
            "Debian|bookworm|http://mirror.example/debian/\n"
            "Debian|bookworm-updates|http://other.example/debian/\n"
            "Debian|bookworm-security|http://security.example/debian-security/",
            "http://mirror.example/debian",
            "http://security.example/debian-security",
        ),
        ("Debian|bookworm-security|https://s.example/\nDebian|stable|https://m.example/debian/", "https://m.example/debian", "https://s.example"),
        # Before the first `apt-get update` nobody knows origins.
        ("|trixie|http://mirror.example/debian/", "http://mirror.example/debian", None),
        # The first one listed is the one apt prefers.
        ("Debian|trixie|http://first.example/\nDebian|trixie|http://second.example/", "http://first.example", None),
        ("NodeSource|nodistro|https://node.example/\nDebian|trixie|http://m.example/", "http://m.example", None),
    ],
)
def test_mirror_of_this_machine(targets, main, security):
    assert apt.mirror_from_targets(targets) == apt.Mirror(main, security)


@pytest.mark.parametrize(
    "targets",
    [
        "",
        "Ubuntu|noble|http://archive.example/ubuntu/\nUbuntu|noble-security|http://archive.example/ubuntu/",
        "|cloud-sdk-bookworm|https://vendor.example/apt/",
        "Debian|bookworm-security|http://security.example/",
        "Debian|bookworm|cdrom://disc/",
    ],
)
def test_no_mirror_of_debian(targets):
    assert apt.mirror_from_targets(targets) is None


def test_a_mirror_given_by_hand_is_taken_as_it_is():
    assert apt.find_mirror("http://given.example/debian/") == apt.Mirror("http://given.example/debian", None)


def test_sources_name_updates_and_security():
    sources = apt.Mirror("http://m.example/debian", "http://s.example/security").sources("trixie")
    assert "URIs: http://m.example/debian\nSuites: trixie trixie-updates\n" in sources
    assert "URIs: http://s.example/security\nSuites: trixie-security\n" in sources
    assert "security" not in apt.Mirror("http://m.example/debian", None).sources("trixie")


def test_sources_are_those_of_the_release_that_is_asked_for():
    sources = apt.Mirror("http://m.example/debian", "http://s.example/security").sources("bookworm")
    assert "Suites: bookworm bookworm-updates\n" in sources
    assert "Suites: bookworm-security\n" in sources
    assert "trixie" not in sources


def test_options_that_decide_whether_the_mirror_answers_are_carried_over():
    dump = (
        'APT::Architecture "amd64";\nAcquire::http::Proxy "http://proxy.example:3142";\n'
        'Acquire::Check-Valid-Until "false";\nAcquire::Retries "3";\n'
    )
    options = apt.carried_options(dump)
    assert options == {"Acquire::http::Proxy": "http://proxy.example:3142", "Acquire::Check-Valid-Until": "false"}
    assert apt.options_as_configuration(options) == (
        'Acquire::Check-Valid-Until "false";\nAcquire::http::Proxy "http://proxy.example:3142";\n'
    )


@pytest.mark.parametrize("debian", ["trixie", "bookworm"])
def test_bootstrap_uses_release_mirror_and_options(debian):
    options, tarball = {"Acquire::Check-Date": "false"}, pathlib.Path("/x/out.tar")
    command = apt.bootstrap_command(debian, apt.Mirror("http://m.example/debian", None), options, tarball)
    assert command[-3:] == [debian, "/x/out.tar", f"deb http://m.example/debian {debian} main"]
    assert '--aptopt=Acquire::Check-Date "false"' in command
