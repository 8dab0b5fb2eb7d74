# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases to two droplets of the API: both or none, also if the second fails, or is lost, or the run is killed at any step."""

from __future__ import annotations

import json
import re
import subprocess
import time

import docker
import pytest

from tests.support import lab
from tests.support.deployment import history, is_locked, leftovers, running, sql, start, unmigrate, variables, wait_for_lock
from tests.support.load import Load

PAGE, API = "https://app.litefarm.org/", "https://api.app.litefarm.org/version"
FIRST, SECOND = "litefarmapp", "litefarmapi"
SCHEDULER = "litefarm-imaginary"
DEPLOY = "playbooks/deploy.yml"
# Both know the two additional migrations.
VERSIONS = ("2.0.0", "2.1.0")


@pytest.fixture(scope="module")
def tags(built):
    return [built(version, "behaviour=ok", "api.additional_migrations=2") for version in VERSIONS]


@pytest.fixture(scope="module")
def good(tags):
    run = lab.playbook(DEPLOY, "-e", f"litefarm_version={tags[0]}")
    assert run.status == 0, run.reasons
    yield tags[0]
    unmigrate()


def version_on(droplet):
    """The release of the API that a droplet's own nginx passes requests to."""
    address = lab.status()["droplets"][droplet]["private_address"]
    script = f"import urllib.request as u; print(u.urlopen(u.Request('http://{address}:8090/version', headers={{'Host': 'api.app.litefarm.org'}}), timeout=10).read().decode())"
    return json.loads(lab.over_ssh(droplet, ["python3", "-c", script], ""))["version"]


def versions():
    return [version_on(droplet) for droplet in (FIRST, SECOND)]


def wait_for_the_second(seconds=60):
    """Until it answers again, after it was started."""
    limit = time.monotonic() + seconds
    while True:
        try:
            return version_on(SECOND)
        except subprocess.CalledProcessError:
            assert time.monotonic() < limit, "the droplet did not come back"
        time.sleep(1)


def test_a_release_to_two_droplets_is_not_noticed(good, tags, under_load):
    run, report = under_load(DEPLOY, "-e", f"litefarm_version={tags[1]}")
    assert run.status == 0, run.reasons
    assert len(report.failures) == 0, str(report)
    assert versions() == [VERSIONS[1]] * 2
    answers = [json.loads(body) for body in report.bodies("/version")]
    assert len({answer["instance"] for answer in answers if answer["version"] == VERSIONS[1]}) == 2, "one droplet got no request"
    assert leftovers() == []


def test_a_failure_on_the_second_droplet_takes_the_first_one_back(good, tags, under_load):
    """Its nginx refuses to switch, when the first has been switched already."""
    second = lab.connect(SECOND)
    before = running()
    second.check_output("echo 'no_such_directive on;' > /etc/nginx/sites.d/broken.conf")
    try:
        run, report = under_load(DEPLOY, "-e", f"litefarm_version={good}")
    finally:
        second.check_output("rm /etc/nginx/sites.d/broken.conf")
    assert run.status != 0
    assert re.findall(r"TASK \[Switch API traffic on (\S+)\]", run.output) == [FIRST, SECOND], run.reasons
    assert "no_such_directive" in run.output and "is not released" in run.output
    assert len(report.failures) == 0, str(report)
    assert versions() == [VERSIONS[1]] * 2
    assert running() == before and leftovers() == []
    assert history(1)[0]["result"] == "failed"


def test_a_droplet_that_is_lost_during_a_release_has_the_others_go_back(good, tags, names, ca_file):
    machine = docker.from_env(timeout=120).containers.get(lab.status()["droplets"][SECOND]["container"])
    with Load([PAGE, API], names, ca_file, rate=20) as load:
        run = start(DEPLOY, *variables(litefarm_version=good))
        wait_for_lock()
        machine.kill()
        output = run.communicate()[0]
        assert run.returncode != 0 and "is not released" in output, output[-4000:]
        assert version_on(FIRST) == VERSIONS[1]
        lost = load.stop()
    # Whoever was on the droplet when it died has lost a request; everybody else has not.
    assert len(lost.failures) <= 20, str(lost)
    try:
        with Load([PAGE, API], names, ca_file, rate=20) as load:
            without = lab.playbook(DEPLOY, *variables(litefarm_version=good), f"--limit=all:!{SECOND}")
            report = load.stop()
    finally:
        machine.start()
    assert without.status == 0, without.reasons
    assert len(report.failures) == 0, str(report)
    assert version_on(FIRST) == VERSIONS[0]
    wait_for_the_second()
    run = lab.playbook(DEPLOY, "-e", f"litefarm_version={good}")
    assert run.status == 0, run.reasons
    assert versions() == [VERSIONS[0]] * 2 and leftovers() == []


# -- the table "environment" of docs/release-protocol.md: the run is killed after each of its steps ---------------------------------


def environment_rows():
    text = (lab.PROJECT / "docs" / "release-protocol.md").read_text()
    table = re.search(r"<!-- environment -->\n((?:\|.*\n)+)", text)[1].splitlines()
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


ROWS = environment_rows()
# The tasks that the table describes instead of naming them.
TASKS = {
    "preflight.yml": "Nothing stands in the way",
    "Switch API traffic on the first droplet": "Switch API traffic on " + FIRST,
    "Switch API traffic on the other droplets": "Switch API traffic on " + SECOND,
}


def migrated():
    return sql("SELECT count(*) FROM knex_migrations WHERE name LIKE 'additional%'") == "2"


def image_of(droplet, service):
    """The image of the container that serves: the one whose port is in the upstream file, or the one that runs."""
    host, which = lab.connect(droplet), f"label=litefarm.platform.service={service}"
    if service == "webapp":
        which = "publish=" + re.search(r":(\d+)", host.file("/etc/nginx/upstreams.d/webapp.conf").content_string)[1]
    return host.check_output(f"docker inspect --format '{{{{.Image}}}}' $(docker ps -q --filter {which})")


@pytest.mark.parametrize("row", ROWS, ids=[row["step"].replace(" ", "-") for row in ROWS])
def test_a_run_that_is_killed_after(row, good, tags, names, ca_file, record_property):
    # From one release to the other and back: each row is a release of its own.
    old = version_on(FIRST)
    new, tag = next((version, tag) for version, tag in zip(VERSIONS, tags, strict=True) if version != old)
    version = {"old": old, "new": new}
    unmigrate()
    webapp, scheduler = image_of(FIRST, "webapp"), image_of(SCHEDULER, "export_scheduler")
    environment = {
        "ANSIBLE_CALLBACK_PLUGINS": str(lab.PROJECT / "tests" / "support" / "callback"),
        "ANSIBLE_CALLBACKS_ENABLED": "kill_after",
        "LITEFARM_KILL_AFTER": TASKS.get(row["tasks"], row["tasks"]),
    }
    with Load([PAGE, API], names, ca_file, rate=10) as load:
        run = start(DEPLOY, *variables(litefarm_version=tag), env=environment)
        output = run.communicate()[0]
        assert run.returncode == -9, output[-4000:]
        assert is_locked() == (row["lock"] == "held")
        assert migrated() == (row["database"] == "new")
        assert version_on(FIRST) == version[row["API first"]]
        assert version_on(SECOND) == version[row["API others"]]
        assert (image_of(FIRST, "webapp") != webapp) == (row["webapp"] == "new")
        assert (image_of(SCHEDULER, "export_scheduler") != scheduler) == (row["scheduler"] == "new")
        again = lab.playbook(DEPLOY, "-e", f"litefarm_version={tag}")
        report = load.stop()
    record_property("killed", f"{row['step']}: {report}; the next run took {again.seconds:.1f} s")
    assert again.status == 0, again.reasons
    assert len(report.failures) == 0, str(report)
    assert versions() == [new] * 2 and migrated() and leftovers() == []
    assert image_of(FIRST, "webapp") != webapp and image_of(SCHEDULER, "export_scheduler") != scheduler
    assert (history(1)[0]["result"], history(1)[0]["to"]["version"]) == ("ok", tag)
    if row["next run"] == "nothing":
        assert again.total("changed") == 0, again.reasons
