# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""deploy.yml: a good release, every way of being bad, two operators, and what a killed run leaves."""

from __future__ import annotations

import http.server
import json
import os
import signal
import threading
import time

import pytest
import yaml

from tests.support import lab
from tests.support.deployment import LOCK, history, leftovers, running, sql, start, unmigrate, variables, wait_for_lock
from tests.support.night import sample
from tests.support.storage_faults import storage_fault

# The first one is what the lab's inventory says.
GOOD, BETTER = "1.0.0", "1.2.0"


@pytest.fixture(scope="module")
def good():
    """The release that serves while others fail."""
    tag = f"v{GOOD}"
    # A second run of these tests on one lab begins where the first has taken it back.
    run = lab.playbook("playbooks/deploy.yml", *variables(litefarm_version=tag, force=True))
    assert run.status == 0, run.reasons
    return tag


@pytest.fixture(scope="module")
def better(built):
    return built(BETTER, "behaviour=ok")


def test_a_good_release_is_not_noticed_and_is_written_down(good, better, under_load):
    before = running()
    run, report = under_load("playbooks/deploy.yml", *variables(litefarm_version=better, force=True))
    assert run.status == 0, run.reasons
    assert len(report.failures) == 0, str(report)
    assert BETTER.encode() in report.bodies("/version")[-1]
    assert all(image != before[service] for service, image in running().items())
    (record,) = history(1)
    assert (record["result"], record["kind"], record["to"]["version"], record["from"]["version"]) == ("ok", "deploy", better, good)
    assert sorted(record["services"]) == ["api", "export_scheduler", "webapp"]
    assert leftovers() == []


def test_an_unchanged_deployment_does_nothing(better):
    before = history(1)
    run = lab.playbook("playbooks/deploy.yml", "-e", f"litefarm_version={better}")
    assert run.status == 0 and run.total("changed") == 0, run.reasons
    assert history(1) == before


def test_a_rollback_is_not_noticed_and_marks_what_it_left(good, better, under_load):
    # Neither the object storage nor more room on the disk than there is: the images are on the droplets.
    requirements = yaml.safe_load((lab.PROJECT / "playbooks" / "vars" / "preflight.yml").read_text())["preflight_requirements"]
    requirements.update(needed_groups=["nowhere"], disk_free_mb=99999999)
    with storage_fault("refuse"):
        run, report = under_load("playbooks/rollback.yml", *variables(preflight_requirements=requirements))
    assert run.status == 0, run.reasons
    assert len(report.failures) == 0, str(report)
    assert GOOD.encode() in report.bodies("/version")[-1]
    refused = lab.playbook("playbooks/deploy.yml", "-e", f"litefarm_version={better}")
    assert refused.status != 0 and "was taken back" in refused.output and "force=true" in refused.output, refused.reasons
    assert leftovers() == []
    again = lab.playbook("playbooks/rollback.yml", "-e", f"to={better}")
    assert again.status != 0 and "was taken back: give -e litefarm_force=true" in " ".join(again.output.split()), again.reasons


# By day the first three: the integration tests have the others, and these need LiteFarm's own probes.
BEHAVIOURS = {
    "unready": ({"api_env": {"SAMPLE_BEHAVIOUR": "unready"}, "api_start_timeout": 15}, "probe database: bad"),
    "runs-out-of-memory": ({"api_env": {"SAMPLE_BEHAVIOUR": "out-of-memory"}, "api_memory_mb": 160, "api_start_timeout": 20}, "out of memory"),
    "scheduler-crashes": ({"export_scheduler_env": {"SAMPLE_BEHAVIOUR": "scheduler-crashes"}}, "has a scheduler that crashes"),
    "exits-at-once": ({"api_env": {"SAMPLE_BEHAVIOUR": "crash-at-start"}}, "exit code 1"),
    "never-listens": ({"api_env": {"SAMPLE_BEHAVIOUR": "never-listens"}, "api_start_timeout": 8}, "probe alive: bad"),
    "crashes-5-s-after-it-was-healthy": ({"api_env": {"SAMPLE_BEHAVIOUR": "crash-later"}}, "dies 5 s after its start"),
    "webapp-does-not-start": ({"webapp_worker_connections": 0}, "of webapp"),
}


@pytest.mark.parametrize("name", sample([*BEHAVIOURS], by_day=3))
def test_a_bad_release_leaves_the_old_one_serving(good, under_load, name):
    settings, shown = BEHAVIOURS[name]
    before = running()
    run, report = under_load("playbooks/deploy.yml", *variables(litefarm_version=good, **settings))
    assert run.status != 0
    assert shown in run.output.lower() and "is not released" in run.output, run.reasons
    assert len(report.failures) == 0, str(report)
    assert all(GOOD.encode() in body for body in report.bodies("/version"))
    assert running() == before and leftovers() == []
    assert (history(1)[0]["result"], history(1)[0]["to"]["version"]) == ("failed", good)


@pytest.fixture(scope="module")
def bad_migration(built):
    return built("1.3.0", "behaviour=bad-migration")


@pytest.fixture(scope="module")
def hanging_migration(built):
    return built("1.3.1", "behaviour=hanging-migration")


# By day the integration tests have init commands that fail, and the simulated rollouts migrations.
@pytest.mark.nightly
@pytest.mark.parametrize(
    ("which", "settings", "shown"),
    [("bad_migration", {}, "no_such_table"), ("hanging_migration", {"api_migration_timeout": 5}, "did not end within 5 s")],
    ids=["migration-fails", "migration-hangs"],
)
def test_a_bad_migration_leaves_the_old_release_serving(good, under_load, request, which, settings, shown):
    tag = request.getfixturevalue(which)
    before = running()
    run, report = under_load("playbooks/deploy.yml", *variables(litefarm_version=tag, **settings))
    assert run.status != 0
    assert shown in run.output and "is not released" in run.output, run.reasons
    assert len(report.failures) == 0, str(report)
    assert running() == before and leftovers() == []
    droplet = lab.connect("litefarmapp")
    assert droplet.check_output("ls /srv/litefarm/backups/postgres/schema")
    # What the migration held in the database is free again, also if it was killed in the middle of a statement.
    busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
    for _ in range(40):
        if sql(busy) == "0":
            break
        time.sleep(0.5)
    assert sql(busy) == "0"


@pytest.fixture(scope="module")
def migrating(built):
    return built("1.4.0", "behaviour=ok", "api.additional_migrations=2")


def test_a_lock_that_a_migration_left_is_named(good, migrating, under_load):
    sql("UPDATE knex_migrations_lock SET is_locked = 1")
    try:
        run, report = under_load("playbooks/deploy.yml", "-e", f"litefarm_version={migrating}")
    finally:
        unlocked = lab.playbook("playbooks/unlock.yml", "-e", "migrations=true")
    assert run.status != 0 and "knex_migrations_lock" in run.output and "unlock.yml -e litefarm_migrations=true" in run.output, run.reasons
    assert len(report.failures) == 0, str(report)
    assert unlocked.status == 0, unlocked.reasons
    assert sql("SELECT max(is_locked) FROM knex_migrations_lock") == "0"


def test_an_image_that_was_never_built_is_told_before_anything_is_touched(good, under_load):
    lab.lab("sample-release", "--tag", "v9.9.9")
    before = running(), history(1)
    run, report = under_load("playbooks/deploy.yml", "-e", "litefarm_version=v9.9.9")
    assert run.status != 0 and "run playbooks/build.yml" in run.output, run.reasons
    assert len(report.failures) == 0, str(report)
    assert (running(), history(1)) == before and leftovers() == []


@pytest.mark.nightly
def test_an_image_that_cannot_be_pulled_is_told(good, better, under_load):
    """It was there when preflight asked, and is not when the droplet does."""
    droplet = lab.connect("litefarmapp")
    name = droplet.check_output("docker inspect --format '{{.Config.Image}}' api").partition("@")[0]
    kept = running().values()
    gone = [image for image in set(droplet.check_output(f"docker images --no-trunc -q {name}").splitlines()) if image not in kept]
    droplet.check_output("docker rm $(docker ps -aq --filter name=api.previous)")
    droplet.check_output(f"docker rmi -f {' '.join(gone)}")
    droplet.check_output("mv /root/.docker/config.json /root/.docker/config.json.away")
    try:
        run, report = under_load("playbooks/deploy.yml", *variables(litefarm_version=better, force=True))
    finally:
        droplet.check_output("mv /root/.docker/config.json.away /root/.docker/config.json")
    assert run.status != 0 and "could not pull the image" in run.output, run.reasons
    assert len(report.failures) == 0, str(report)
    assert leftovers() == []


def test_a_full_disk_refuses_the_release(good, under_load):
    droplet = lab.connect("litefarmapp")
    folder = "/var/lib/litefarm/services/api"
    droplet.check_output(f"mount -t tmpfs -o size=4k,nr_inodes=2 none {folder}")
    before = running()
    try:
        run, report = under_load("playbooks/deploy.yml", *variables(litefarm_version=good, api_env={"ANOTHER": "setting"}))
    finally:
        droplet.check_output(f"umount {folder}")
    assert run.status != 0 and "No space left on device" in run.output, run.reasons
    assert len(report.failures) == 0, str(report)
    assert running() == before and leftovers() == []


@pytest.mark.nightly
def test_an_nginx_that_refuses_its_configuration_refuses_the_release(good, under_load):
    droplet = lab.connect("litefarmapp")
    before = running()
    droplet.check_output("echo 'no_such_directive on;' > /etc/nginx/sites.d/broken.conf")
    try:
        run, report = under_load("playbooks/deploy.yml", *variables(litefarm_version=good, api_env={"ANOTHER": "setting"}))
    finally:
        droplet.check_output("rm /etc/nginx/sites.d/broken.conf")
    assert run.status != 0 and "no_such_directive" in run.output, run.reasons
    assert len(report.failures) == 0, str(report)
    assert running() == before and leftovers() == []


SLOW = {"api_env": {"SAMPLE_BEHAVIOUR": "never-listens"}}


# By day the scenario upgrade has it.
@pytest.mark.nightly
def test_of_two_operators_the_second_is_told_about_the_first(good):
    # Long enough for the second one to come and be refused, however busy the machine is.
    with start("playbooks/deploy.yml", *variables(litefarm_version=good, litefarm_operator="anna", **SLOW, api_start_timeout=60)) as first:
        wait_for_lock()
        second = lab.playbook("playbooks/deploy.yml", *variables(litefarm_version=good, litefarm_operator="berta", api_env={"ANOTHER": "setting"}))
        assert first.poll() is None, "the first one ended too soon"
        output = first.communicate()[0]
    assert second.status != 0
    assert "anna" in second.output and "has held the deploy lock since" in second.output and "unlock.yml" in second.output, second.reasons
    assert "is not released" in output and "probe alive: bad" in output.lower()
    assert history(1)[0]["who"] == "anna" and leftovers() == []


@pytest.mark.nightly
def test_a_killed_run_leaves_a_lock_that_the_next_one_takes_over(good, under_load):
    before = running()
    with start("playbooks/deploy.yml", *variables(litefarm_version=good, litefarm_operator="anna", **SLOW, api_start_timeout=60)) as first:
        wait_for_lock()
        time.sleep(4)
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    assert "lock.json" in leftovers()
    run, report = under_load("playbooks/deploy.yml", *variables(litefarm_version=good, litefarm_operator="berta"))
    assert run.status == 0, run.reasons
    assert len(report.failures) == 0, str(report)
    assert [record["result"] for record in history(2)].count("interrupted") == 1
    assert running() == before and leftovers() == []


def test_a_lock_can_be_broken_by_name(good):
    droplet = lab.connect("litefarmapp")
    lock = {"run": "x", "what": "deploy v0.0.1", "who": "carla", "node": "elsewhere", "since": "2999-01-01T00:00:00Z", "expires": "2999-01-01T01:00:00Z"}
    droplet.check_output(f"echo '{json.dumps(lock)}' > {LOCK}")
    refused = lab.playbook("playbooks/deploy.yml", "-e", f"litefarm_version={good}")
    broken = lab.playbook("playbooks/unlock.yml")
    assert refused.status != 0 and "carla on elsewhere has held the deploy lock" in refused.output, refused.reasons
    assert broken.status == 0 and "carla" in broken.output, broken.reasons
    assert leftovers() == []


def test_a_release_with_migrations_and_the_way_back(good, migrating, under_load):
    run, report = under_load("playbooks/deploy.yml", *variables(litefarm_version=migrating, force=True, litefarm_backup_before_migrations=True))
    assert run.status == 0, run.reasons
    assert "additional_1, additional_2" in run.output
    assert f"before-{migrating}" in lab.playbook("playbooks/backups.yml").output
    assert len(report.failures) == 0, str(report)
    migrated = json.loads(report.bodies("/version")[-1])
    assert history(1)[0]["migrations"] == ["additional_1", "additional_2"]

    run, report = under_load("playbooks/rollback.yml")
    assert run.status == 0, run.reasons
    assert "migrations that stay, unknown to this release: additional_1, additional_2" in run.output
    assert len(report.failures) == 0, str(report)
    back = json.loads(report.bodies("/version")[-1])
    assert (back["version"], back["migrations"]) == (GOOD, migrated["migrations"])

    run, report = under_load("playbooks/deploy.yml", *variables(litefarm_version=migrating, force=True))
    assert run.status == 0, run.reasons
    assert len(report.failures) == 0, str(report)
    assert leftovers() == []


class Listener(http.server.ThreadingHTTPServer):
    """Whoever is told about releases."""

    def __init__(self):
        self.heard = []
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_arguments):
                """What it hears is in `heard`."""

            def do_POST(self):
                listener.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/secret-path"


@pytest.mark.nightly
def test_whoever_listens_hears_of_releases_and_nobody_reads_where(built):
    tag = "v1.4.0"
    with Listener() as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        bad = lab.playbook(
            "playbooks/deploy.yml", "-vvv", *variables(litefarm_version=tag, litefarm_webhook=listener.url, api_env={"SAMPLE_BEHAVIOUR": "crash-at-start"})
        )
        good = lab.playbook("playbooks/deploy.yml", "-vvv", *variables(litefarm_version=tag, litefarm_webhook=listener.url, api_env={"ANOTHER": "setting"}))
        listener.shutdown()
    assert bad.status != 0 and good.status == 0, good.reasons
    assert [(event["event"], event["result"], event["environment"]) for event in listener.heard] == [
        ("failure", "failed", "production"),
        ("after", "ok", "production"),
    ]
    assert listener.heard[0]["text"].startswith(f"production: the release of {tag} (") and "exit code 1" in listener.heard[0]["text"]
    assert listener.heard[1]["text"].startswith(f"production: {tag} (") and " is released (deploy by " in listener.heard[1]["text"]
    assert "exit code 1" in listener.heard[0]["message"] and listener.heard[1]["to"]["version"] == tag


def test_status_says_what_runs_where():
    run = lab.playbook("playbooks/status.yml")
    assert run.status == 0, run.reasons
    for words in (("api", "litefarmapp", "v1.4.0"), ("export_scheduler", "litefarm-imaginary", "v1.4.0"), ("webapp", "litefarmapp", "v1.4.0")):
        assert any(line.split()[:3] == list(words) for line in run.output.splitlines()), run.output
    assert "Nobody holds the deploy lock" in run.output


def test_a_version_that_does_not_know_the_databases_migrations_is_refused_with_the_way_out(good, under_load):
    run, report = under_load("playbooks/deploy.yml", *variables(litefarm_version=good, force=True))
    assert run.status != 0
    assert "migrations that this version does not know" in run.output and "playbooks/rollback.yml" in run.output, run.reasons
    assert len(report.failures) == 0, str(report)
    assert leftovers() == []


def test_at_the_end_the_environment_is_what_its_inventory_says():
    """Others test on, with what the inventory says."""
    unmigrate()
    run = lab.playbook("playbooks/deploy.yml", *variables(force=True))
    assert run.status == 0, run.reasons
