# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of the export scheduler while it works: they lose no export, leave no pause, and end none that is not theirs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import tempfile
import time

import pytest

from tests.support import lab
from tests.support.deployment import history, leftovers, start, variables
from tests.support.farm import Farm
from tests.support.night import NIGHT
from tests.support.pictures import png

SCHEDULER = "litefarm-imaginary"
QUEUES = "litefarm-queues "
SERVICE = "/var/lib/litefarm/container_service/export_scheduler"
RUNNING = "docker ps --no-trunc -q --filter label=litefarm.platform.service=export_scheduler"
# A setting that the application does not know: it makes another container, and nothing else.
OTHER = {"export_scheduler_env": {"ANOTHER": "setting"}}
# Bull fails a job at the second one. By day one shows that it waits.
RELEASES = (OTHER, {}) if NIGHT else (OTHER,)
# Stops the program that an export runs, as a slow object storage would: its job stays in work until it goes on.
CATCH = "for i in $(seq 2400); do pid=$(pgrep -of '[a]ws s3 cp') && kill -STOP $pid && echo $pid && exit; sleep 0.05; done; exit 1"
# Seconds: Bull gives a job to another worker when it has looked twice, half a minute apart.
STALLED = 150
FLAG = "/run/litefarm-fault"


@pytest.fixture
def scheduler():
    """The droplet of the export scheduler."""
    return lab.connect(SCHEDULER)


@pytest.fixture
def farm():
    """A farm with at least one document."""
    found = Farm("production")
    assert found.upload(png(seed=7), "document.png")[0] == 201
    return found


@pytest.fixture
def declared():
    """Afterwards the scheduler runs as the inventory says, and its queues work."""
    yield
    assert site().status == 0
    assert "all queues work" in lab.connect(SCHEDULER).check_output(QUEUES + "status")
    assert leftovers() == []


def site(**values):
    run = lab.playbook("site.yml", *variables(**values))
    assert run.status == 0, run.reasons
    return run


def maintenance(state):
    run = lab.playbook("playbooks/maintenance.yml", "-e", f"litefarm_state={state}")
    assert run.status == 0, run.reasons


def wait_for(droplet, words, command=QUEUES + "status", seconds=120.0):
    """Returns as soon as the command says these words."""
    limit = time.monotonic() + seconds
    while words not in (said := droplet.run(command).stdout):
        assert time.monotonic() < limit, f"'{words}' not in {said!r} after {seconds} s"
        time.sleep(0.5)


def failed(droplet):
    """The failed jobs, one line each."""
    return {line for line in droplet.check_output(QUEUES + "failed").splitlines() if line.startswith("'")}


def caught(droplet, farm):
    """An export that is asked for, and stays in work; the number of its program."""
    assert farm.request_export() == 200
    return droplet.check_output(CATCH)


@contextlib.contextmanager
def waiting_at(droplet, step):
    """The module waits after this step of the scheduler, in runs with the environment that is yielded."""
    point = f"LITEFARM_FAULT_POINT=export_scheduler:{step}\\nLITEFARM_FAULT_ACTION=wait\\nLITEFARM_FAULT_FILE={FLAG}\\n"
    try:
        # sshd hands it to the module's process, over a connection that is opened after it was written.
        droplet.check_output(f"printf '{point}' > /etc/environment")
        with tempfile.TemporaryDirectory() as sockets:
            yield {"ANSIBLE_SSH_CONTROL_PATH_DIR": sockets}
    finally:
        droplet.check_output(f"truncate --size=0 /etc/environment; rm -f {FLAG}")


def kill(droplet, run):
    """The controller with all that it has started, and the module on the droplet."""
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    module = json.loads(droplet.check_output(f"cat {SERVICE}.lock"))["pid"]
    droplet.check_output(f"kill -9 {module}")


def killed_after(droplet, step="before_stop", **values):
    """A release of these values is killed after this step, by default when it has paused the queues and not yet stopped the scheduler."""
    with waiting_at(droplet, step) as environment, start("site.yml", *variables(**values), env=environment) as run:
        wait_for(droplet, step, f"cat {FLAG}")
        assert droplet.file(f"{SERVICE}.after_start_due").exists
        if step == "before_stop":
            assert "by a release" in droplet.check_output(QUEUES + "status")
        kill(droplet, run)


@contextlib.contextmanager
def without_help(droplet):
    """The droplet's unit does nothing about a pause. A reboot ends that."""
    folder = "/run/systemd/system/litefarm-queues-resume.service.d"
    setting = "[Service]\nExecStart=\nExecStart=/bin/sleep infinity\n"
    droplet.check_output(f"mkdir -p {folder} && printf '{setting}' > {folder}/test.conf && systemctl daemon-reload")
    try:
        yield
    finally:
        droplet.check_output(f"rm -rf {folder}; systemctl daemon-reload; systemctl stop litefarm-queues-resume.service")


def wait_until_up(seconds=120.0):
    limit = time.monotonic() + seconds
    while True:
        try:
            return lab.connect(SCHEDULER).check_output("true")
        except RuntimeError:
            assert time.monotonic() < limit, f"{SCHEDULER} does not answer after {seconds} s"
            time.sleep(1)


@pytest.mark.usefixtures("declared")
def test_releases_in_a_row_wait_for_the_jobs_of_an_export(scheduler, farm, record_property):
    """Without that Bull fails the job at the second one, and tells it nowhere."""
    earlier, before, had_failed = farm.exports(), scheduler.check_output(RUNNING), failed(scheduler)
    for values in RELEASES:
        program = caught(scheduler, farm)
        with start("site.yml", *variables(**values)) as run:
            wait_for(scheduler, "all queues are paused; by a release: ")
            # The job is waited for, and what is asked for meanwhile waits.
            assert farm.request_export() == 200
            time.sleep(3)
            assert scheduler.check_output(RUNNING) == before
            assert re.search(r"; [1-9]\d* jobs wait, 1 are in work$", scheduler.check_output(QUEUES + "status").strip())
            scheduler.check_output(f"kill -CONT {program}")
            began = time.monotonic()
            output = run.communicate()[0]
        record_property("from the job's end to the end of site.yml", f"{time.monotonic() - began:.1f} s")
        assert run.returncode == 0, output[-4000:]
        assert "still in work" not in output
        after = scheduler.check_output(RUNNING)
        assert after != before
        before = after
    assert len(farm.wait_for_exports(earlier, 2 * len(RELEASES), seconds=120)) == 2 * len(RELEASES)
    assert failed(scheduler) == had_failed


# By day the kill matrix kills after these steps, and unit tests run the droplet's program.
@pytest.mark.nightly
@pytest.mark.usefixtures("declared")
@pytest.mark.parametrize("step", ["before_stop", "stop", "start"])
def test_a_release_that_is_killed_after_its_pause_leaves_none(scheduler, farm, step):
    earlier = farm.exports()
    killed_after(scheduler, step, **OTHER)
    # Nobody runs anything: the droplet does it.
    assert farm.request_export() == 200
    wait_for(scheduler, "all queues work", seconds=60)
    farm.wait_for_exports(earlier, 1, seconds=60)
    # After the queues: the file goes last.
    wait_for(scheduler, "gone", f"test -e {SERVICE}.after_start_due || echo gone", seconds=10)
    site(**OTHER)
    assert "ANOTHER=setting" in scheduler.check_output("docker inspect --format '{{.Config.Env}}' export_scheduler")


@pytest.mark.nightly
@pytest.mark.usefixtures("declared")
def test_a_pause_that_outlives_a_reboot_ends_when_the_scheduler_is_back(scheduler):
    with without_help(scheduler):
        killed_after(scheduler, **OTHER)
        assert "by a release" in scheduler.check_output(QUEUES + "status")
        lab.reboot(SCHEDULER)
        wait_until_up()
    wait_for(lab.connect(SCHEDULER), "all queues work", seconds=180)


@pytest.mark.nightly
@pytest.mark.usefixtures("declared")
def test_a_release_that_goes_back_leaves_no_pause(scheduler):
    before = scheduler.check_output(RUNNING)
    run = lab.playbook("site.yml", *variables(export_scheduler_redis_password="not-the-password-of-redis-at-all", export_scheduler_start_timeout=10))
    assert run.status != 0
    assert scheduler.check_output(RUNNING) == before
    assert scheduler.check_output(QUEUES + "status").startswith("all queues work;")


@pytest.mark.nightly
@pytest.mark.usefixtures("declared")
def test_no_release_ends_a_maintenance(scheduler, farm):
    earlier = farm.exports()
    try:
        maintenance("on")
        site(**OTHER)
        assert scheduler.check_output(QUEUES + "status").startswith("all queues are paused;")
        assert "by a release" not in scheduler.check_output(QUEUES + "status")
        maintenance("off")
        # Of a maintenance that begins while the pause of a killed release is still there.
        with without_help(scheduler):
            killed_after(scheduler)
            maintenance("on")
        site()
        assert scheduler.check_output(QUEUES + "status").startswith("all queues are paused;")
    finally:
        maintenance("off")
    assert farm.request_export() == 200
    farm.wait_for_exports(earlier, 1, seconds=60)


@pytest.mark.nightly
@pytest.mark.usefixtures("declared")
def test_a_job_that_is_cut_off_is_told_and_one_that_is_cut_off_twice_is_queued_again_by_hand(scheduler, farm):
    earlier, had_failed = farm.exports(), failed(scheduler)
    caught(scheduler, farm)
    run = site(**OTHER, export_scheduler_job_timeout=3)
    assert "1 jobs were still in work after 3 s and are cut off: 1 of 'retrieve'" in " ".join(run.output.split())
    assert "1 jobs were still in work after 3 s" in history(1)[0]["message"]
    # Bull gives it to the new scheduler, and is not asked a second time.
    scheduler.check_output(CATCH)
    scheduler.check_output("docker restart --time 0 export_scheduler")
    wait_for(scheduler, "job stalled more than allowable limit", QUEUES + "failed", seconds=STALLED)
    assert farm.exports() == earlier
    shown = " ".join(lab.playbook("playbooks/status.yml").output.split())
    assert re.search(r"Failed jobs: [1-9]\d* in 24 h \([^)]*retrieve 1\b", shown), shown
    assert "sudo litefarm-queues failed lists them" in " ".join(lab.playbook("playbooks/verify.yml").output.split())
    assert "1 jobs were queued again" in scheduler.check_output(QUEUES + "retry retrieve")
    farm.wait_for_exports(earlier, 1, seconds=60)
    assert failed(scheduler) == had_failed
