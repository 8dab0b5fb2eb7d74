# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Twenty uploads of 19 MB at once do not exhaust the API's memory, also while a release switches, and nobody else notices them."""

from __future__ import annotations

import concurrent.futures
import json
import time

import pytest

from tests.support import lab
from tests.support.deployment import history, leftovers, running, sql, start, variables, wait_for_lock
from tests.support.farm import Farm
from tests.support.load import Load, Request
from tests.support.pictures import form, png

VERSION = "https://api.app.litefarm.org/version"
PICTURE = "queued.png"
OUT_OF_MEMORY = "docker events --since {since} --until $(date +%s) --filter event=oom --format '{{{{.Actor.Attributes.name}}}}'"
RESTARTS = "docker inspect -f '{{.RestartCount}}' $(docker ps -q --filter label=litefarm.platform.service=api)"
# Of either version of control groups.
PEAK = (
    "find /sys/fs/cgroup -path \"*$(docker inspect -f '{{.Id}}' api)*\" \\( -name memory.peak -o -name memory.max_usage_in_bytes \\)"
    " -exec cat {} + 2>/dev/null | sort -n | tail -n 1"
)


@pytest.fixture(scope="module")
def large():
    content = png(2500, 2500)
    assert len(content) > 18_000_000
    return content


@pytest.fixture
def farm():
    """The farm, whose documents are afterwards what they were: an export has all of them."""
    farm = Farm("production", timeout=120)
    yield farm
    urls = sql(f"DELETE FROM document WHERE file_name = '{PICTURE}' RETURNING concat_ws(' ', url, thumbnail_url)").split()
    for url in urls:
        if ".com/" in url:
            farm.remove(url.partition(".com/")[2])


@pytest.fixture
def without_another_setting():
    """The environment is afterwards what its inventory says."""
    yield
    run = lab.playbook("site.yml")
    assert run.status == 0, run.reasons


@pytest.fixture
def droplet_of_api():
    return lab.connect(lab.droplets("api")[0])


def upload_at_once(farm, content, count):
    """Status and body of each answer, and the seconds that the slowest took."""
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda _number: farm.upload(content, PICTURE), range(count)))
    return answers, time.monotonic() - began


def counted(answers):
    """How many answers are of which kind."""
    kinds = [f"{status} busy" if status == 503 and '"busy"' in body else str(status) for status, body in answers]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def none_was_lost(droplet, since, answers):
    """All were taken, or waited for 30 s and were told to come again; and memory did not run out."""
    assert set(counted(answers)) <= {"201", "503 busy"}, counted(answers)
    assert counted(answers)["201"] >= len(answers) / 2, counted(answers)
    assert droplet.check_output(OUT_OF_MEMORY.format(since=since)) == ""
    assert set(droplet.check_output(RESTARTS).split()) == {"0"}


@pytest.mark.nightly
def test_twenty_uploads_of_19_mb_at_once_are_all_answered(farm, large, droplet_of_api, names, ca_file, record_property):
    since = droplet_of_api.check_output("date +%s")
    with Load([Request(VERSION, rate=20)], names, ca_file) as load:
        answers, seconds = upload_at_once(farm, large, 20)
        report = load.stop()
    peak = int(droplet_of_api.check_output(PEAK) or 0) >> 20
    record_property("twenty uploads of 19 MB", f"{counted(answers)} in {seconds:.1f} s, API at most {peak} MB; meanwhile {report}")
    none_was_lost(droplet_of_api, since, answers)
    # What is no upload passes the queue by.
    assert report.failures == []


@pytest.mark.nightly
@pytest.mark.usefixtures("without_another_setting")
def test_uploads_of_19_mb_during_a_release_do_not_take_it_back(farm, large, droplet_of_api, names, ca_file, record_property):
    before, since = running(), droplet_of_api.check_output("date +%s")
    answers = []
    with (
        start("playbooks/deploy.yml", *variables(api_env={"ANOTHER": "setting for uploads"}, litefarm_force=True)) as deployed,
        Load([Request(VERSION, rate=20)], names, ca_file) as load,
    ):
        wait_for_lock()
        # Waves for as long as it takes, so that some are under way when traffic is switched and when the old release drains.
        while deployed.poll() is None and len(answers) < 80:
            answers += upload_at_once(farm, large, 20)[0]
        output = deployed.communicate()[0]
        report = load.stop()
    record_property("uploads during a release", f"{counted(answers)}; meanwhile {report}")
    assert deployed.returncode == 0, output
    assert history(1)[0]["result"] == "ok"
    none_was_lost(droplet_of_api, since, answers)
    assert report.failures == []
    assert leftovers() == []
    assert running() == before
    old, new = [json.loads(body)["instance"] for body in report.bodies("/version")]
    assert old != new


def test_slow_uploads_keep_nobody_waiting(farm, large):
    slow = [farm.upload_slowly(large, PICTURE) for _ in range(8)]
    try:
        answers, seconds = upload_at_once(farm, large, 1)
        assert counted(answers) == {"201": 1}, answers
        assert seconds < 15
        _headers, body = form(large, PICTURE, "image/png", field="_file_")
        slow[0].send(body[-1:])
        assert slow[0].getresponse().status == 201
    finally:
        for connection in slow:
            connection.close()
