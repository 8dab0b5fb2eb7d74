# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module against programs that behave like dpkg and apt-get, and remember how they were called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.litefarm.platform.plugins.modules import packages

REPO = Path(__file__).resolve().parents[3]

PROGRAMS = {
    "dpkg-query": """
        shift 3
        for name; do test -e "$STATE/$name" && printf '%s\\t%s\\n' "$name" "$(cat "$STATE/$name")"; done
        for name; do test -e "$STATE/$name" || exit 1; done
    """,
    "dpkg": """
        echo "dpkg $*" >> "$CALLS"
        test "$1" != --configure || test ! -e "$DPKG_LOCKED" || {
            rm "$DPKG_LOCKED"; echo "dpkg: error: dpkg frontend lock was locked by another process with pid 7" >&2; exit 2; }
        test "$1" != --configure || rm -f "$UPDATES"/*
        test "$1" != --audit || grep --files-with-matches half-configured "$STATE"/* || true
        test "$1" != --configure || for file in "$STATE"/*; do echo installed > "$file"; done
    """,
    "apt-get": """
        echo "apt-get $*" >> "$CALLS"
        lock=$(ls "$LOCKS" | head -n 1)
        if [ -n "$lock" ]; then
            test "$lock" = forever || rm "$LOCKS/$lock"
            printf 'E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)\nE: Unable to lock directory /var/lib/apt/lists/\n' >&2
            exit 100
        fi
        case "$*" in
        *update*) test -z "$UNSIGNED" || { echo "E: The repository 'file:/srv/other ./ Release' is not signed." >&2; exit 100; } ;;
        *unknown*) echo "E: Unable to locate package unknown" >&2; exit 100 ;;
        *virtual*) exit 0 ;;
        *install*)
            test ! -e "$POLICY" || echo "policy in force" >> "$CALLS"
            while [ "$1" != --no-install-recommends ]; do shift; done; shift
            for name; do echo installed > "$STATE/$name"; done ;;
        esac
    """,
}


@pytest.fixture
def host(tmp_path: Path):
    return Host(tmp_path)


class Host:
    def __init__(self, path: Path) -> None:
        self.state, self.log, self.policy, programs = path / "state", path / "calls", path / "policy-rc.d", path / "bin"
        self.updates, self.locks, self.dpkg_locked = path / "updates", path / "locks", path / "dpkg-locked"
        for folder in (self.state, self.updates, self.locks, programs):
            folder.mkdir()
        for name, text in PROGRAMS.items():
            (programs / name).write_text("#!/bin/sh\n" + text)
            (programs / name).chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPO / "collections"),
            "STATE": str(self.state),
            "CALLS": str(self.log),
            "POLICY": str(self.policy),
            "UPDATES": str(self.updates),
            "LOCKS": str(self.locks),
            "DPKG_LOCKED": str(self.dpkg_locked),
            "UNSIGNED": "",
        }

    def has(self, **statuses: str) -> None:
        for name, status in statuses.items():
            (self.state / name).write_text(status)

    def run(self, *names: str, check: bool = False, **arguments: object) -> dict:
        """The module's answer; it runs in a process of its own, as on a droplet."""
        self.log.write_text("")
        program = (
            "import json, sys\n"
            "from ansible.module_utils import basic\n"
            "from ansible.module_utils.testing import patch_module_args\n"
            "from ansible_collections.litefarm.platform.plugins.modules import packages\n"
            "packages.POLICY, packages.UPDATES, packages.PAUSE = *sys.argv[2:], 0.02\n"
            "with patch_module_args(json.loads(sys.argv[1])):\n"
            "    packages.main()\n"
        )
        given = json.dumps({"name": names, "_ansible_check_mode": check, **arguments})
        answer = subprocess.run(
            [sys.executable, "-c", program, given, str(self.policy), str(self.updates)], env=self.environment, capture_output=True, text=True, check=False
        )
        return json.loads(answer.stdout)

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()


def test_nothing_but_a_question_if_all_is_installed(host: Host) -> None:
    host.has(nginx="installed", certbot="installed")
    answer = host.run("nginx", "certbot")
    assert answer["changed"] is False
    assert answer["installed"] == []
    assert "diff" not in answer
    assert host.calls == []


def test_only_what_is_missing_is_installed_after_fresh_lists(host: Host) -> None:
    host.has(nginx="installed", certbot="config-files")
    answer = host.run("nginx", "certbot", "cron")
    assert answer["changed"] is True
    assert answer["installed"] == ["certbot", "cron"]
    assert [call.split(" ")[0] + " " + call.split("-qq ")[-1] for call in host.calls[1:]] == [
        "apt-get update",
        "apt-get --yes install --no-install-recommends certbot cron",
    ]
    assert host.run("nginx", "certbot", "cron")["changed"] is False


def test_check_mode_names_what_it_would_install_and_calls_nothing(host: Host) -> None:
    answer = host.run("nginx", check=True)
    assert answer["changed"] is True
    assert answer["diff"]["after"] == "nginx\n"
    assert host.calls == []
    assert not list(host.state.iterdir())


def test_what_an_interrupted_dpkg_left_behind_is_finished_first(host: Host) -> None:
    host.has(nginx="half-configured")
    assert host.run("nginx")["changed"] is True
    assert host.calls[:2] == ["dpkg --audit", "dpkg --configure -a --force-confdef --force-confold"]


def test_what_dpkg_had_begun_to_write_is_finished_first(host: Host) -> None:
    """Apt-get refuses to install then, and dpkg --audit says nothing of it."""
    (host.updates / "0001").write_text("")
    assert host.run("nginx")["changed"] is True
    assert host.calls[:2] == ["dpkg --audit", "dpkg --configure -a --force-confdef --force-confold"]


def test_another_apt_that_fetches_lists_is_waited_for(host: Host) -> None:
    """Apt itself waits for the locks of dpkg only."""
    for name in ("first", "second"):
        (host.locks / name).touch()
    answer = host.run("nginx")
    assert answer["changed"] is True
    assert "warnings" not in answer
    assert [call for call in host.calls if "update" in call] == ["apt-get -qq update"] * 3


def test_a_dpkg_that_still_runs_is_waited_for_before_what_it_left_is_configured(host: Host) -> None:
    host.has(nginx="half-configured")
    host.dpkg_locked.touch()
    assert host.run("nginx")["changed"] is True
    assert [call.split(" ")[1] for call in host.calls[:3]] == ["--audit", "--configure", "--configure"]


def test_a_lock_that_is_never_released_is_told(host: Host) -> None:
    (host.locks / "forever").touch()
    answer = host.run("nginx", lock_timeout=0)
    assert answer["failed"] is True
    assert answer["msg"] == (
        "Another apt or dpkg has kept its lock for 0 s (E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)): "
        "wait until it has ended, or end it on the droplet, then run this again."
    )


def test_a_source_that_is_not_signed_is_a_warning_if_the_others_have_the_packages(host: Host) -> None:
    host.environment["UNSIGNED"] = "1"
    answer = host.run("nginx")
    assert answer["changed"] is True
    assert [warning["event"]["msg"] for warning in answer["warnings"]] == [
        "apt-get update failed: E: The repository 'file:/srv/other ./ Release' is not signed.\n"
        "All packages were installed from the other sources: correct or remove that source in /etc/apt."
    ]


def test_a_source_that_fails_is_told_with_the_package_that_no_other_has(host: Host) -> None:
    host.environment["UNSIGNED"] = "1"
    answer = host.run("unknown")
    assert answer["failed"] is True
    assert "file:/srv/other ./ Release' is not signed" in answer["msg"] and "Unable to locate package unknown" in answer["msg"]


def test_services_stay_stopped_if_asked_and_the_policy_is_gone_afterwards(host: Host) -> None:
    host.run("nginx", start_services=False)
    assert "policy in force" in host.calls
    assert not host.policy.exists()
    host.run("certbot")
    assert "policy in force" not in host.calls


@pytest.mark.parametrize("installed", [True, False])
def test_a_policy_that_a_killed_run_left_behind_is_removed(host: Host, installed: bool) -> None:
    if installed:
        host.has(nginx="installed")
    host.policy.write_text(packages.POLICY_TEXT)
    host.run("nginx")
    assert "policy in force" not in host.calls
    assert not host.policy.exists()


@pytest.mark.parametrize("start_services", [True, False])
def test_somebody_elses_policy_is_left_alone(host: Host, start_services: bool) -> None:
    host.policy.write_text("#!/bin/sh\nexit 101\n")
    assert host.run("nginx", start_services=start_services)["changed"] is True
    assert host.policy.read_text() == "#!/bin/sh\nexit 101\n"


@pytest.mark.parametrize("start_services", [True, False])
def test_a_failure_says_what_apt_said_and_leaves_no_policy(host: Host, start_services: bool) -> None:
    answer = host.run("unknown", start_services=start_services)
    assert answer["failed"] is True
    assert "Unable to locate package unknown" in answer["msg"]
    assert not host.policy.exists()


def test_a_name_that_is_no_package_of_its_own_is_an_error_not_a_change_for_ever(host: Host) -> None:
    answer = host.run("virtual")
    assert answer["failed"] is True
    assert answer["msg"].endswith("not installed: virtual")


def test_a_package_of_two_architectures_is_installed_if_one_is() -> None:
    assert packages.statuses("libc6\tnot-installed\nlibc6\tinstalled\n") == {"libc6": "installed"}
    assert packages.statuses("libc6\tinstalled\nlibc6\tnot-installed\n") == {"libc6": "installed"}
