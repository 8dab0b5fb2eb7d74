# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real rollout playbook over three droplets of which one fails or is lost, after each step of docs/release-protocol.md, "Several droplets"."""

from __future__ import annotations

import http.server
import json
import os
import threading

import pytest

from tests.support import environment_table
from tests.support.night import NIGHT

from .simulated import Simulation, simulated_collection

ROWS = environment_table.played("switch others")
MESSAGE = {"unreachable": "other could not go back", "revert": "first could not go back"}


@pytest.fixture(name="collection", scope="module")
def fixture_collection(tmp_path_factory):
    return simulated_collection(tmp_path_factory.mktemp("collection"))


@pytest.fixture(name="environment")
def fixture_environment(tmp_path, collection):
    environment = Simulation(tmp_path, collection)
    environment.deployed("old")
    return environment


def everywhere(release):
    return {"first api": release, "first webapp": release, "other api": release, "jobs export_scheduler": release}


def serves_but(environment, droplet):
    return {place: release for place, release in environment.serves().items() if not place.startswith(droplet + " ")}


def finish(environment):
    """The droplet is well again, and the release is tried once more."""
    environment.heal()
    again = environment.run("new")
    assert again.returncode == 0, again.stdout
    assert environment.serves() == everywhere("new") and environment.leftovers() == []
    assert not environment.locked() and environment.history()[-1]["result"] == "ok"


@pytest.mark.parametrize("row", ROWS, ids=environment_table.ids(ROWS))
@pytest.mark.parametrize("column", ["unreachable", "revert"])
def test_a_run_that_goes_on_after(row, column, environment):
    task = environment_table.task_after(row, "first", "other")
    harm = {"unreachable": "down/other", "revert": "fails/other fails-to-revert/first"}[column]
    run = environment.run("new", after=task, harm=harm)
    expected = row[{"unreachable": "droplet unreachable", "revert": "revert fails"}[column]]
    assert (run.returncode == 0) == (expected == "ok"), run.stdout
    assert not environment.locked(), run.stdout
    record = environment.history()[-1]
    if expected == "ok":
        assert environment.serves() == everywhere("new") and record["result"] == "ok"
        return
    assert "is not released" in run.stdout
    assert record["to"]["version"] == "old" or record["result"] == "failed"
    assert (MESSAGE[column] in run.stdout) == (expected == "fails, named"), run.stdout
    if expected == "fails, named":
        assert (record["result"], MESSAGE[column] in record["message"]) == ("failed", True)
        assert set(serves_but(environment, MESSAGE[column].split()[0]).values()) == {"old"}
    else:
        assert environment.serves() == everywhere("old") and environment.leftovers() == []
    assert bool(environment.migrated()) == (record["migrations"] != [] and record["result"] == "failed"), record
    if NIGHT:
        finish(environment)


# -- what went wrong before --------------------------------------------------------------------------------------------------------


def test_every_changing_module_is_told_the_number_of_the_run(environment):
    run = environment.run("new")
    assert run.returncode == 0, run.stdout
    numbers = {(call["module"], call.get("operation") or call.get("state")): call["run_number"] for call in environment.calls()}
    locked = int((environment.ledger / "number").read_text())
    # Before the lock is taken there is none.
    assert numbers["image_pull", None] == 0
    assert {call for call, number in numbers.items() if number == locked} >= {("container_service", "stage"), ("container_release", "commit")}
    assert environment.migrated() == ["one", "two"] and environment.history()[-1]["migrations"] == ["one", "two"]


def test_a_droplet_left_out_stays_where_it_is_when_others_go_back(environment):
    """A3: jobs stayed on `old` with --limit; a rollback to `old` that fails elsewhere must not take it to the release before."""
    environment.deployed("new", "partial", ["first", "other"])
    for droplet in ("first", "other"):
        environment.write(droplet, {service: {"current": f"{service}@new", "previous": f"{service}@old"} for service in environment.read(droplet)})
    environment.write("jobs", {"export_scheduler": {"current": "export_scheduler@old", "previous": "export_scheduler@older"}})
    environment.harm("fails/other")
    run = environment.run("old", kind="rollback")
    assert run.returncode != 0 and "is not released" in run.stdout
    assert environment.serves() == {"first api": "new", "first webapp": "new", "other api": "new", "jobs export_scheduler": "old"}


def test_a_droplet_that_was_lost_before_its_turn_stops_the_release_of_all(environment):
    """A2: it was restarted while site.yml configured it, and answers again."""
    run = environment.run("new", kind="site", simulated_configured=["first", "jobs"])
    assert run.returncode != 0 and "new (1111111) is not released: other could not be reached or failed" in run.stdout, run.stdout
    assert environment.calls() == [] and environment.serves() == everywhere("old") and not environment.locked()
    assert [record["result"] for record in environment.history()] == ["ok"]


def errors(run):
    return [line.partition("failed: ")[2] for line in run.stdout.splitlines() if line.startswith("[ERROR]")]


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("nginx cannot be installed: no space left.\nMore of it.", "nginx cannot be installed: no space left"),
        ("Module result deserialization failed: No start of json char found", "it was ended before it answered, as when the droplet restarts"),
    ],
)
def test_the_outcome_of_a_site_run_names_what_failed_on_the_droplet(environment, reason, cause):
    failure = {"task": "Install packages", "reason": reason}
    run = environment.run("new", kind="site", simulated_configured=["first", "jobs"], litefarm_configuration_failure=failure)
    assert run.returncode != 0
    told = f"new (1111111) is not released: other failed at 'Install packages': {cause}, so nothing is released."
    assert errors(run) == ["Action failed: " + told]
    # Ansible's copy of the result has the sentence and nothing else of its own.
    assert "assertion" not in run.stdout and "evaluated_to" not in run.stdout


@pytest.mark.parametrize(
    ("harm", "cause"), [("fails/other", "The image cannot be pulled here."), ("fails-to-migrate/first", "The init command 'migrate' ended with exit code 1.")]
)
def test_a_failure_is_told_where_it_happens_and_in_the_outcome(environment, harm, cause):
    environment.harm(harm)
    run = environment.run("new")
    assert run.returncode != 0
    assert errors(run) == [f"Module failed: {cause}", f"Action failed: new (1111111) is not released: {cause}"]


def test_a_site_run_ends_with_what_runs_and_the_next_step(environment):
    run = environment.run("new", kind="site")
    assert run.returncode == 0, run.stdout
    said = run.stdout.partition("TASK [Show what runs, and the next step]")[2].partition("PLAY RECAP")[0].splitlines()
    folder = os.path.relpath(environment.folder, environment.collection.parents[3])
    assert [line.strip() for line in said if line.startswith("    ")] == [
        "msg:",
        "- simulated runs new (1111111).",
        "- webapp  https://app.example.org",
        "- API     https://api.example.org",
        "- The next step checks all of it as a user would.",
        f"- ansible-playbook -i {folder}/hosts.yml playbooks/verify.yml",
    ]
    environment.harm("fails/other")
    run = environment.run("newer", kind="site")
    assert run.returncode != 0 and "Show what runs, and the next step" not in run.stdout, run.stdout


class Chat(http.server.ThreadingHTTPServer):
    """Takes the events of the webhook."""

    def __init__(self):
        self.heard = []
        chat = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_arguments):
                """What it hears is in `heard`."""

            def do_POST(self):
                chat.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

        super().__init__(("127.0.0.1", 0), Handler)


def test_a_chat_shows_each_event_as_a_sentence(environment):
    with Chat() as chat:
        threading.Thread(target=chat.serve_forever, daemon=True).start()
        run = environment.run("new", litefarm_webhook=f"http://127.0.0.1:{chat.server_address[1]}/")
        chat.shutdown()
    assert run.returncode == 0, run.stdout
    assert [event["text"] for event in chat.heard] == [
        "simulated: the release of new (1111111), instead of old (0000000), with 2 migrations, begins (deploy by anna).",
        "simulated: new (1111111) is released, instead of old (0000000) (deploy by anna).",
    ]
    # What programs read is there as well.
    assert [(event["event"], event["kind"], event["to"]["version"]) for event in chat.heard] == [("before", "deploy", "new"), ("after", "deploy", "new")]


@pytest.mark.nightly
def test_a_limited_release_names_what_stays_behind(environment):
    """A15."""
    run = environment.run("new", "--limit", "first,other")
    assert run.returncode == 0, run.stdout
    assert "not in this run: jobs, which stays on old" in run.stdout
    record = environment.history()[-1]
    assert (record["result"], record["message"], record["hosts"]) == ("partial", "jobs stays on old (0000000)", ["first", "other"])
    run = environment.run("new", "--limit", "jobs")
    assert run.returncode == 0 and environment.history()[-1]["result"] == "ok", run.stdout
    assert environment.serves() == everywhere("new")


def test_a_failed_migration_leaves_those_that_ran_in_the_history(environment):
    """A8."""
    environment.harm("fails-to-migrate/first")
    run = environment.run("new")
    assert run.returncode != 0, run.stdout
    assert environment.serves() == everywhere("old")
    assert (environment.history()[-1]["result"], environment.history()[-1]["migrations"]) == ("failed", ["one"])
    finish(environment)
    assert environment.history()[-1]["migrations"] == ["two"]


@pytest.mark.nightly
def test_nothing_is_migrated_without_the_backup_that_was_asked_for(environment):
    run = environment.run("new", litefarm_backup_before_migrations=True)  # no droplet here has backups
    assert run.returncode != 0 and "No backup was taken" in " ".join(run.stdout.split()), run.stdout
    assert environment.serves() == everywhere("old") and environment.migrated() == [] and not environment.locked()
    finish(environment)


def test_a_release_that_a_newer_one_replaced_changes_nothing(environment):
    """B1."""
    environment.deployed("new")
    for droplet in ("first", "other", "jobs"):
        environment.write(droplet, {service: {"current": f"{service}@new", "previous": f"{service}@old"} for service in environment.read(droplet)})
    run = environment.run("old")
    assert run.returncode != 0 and "new (1111111) has run since" in run.stdout and "rollback.yml -e litefarm_to=old" in run.stdout
    assert environment.serves() == everywhere("new") and not environment.locked()
    assert environment.calls() == []
    assert len(environment.history()) == 2
    run = environment.run("old", force=True)
    assert run.returncode == 0 and environment.serves() == everywhere("old"), run.stdout

