# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This checkout takes over an environment of an earlier commit: its containers, its history, its lock, its interrupted release.

The tests build on each other. From the upgrade on, some runs are still those of the earlier commit: a second operator has not pulled yet.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest

from tests.support import earlier, lab
from tests.support.deployment import containers, history, is_locked, killed_after, leftovers, start, variables, wait_for_lock
from tests.support.load import Load
from tests.support.playbooks import problems

PAGE, API = "https://app.litefarm.org/", "https://api.app.litefarm.org/version"
SITE, DEPLOY, ROLLBACK = "site.yml", "playbooks/deploy.yml", "playbooks/rollback.yml"
# The inventory's version, and the one that is released by others.
FIRST, SECOND = "1.0.0", "1.0.1"
TO_SECOND = variables(litefarm_version=f"v{SECOND}", force=True)


def succeeded(run):
    assert run.status == 0, run.reasons
    return run


@pytest.fixture(scope="module")
def earlier_environment():
    """Fresh droplets on which the earlier commit has deployed an environment, released another version and gone back; its vault."""
    earlier.bring("production")
    assert all(path.is_relative_to(earlier.CHECKOUT) for path in earlier.modules()), "the earlier playbooks would use this checkout's modules"
    lab.lab("sample-release", "--tag", f"v{SECOND}", "--set", f"version={SECOND}", "--set", "behaviour=ok")
    for name in ("playbooks/secrets.yml", "playbooks/storage.yml", "playbooks/build.yml", SITE):
        succeeded(earlier.playbook(name))
    succeeded(earlier.playbook("playbooks/build.yml", *variables(litefarm_version=f"v{SECOND}")))
    succeeded(earlier.playbook(DEPLOY, *TO_SECOND))
    succeeded(earlier.playbook(ROLLBACK))
    return earlier.vault("production").read_bytes()


@pytest.fixture
def new(names, ca_file, record_property):
    """Runs a playbook of this checkout, of whose work users must not notice anything."""

    def play(name, *arguments):
        with Load([PAGE, API], names, ca_file, rate=10) as load:
            run = lab.playbook(name, *arguments)
            report = load.stop()
        record_property(name, f"{run.seconds:.1f} s; {report}")
        assert len(report.failures) == 0, str(report)
        return run

    return play


@pytest.fixture
def version(ask):
    """Returns the version that the API serves."""
    return lambda: json.loads(ask("api.app.litefarm.org", "/version").text)["version"]


def interrupt_release(version):
    """An operator's machine loses power when the earlier deploy.yml has switched the API, and neither the scheduler nor the webapp."""
    run = start(DEPLOY, *TO_SECOND, "-e", "litefarm_operator=anna", env=killed_after(earlier.UPGRADE["switched"]), checkout=earlier.CHECKOUT)
    output = run.communicate()[0]
    assert run.returncode == -signal.SIGKILL, output[-4000:]
    assert is_locked() and version() == SECOND


def outcomes(lines):
    return [(record["kind"], record["result"], record["to"]["version"]) for record in history(lines)]


def test_playbooks_that_come_first_are_named_and_change_no_droplet(earlier_environment, new):
    before = containers()
    for name in earlier.UPGRADE["before"]:
        refused = new("playbooks/preflight.yml")
        assert refused.status != 0 and name in refused.output, refused.reasons
        succeeded(new(name))
    succeeded(new("playbooks/preflight.yml"))
    assert containers() == before


def test_inventory_of_the_earlier_commit_is_accepted_but_for_announced_names(earlier_environment):
    """An operator's own inventory lacks every variable that has been added since, and has the groups' former names."""
    inventory = lab.inventory("production", earlier.CHECKOUT)
    run = subprocess.run(**lab.ansible("ansible-playbook", f"--inventory={inventory}", "playbooks/preflight.yml"), check=False)
    assert (run.returncode == 0) == (not earlier.UPGRADE["inventory"]), run.stdout[-4000:]
    told = [re.sub(r" in \S+hosts\.yml ", " ", sentence) for sentence in problems(run)]
    assert told == list(earlier.UPGRADE["inventory"]), run.stdout[-4000:]


def test_upgrade_waits_for_a_running_release(earlier_environment, new):
    earlier.keep_vault("production", earlier_environment)
    before = containers()
    crash = variables(api_env={"SAMPLE_BEHAVIOUR": "crash-at-start"}, litefarm_operator="anna")
    with start(DEPLOY, *crash, checkout=earlier.CHECKOUT) as release:
        wait_for_lock()
        # So that it ends neither too soon nor by itself.
        os.killpg(release.pid, signal.SIGSTOP)
        try:
            refused = new(SITE)
        finally:
            os.killpg(release.pid, signal.SIGCONT)
        output = release.communicate()[0]
    assert refused.status != 0 and "anna" in refused.output and "unlock.yml" in refused.output, refused.reasons
    assert refused.changes == set()
    assert release.returncode != 0 and "exit code 1" in output, output[-4000:]
    assert outcomes(1) == [("deploy", "failed", f"v{FIRST}")]
    assert containers() == before and leftovers() == []


def test_upgrade_does_only_what_is_announced(earlier_environment, new):
    before, recorded = containers(), history()
    run = succeeded(new(SITE))
    after = containers()
    different = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    recreated = {(before | after)[name][0] for name in different}
    assert recreated == set(earlier.UPGRADE["recreated"]), f"replaced or restarted, and {earlier.FROM} announces something else: {sorted(different)}"
    assert run.changes == set(earlier.UPGRADE["changed"]), run.reasons
    assert history() == recorded and leftovers() == []


def test_second_run_changes_nothing(earlier_environment):
    run = succeeded(lab.playbook(SITE))
    assert run.total("changed") == 0, run.reasons


def test_upgrade_reverts_an_interrupted_release_of_another_version(earlier_environment, new, version):
    before = containers()
    interrupt_release(version)
    succeeded(new(SITE))
    assert version() == FIRST
    assert containers() == before and leftovers() == []
    assert ("deploy", "interrupted", f"v{SECOND}") in outcomes(2)


def test_upgrade_finishes_an_interrupted_release_of_the_same_version(earlier_environment, new, version):
    interrupt_release(version)
    succeeded(new(DEPLOY, *TO_SECOND))
    assert version() == SECOND and leftovers() == []
    assert outcomes(2) == [("deploy", "interrupted", f"v{SECOND}"), ("deploy", "ok", f"v{SECOND}")]


def test_status_shows_the_releases_of_the_earlier_commit(earlier_environment):
    lines = [line.split() for line in succeeded(lab.playbook("playbooks/status.yml")).output.splitlines()]
    for record in history(10):
        words = {record["kind"], record["to"]["version"], record["result"]}
        assert any(words <= set(line) for line in lines), f"no line has {words}"
    assert {"ok", "failed", "interrupted"} <= {record["result"] for record in history(10)}


def test_rollback_returns_to_a_release_of_the_earlier_commit(earlier_environment, new, version):
    succeeded(new(ROLLBACK))
    assert version() == FIRST and leftovers() == []
