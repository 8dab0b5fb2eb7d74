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

from tests.support import environment_table, lab
from tests.support.deployment import harmed, history, is_locked, killed_after, leftovers, running, sql, start, unmigrate, variables, wait_for_lock
from tests.support.load import Load

PAGE, API = "https://app.litefarm.org/", "https://api.app.litefarm.org/version"
FIRST, SECOND = "litefarmapp", "litefarmapi"
SCHEDULER = "litefarm-imaginary"
DEPLOY = "playbooks/deploy.yml"
# Both know the two additional migrations. The tests go back and forth between them, which only `force` allows.
VERSIONS = ("2.0.0", "2.1.0")


@pytest.fixture(scope="module")
def tags(built):
    return [built(version, "behaviour=ok", "api.additional_migrations=2") for version in VERSIONS]


@pytest.fixture(scope="module")
def good(tags):
    run = lab.playbook(DEPLOY, *variables(litefarm_version=tags[0], force=True))
    assert run.status == 0, run.reasons
    yield tags[0]
    unmigrate()


def version_on(droplet, seen_from=None):
    """The release of the API that a droplet's own nginx passes requests to, asked there or on another droplet."""
    address = lab.status()["droplets"][droplet]["private_address"]
    script = f"import urllib.request as u; print(u.urlopen(u.Request('http://{address}:8090/version', headers={{'Host': 'api.app.litefarm.org'}}), timeout=10).read().decode())"
    return json.loads(lab.over_ssh(seen_from or droplet, ["python3", "-c", script], ""))["version"]


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
    run, report = under_load(DEPLOY, *variables(litefarm_version=tags[1], force=True))
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
        run, report = under_load(DEPLOY, *variables(litefarm_version=good, force=True))
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
        run = start(DEPLOY, *variables(litefarm_version=good, force=True))
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
            without = lab.playbook(DEPLOY, *variables(litefarm_version=good, force=True), f"--limit=all:!{SECOND}")
            report = load.stop()
    finally:
        machine.start()
    assert without.status == 0, without.reasons
    assert len(report.failures) == 0, str(report)
    assert version_on(FIRST) == VERSIONS[0]
    wait_for_the_second()
    run = lab.playbook(DEPLOY, *variables(litefarm_version=good, force=True))
    assert run.status == 0, run.reasons
    assert versions() == [VERSIONS[0]] * 2 and leftovers() == []


# -- the table "environment" of docs/release-protocol.md ----------------------------------------------------------------------------


# By day: one droplet is ahead.
ROWS = environment_table.played("switch first")
UNREACHABLE, REVERT = "droplet unreachable", "revert fails"
# The cells of the last two columns.
CELLS = [(column, row) for column in (UNREACHABLE, REVERT) for row in environment_table.rows()]
CELL_IDS = [f"{column} {row['step']}".replace(" ", "-") for column, row in CELLS]
# What each droplet suffers in the two columns, and how it is healed. Users' requests have another way than Ansible, and containers outlive
# their engine, so nobody may lose a request.
CUT_OFF = (
    "nft add table inet cut_off && nft add chain inet cut_off input '{ type filter hook input priority -300; }' && "
    "nft add rule inet cut_off input tcp dport 22 reject with tcp reset"
)
# Also if the run ended before the harm was done.
NOT_CUT_OFF = "nft destroy table inet cut_off"
ENGINE_STOPS = "systemctl stop docker.socket docker.service"
ENGINE_STARTS = "systemctl reset-failed docker.service && systemctl start docker.socket docker.service"


def migrated():
    return sql("SELECT count(*) FROM knex_migrations WHERE name LIKE 'additional%'") == "2"


def image_of(droplet, service):
    """The image of the container that serves: the one whose port is in the upstream file, or the one that runs."""
    host, which = lab.connect(droplet), f"label=litefarm.platform.service={service}"
    if service == "webapp":
        which = "publish=" + re.search(r":(\d+)", host.file("/etc/nginx/upstreams.d/webapp.conf").content_string)[1]
    return host.check_output(f"docker inspect --format '{{{{.Image}}}}' $(docker ps -q --filter {which})")


@pytest.mark.parametrize("row", ROWS, ids=environment_table.ids(ROWS))
def test_a_run_that_is_killed_after(row, good, tags, names, ca_file, record_property):
    # From one release to the other and back: each row is a release of its own.
    old = version_on(FIRST)
    new, tag = next((version, tag) for version, tag in zip(VERSIONS, tags, strict=True) if version != old)
    version = {"old": old, "new": new}
    unmigrate()
    webapp, scheduler = image_of(FIRST, "webapp"), image_of(SCHEDULER, "export_scheduler")
    release = variables(litefarm_version=tag, force=True)
    with Load([PAGE, API], names, ca_file, rate=10) as load:
        run = start(DEPLOY, *release, env=killed_after(environment_table.task_after(row, FIRST, SECOND)))
        output = run.communicate()[0]
        assert run.returncode == -9, output[-4000:]
        assert is_locked() == (row["lock"] == "held")
        assert migrated() == (row["database"] == "new")
        assert version_on(FIRST) == version[row["API first"]]
        assert version_on(SECOND) == version[row["API others"]]
        assert (image_of(FIRST, "webapp") != webapp) == (row["webapp"] == "new")
        assert (image_of(SCHEDULER, "export_scheduler") != scheduler) == (row["scheduler"] == "new")
        again = lab.playbook(DEPLOY, *release)
        report = load.stop()
    record_property("killed", f"{row['step']}: {report}; the next run took {again.seconds:.1f} s")
    assert again.status == 0, again.reasons
    assert len(report.failures) == 0, str(report)
    assert versions() == [new] * 2 and migrated() and leftovers() == []
    assert image_of(FIRST, "webapp") != webapp and image_of(SCHEDULER, "export_scheduler") != scheduler
    assert (history(1)[0]["result"], history(1)[0]["to"]["version"]) == ("ok", tag)
    if row["next run"] == "nothing":
        assert again.total("changed") == 0, again.reasons


def on_the_machine(droplet, command):
    """Runs a command on a droplet without SSH."""
    status, output = docker.from_env(timeout=120).containers.get(lab.status()["droplets"][droplet]["container"]).exec_run(["sh", "-ec", command])
    assert status == 0, output.decode()


def harm_of(column, after):
    """What is done to droplets after a task, and what heals them."""
    if column == UNREACHABLE:
        return [{"after": after, "droplet": SECOND, "command": CUT_OFF}], [(SECOND, NOT_CUT_OFF)]
    # No engine answers on the second droplet until the run goes back, so that its next step fails there and its revert does not.
    back = {"before": "Go back to the previous release"}
    harm = [
        {"after": after, "droplet": SECOND, "command": ENGINE_STOPS},
        {**back, "droplet": SECOND, "command": ENGINE_STARTS},
        {**back, "droplet": FIRST, "command": ENGINE_STOPS},
    ]
    return harm, [(SECOND, ENGINE_STARTS), (FIRST, ENGINE_STARTS)]


def forget_images(droplet):
    """Leaves a droplet the image that it runs, so that the next release has to be pulled."""
    lab.connect(droplet).check_output("docker ps -aq --filter name=api.previous. | xargs -r docker rm && docker image prune --all --force")


# By day a droplet is lost in a test above, and the simulated rollouts play all cells.
@pytest.mark.nightly
@pytest.mark.parametrize(("column", "row"), CELLS, ids=CELL_IDS)
def test_a_run_that_goes_on_after(column, row, good, tags, names, ca_file, record_property):
    """With one of these harms done right after the row's step."""
    old = version_on(FIRST)
    new, tag = next((version, tag) for version, tag in zip(VERSIONS, tags, strict=True) if version != old)
    unmigrate()
    # Otherwise the step after `look`, which is to fail on the second droplet, has nothing to do there.
    forget_images(SECOND)
    webapp, scheduler, before = image_of(FIRST, "webapp"), image_of(SCHEDULER, "export_scheduler"), history(1)[0]
    lost, message = (SECOND, f"{SECOND} could not go back") if column == UNREACHABLE else (FIRST, f"{FIRST} could not go back")
    harm, healing = harm_of(column, environment_table.task_after(row, FIRST, SECOND))
    release = variables(litefarm_version=tag, force=True)
    began = time.monotonic()
    with Load([PAGE, API], names, ca_file, rate=10) as load:
        run = start(DEPLOY, *release, env=harmed(*harm))
        try:
            output = run.communicate()[0]
            locked, record = is_locked(), history(1)[0]
            serving = {FIRST: version_on(FIRST), SECOND: version_on(SECOND, seen_from=FIRST)}
        finally:
            for droplet, command in healing:
                on_the_machine(droplet, command)
        seconds, migrations = time.monotonic() - began, migrated()
        scheduler_serves, webapp_serves = image_of(SCHEDULER, "export_scheduler"), image_of(FIRST, "webapp")
        again = lab.playbook(DEPLOY, *release)
        report = load.stop()
    record_property("harmed", f"{column}, {row['step']}: {seconds:.0f} s; {report}; the next run took {again.seconds:.0f} s")
    done = re.findall(r"^Harm (.*?): ", output, re.MULTILINE)
    assert not locked, output[-4000:]
    if row[column] == "ok":
        assert run.returncode == 0, output[-4000:]
        assert done == ["done"]
        assert (record["result"], record["to"]["version"]) == ("ok", tag)
        assert serving == {FIRST: new, SECOND: new}
        assert scheduler_serves != scheduler and webapp_serves != webapp
        assert again.total("changed") == 0, again.reasons
    else:
        assert run.returncode > 0 and "is not released" in output, output[-4000:]
        assert done == ["done"] * len(harm), output[-4000:]
        named = row[column] == "fails, named"
        # Before the lock is taken nothing has begun that the history could tell of.
        assert record == before if row["step"] == "look" else (record["result"], record["to"]["version"]) == ("failed", tag)
        assert (message in output) == named and (record != before and message in record["message"]) == named, output[-4000:]
        assert {version for droplet, version in serving.items() if droplet != lost or not named} == {old}
        assert scheduler_serves == scheduler
        assert webapp_serves == webapp or (named and lost == FIRST)
        assert migrations == (record != before and record["migrations"] != [])
    assert again.status == 0, again.reasons
    assert len(report.failures) == 0, str(report)
    assert versions() == [new] * 2 and migrated() and leftovers() == []
    assert image_of(FIRST, "webapp") != webapp and image_of(SCHEDULER, "export_scheduler") != scheduler
    assert (history(1)[0]["result"], history(1)[0]["to"]["version"]) == ("ok", tag)
