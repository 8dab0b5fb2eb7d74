# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""restore.yml asks before it changes anything, and gives up in the right order."""

from __future__ import annotations

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tests.support.playbooks import REPO

PLAYS = yaml.safe_load((REPO / "playbooks" / "restore.yml").read_text())
DATA = yaml.safe_load((REPO / "playbooks" / "restore_data.yml").read_text())
COPY = yaml.safe_load((REPO / "playbooks" / "restore_copy.yml").read_text())
DATABASE = yaml.safe_load((REPO / "playbooks" / "tasks" / "restore_database.yml").read_text())
START = yaml.safe_load((REPO / "playbooks" / "tasks" / "restore_start.yml").read_text())


def names(tasks):
    return [task["name"] for task in tasks]


def test_it_asks_after_it_has_said_what_is_lost_and_before_it_changes_anything():
    first = PLAYS[0]["tasks"] + DATA[0]["tasks"]
    order = names(first)
    assert order.index("Plan the restore") < order.index("Show the plan") < order.index("Ask for confirmation")
    assert first[order.index("Plan the restore")]["litefarm.platform.postgres_restore"]["state"] == "planned"
    assert {key for task in first for key in task if key.startswith("litefarm.platform.")} == {
        "litefarm.platform.announce", "litefarm.platform.postgres_restore", "litefarm.platform.deployment", "litefarm.platform.recorded_release",
    }  # fmt: skip
    assert DATA[1]["ansible.builtin.import_playbook"] == "preflight.yml"


def test_the_release_on_the_restored_database_needs_nothing_that_it_does_not_use():
    """Object storage or disk space that is missing by then would leave users with the page of maintenance."""
    checks = [play for play in DATA if play.get("ansible.builtin.import_playbook") == "preflight.yml"]
    assert [play["vars"].get("preflight_going_back", False) for play in checks] == [False, True]


def test_a_copy_locks_and_stops_nothing():
    """A name that is given but empty must not become a restore."""
    assert PLAYS[1]["ansible.builtin.import_playbook"] == (
        "{{ 'restore_copy.yml' if litefarm_database is defined or database is defined else 'restore_data.yml' }}"
    )
    (play,) = COPY
    assert [key for task in play["tasks"] for key in task if "." in key] == ["litefarm.platform.postgres_restore", "ansible.builtin.debug"]
    assert play["tasks"][0]["litefarm.platform.postgres_restore"]["state"] == "copied"


def test_the_application_is_closed_before_the_database_is_stopped_and_opened_last():
    order = names(DATABASE)
    assert order.index("Close web and API") < order.index("Stop the API") < order.index("Restore the database on its droplet")
    assert DATA[-1]["tasks"][1]["ansible.builtin.import_tasks"] == "tasks/maintenance_off.yml"


def test_what_fails_before_the_exchange_is_abandoned_and_what_fails_after_it_is_not():
    block = DATABASE[names(DATABASE).index("Restore the database on its droplet")]
    assert block["rescue"][-1]["litefarm.platform.postgres_restore"] == {"state": "abandoned"}
    assert "abandoned" not in str(START)


def rendered(text, **variables):
    return Templar(loader=DataLoader(), variables=variables).template(trust_as_template(text))


def test_the_plan_of_a_copy_and_of_a_restore():
    show = next(task for task in PLAYS[0]["tasks"] if task["name"] == "Show the plan")["ansible.builtin.debug"]["msg"]
    plan = dict(target="latest", resumes="", restores_to="12:00", backup="F", backup_name="", backup_time="11:00", archived_until="11:59",
                size_mb=1, needed_mb=2, free_mb=3, cluster="7", clusters=["7"], lost=["All."])  # fmt: skip
    given = {"restore_plan": plan, "restore_options": {"database": "litefarm"}}
    restored, copied = (rendered(show, **given, restore_copies=bool(name), restore_copy_to=name) for name in ("", "litefarm_before"))
    assert restored[0].startswith("Brings back the database as of 12:00, from backup F of 11:00") and restored[-1] == "Lost: All."
    assert copied[0].startswith("Copies litefarm into a new database litefarm_before beside it, as of 12:00, from backup F of 11:00")
    assert copied[-1] == "Nothing is stopped, replaced or lost."


@pytest.mark.parametrize(
    ("to", "cluster", "command"),
    [
        ("latest", "", 'ansible-playbook playbooks/restore.yml -e "litefarm_to=latest" -e litefarm_confirm=production'),
        ("2026-11-27 10:00:00 UTC", "", """ansible-playbook playbooks/restore.yml -e "litefarm_to='2026-11-27 10:00:00 UTC'" -e litefarm_confirm=production"""),
        ("before-v4", "75", 'ansible-playbook playbooks/restore.yml -e "litefarm_to=before-v4" -e litefarm_confirm=production -e litefarm_cluster=75'),
    ],
)
def test_the_command_that_a_person_copies(to, cluster, command):
    variables = yaml.safe_load((REPO / "playbooks" / "vars" / "restore.yml").read_text())
    given = {name: trust_as_template(variables[name]) for name in ("restore_quoted", "restore_again")}
    templar = Templar(loader=DataLoader(), variables={**given, "restore_to": to, "restore_cluster": cluster, "litefarm_environment": "production"})
    assert templar.template(given["restore_again"]) == command


def test_only_the_release_that_served_is_started_again():
    """Previous releases lie beside it, and two of them had the same port: a second one would not start."""
    opened = DATABASE[names(DATABASE).index("Open again with the database that was there")]
    assert opened["block"][0]["ansible.builtin.command"] == "docker start api"
    condition = opened["block"][0]["when"][0]
    for found, starts in ((["api", "api.previous.1"], True), (["api.previous.1"], False), (None, False)):
        listed = {} if found is None else {"stdout_lines": found}
        assert rendered("{{ %s }}" % condition, restore_api=listed) is starts


def test_a_droplet_that_stays_closed_is_named_and_the_lock_is_given_back():
    opened = DATABASE[names(DATABASE).index("Open again with the database that was there")]
    assert names(opened["always"]) == ["Give the lock back", "Report why the database is not restored"]
    variables = yaml.safe_load((REPO / "playbooks" / "vars" / "restore.yml").read_text())
    given = {"ansible_play_hosts_all": ["first", "other"], "restore_droplet": "first"}
    for closed, told in (({}, ""), ({"restore_closed": True}, "other could not be opened, see above")):
        hosts = {
            "first": {"inventory_hostname": "first", "restore_failure": "Why.", "restore_abandoned": {"serving": True}},
            "other": {"inventory_hostname": "other", **closed},
        }
        droplets = rendered(variables["restore_closed_droplets"], hostvars=hosts, **given)
        message = rendered(opened["always"][1]["ansible.builtin.fail"]["msg"], hostvars=hosts, restore_closed_droplets=droplets, **given)
        assert "Why. The database that was there serves again." in message and told in message and ("could not be opened" in message) is bool(closed)
