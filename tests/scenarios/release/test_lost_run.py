# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that lose a droplet, or their lock: they say so, and what they have not begun is not done. The tests build on each other."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time

import pytest

from tests.support import lab
from tests.support.deployment import LEDGER, LOCK, containers, history, leftovers, running, start, variables
from tests.support.load import Load

SITE, DEPLOY, UNLOCK, STATUS = "site.yml", "playbooks/deploy.yml", "playbooks/unlock.yml", "playbooks/status.yml"
# The second one is what the lab's inventory says, and what runs at the beginning, and at night at the end. The first one has been built for
# test_deploy.py.
OTHER, INVENTORY = "v1.2.0", "v1.0.0"
ANNA, BERTA = {"USER": "anna", "SUDO_USER": ""}, {"USER": "berta", "SUDO_USER": ""}
API, PAGE = "https://api.app.litefarm.org/version", "https://app.litefarm.org/"
CONFIGURE, SETTLE = "PLAY [Configure hosts and backing services]", "TASK [Watch the new release at work]"


def read_until(run, line):
    """What a run prints, up to a line that begins like this."""
    printed = []
    for each in run.stdout:
        printed.append(each)
        if each.startswith(line):
            return "".join(printed)
    raise AssertionError(f"'{line}' was not printed:\n{''.join(printed)[-4000:]}")


def finish(run, printed):
    """Everything that a run prints until its end, which is kept beside the output of other runs."""
    printed += run.communicate()[0]
    (lab.logs() / f"{time.strftime('%H%M%S')}-lost-run.log").write_text(printed)
    return printed


def words(output):
    return " ".join(output.split())


@pytest.fixture
def version(ask):
    """Returns the version that the API serves, as soon as it answers."""

    def served():
        limit = time.monotonic() + 60
        while (answer := ask("api.app.litefarm.org", "/version")).status != 200:
            assert time.monotonic() < limit, answer.text
            time.sleep(0.5)
        return f"v{json.loads(answer.text)['version']}"

    return served


@pytest.fixture(scope="module", autouse=True)
def other(built):
    """The other release can be made, and the environment runs what its inventory says."""
    built(OTHER.lstrip("v"), "behaviour=ok")
    run = lab.playbook(DEPLOY, *variables(force=True), env=ANNA)
    assert run.status == 0, run.reasons


def test_a_droplet_that_restarts_while_others_are_configured_refuses_the_release(version):
    """The droplet is lost in the play before the release: between two of its tasks, or in one."""
    before, recorded = running(), len(history(1000))
    with start(SITE, *variables(litefarm_version=OTHER, force=True), env=ANNA) as run:
        output = read_until(run, CONFIGURE)
        lab.reboot("litefarmapp")
        output = finish(run, output)
    assert run.returncode != 0, output[-4000:]
    assert "Switch API traffic" not in output, output[-4000:]
    assert re.search(r"litefarmapp (could not be reached|failed at '[^']+': it was ended before it answered)", words(output)), output[-4000:]
    assert version() == INVENTORY and running() == before
    assert not [each for each in history(1000)[recorded:] if each["result"] in ("ok", "partial")]

    again = lab.playbook(SITE, *variables(litefarm_version=OTHER, force=True), env=ANNA)
    assert again.status == 0, again.reasons
    assert version() == OTHER and leftovers() == []
    assert (history(1)[0]["result"], history(1)[0]["to"]["version"]) == ("ok", OTHER)


def refused_by_droplets(number):
    """The droplets that refuse a module of the run with this number."""
    arguments = json.dumps({"images": [], "run_number": number})
    command = lab.ansible("ansible", f"--inventory={lab.inventory('production')}", "litefarm", "-o", "-m", "litefarm.platform.image_pull", "-a", arguments)
    done = subprocess.run(**command, check=False)
    return [line.split()[0] for line in done.stdout.splitlines() if "was ended with unlock.yml" in line]


# A run to the inventory's release, and the release that the other operator makes then: the one that still runs, or the one that was begun.
# By day test_deploy.py breaks a lock, and unit tests refuse what its run would do then.
@pytest.mark.nightly
@pytest.mark.parametrize(("name", "line", "said", "then"), [
    (SITE, CONFIGURE, "was ended with unlock.yml: nothing was changed here", OTHER),
    (DEPLOY, SETTLE, "This run does not hold the deploy lock any more", INVENTORY),
], ids=["site-while-hosts-are-configured", "deploy-while-it-settles"])  # fmt: skip
def test_a_run_whose_lock_is_broken_ends_its_step_and_changes_nothing_more(name, line, said, then, version, names, ca_file, record_property):
    with Load([PAGE, API], names, ca_file, rate=20) as load:
        with start(name, *variables(litefarm_version=INVENTORY, force=True, api_settle=10), env=ANNA) as run:
            output = read_until(run, line)
            # It is at work all the time, or late: whether it comes to its next step before the lock is broken must not be chance.
            os.killpg(run.pid, signal.SIGSTOP)
            lock = json.loads(lab.connect(LEDGER).check_output(f"cat {LOCK}"))
            broken = lab.playbook(UNLOCK, env=BERTA)
            found = containers()
            os.killpg(run.pid, signal.SIGCONT)
            output = finish(run, output)
        assert broken.status == 0 and "The deploy lock of anna on" in words(broken.output), broken.reasons
        assert run.returncode != 0 and said in words(output), output[-4000:]
        assert "is not released" in words(output), output[-4000:]
        assert containers() == found
        records = [each for each in history(1000) if each["run"] == lock["run"]]
        assert (records[0]["result"], records[0]["who"]) == ("interrupted", "anna")
        assert all("broken by berta" in each["message"] for each in records)
        # What it has begun it has begun: there is nothing against the release, and what it says of itself is not success.
        assert [each["result"] for each in records[1:]] == (["failed"] if name == DEPLOY else [])
        status = lab.playbook(STATUS)
        assert status.status == 0 and not re.search(rf"Failed when it was last released.*{INVENTORY} ", status.output), status.reasons
        assert sorted(refused_by_droplets(lock["number"])) == sorted(lab.droplets())

        after = lab.playbook(DEPLOY, *variables(litefarm_version=then, force=True), env=BERTA)
        report = load.stop()
    record_property("broken", str(report))
    assert after.status == 0, after.reasons
    assert version() == then and leftovers() == []
    recorded = [(each["who"], each["result"]) for each in history(2)]
    # Nothing had been switched, so there is nothing to write down.
    assert recorded[-1] == (("berta", "ok") if then == INVENTORY else ("anna", "interrupted"))
    assert len(report.failures) == 0, str(report)
