# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three droplets on this machine: the real rollout playbook, plugins and ledger, with modules that keep containers in files."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import yaml
from ansible_collections.litefarm.platform.plugins.module_utils._ledger import Ledger

from tests.support.ansible_run import ansible_playbook
from tests.support.playbooks import REPO

HERE = pathlib.Path(__file__).parent
MODULES = ("container_service", "container_release", "image_pull")
# The API is on two droplets; the first one of all keeps the ledger.
GROUPS = {"api": ["first", "other"], "webapp": ["first"], "export_scheduler": ["jobs"], "postgres": ["first"]}
DROPLETS = ["first", "other", "jobs"]
SERVICES = ("api", "export_scheduler", "webapp")
COMMITS = {"old": "0" * 40, "new": "1" * 40, "newer": "2" * 40}

PLAYBOOK = """
- name: Simulate preflight
  hosts: litefarm
  strategy: ansible.builtin.linear
  gather_facts: false
  tasks:
    - name: Know the release
      ansible.builtin.set_fact:
        litefarm_release: "{{ simulated_release | combine({'run': simulated_run}) }}"
        litefarm_preflight: {running: {missing_images: "{{ simulated_missing }}", services: {}}, outdated: "{{ simulated_outdated[inventory_hostname] }}"}
        litefarm_configured: "{{ simulated_run if inventory_hostname in simulated_configured else '' }}"
    - name: Report every problem
      ansible.builtin.debug:
- name: Roll out
  ansible.builtin.import_playbook: rollout.yml
  vars:
    rollout_kind: "{{ simulated_kind }}"
"""

ROLE = """
- name: %(name)s
  litefarm.platform.container_service:
    name: %(service)s
    state: "{{ %(state)s }}"
    image: "{{ litefarm_release.references.%(service)s }}"
    init_commands: "{{ %(shots)s }}"
"""


def simulated_collection(folder: pathlib.Path) -> pathlib.Path:
    """The collection with some modules and the roles replaced; the folder of the ledger is the one of the test that runs."""
    root = folder / "collections" / "ansible_collections" / "litefarm" / "platform"
    shutil.copytree(REPO / "plugins", root / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(REPO / "meta", root / "meta")
    shutil.copy(REPO / "galaxy.yml", root)
    for name in MODULES:
        shutil.copy(HERE / f"{name}.py", root / "plugins" / "modules")
    shutil.copy(HERE / "world.py", root / "plugins" / "module_utils" / "simulated.py")
    deployment = root / "plugins" / "modules" / "deployment.py"
    deployment.write_text(deployment.read_text().replace("/var/lib/litefarm/deployment", "$SIMULATED/deployment"))
    for kind in ("connection", "callback"):
        (root / "plugins" / kind).mkdir(exist_ok=True)
    shutil.copy(HERE / "connection.py", root / "plugins" / "connection" / "simulated.py")
    shutil.copy(HERE / "callback.py", root / "plugins" / "callback" / "harm.py")
    titles = "{{ {'stage': 'Stage the API', 'pending': 'List pending migrations', 'migrate': 'Run migrations'}[api_state] }}"
    for service in SERVICES:
        fields = {"service": service, "name": f"Stage {service}", "state": f"{service}_state", "shots": "[]"}
        if service == "api":
            fields.update(name=json.dumps(titles), state="'stage' if api_state == 'stage' else 'run'", shots="[] if api_state == 'stage' else [{'name': api_state}]")
        tasks = root / "roles" / service / "tasks"
        tasks.mkdir(parents=True)
        (tasks / "main.yml").write_text(ROLE % fields)
    playbooks = root / "playbooks"
    shutil.copytree(REPO / "playbooks", playbooks)
    shutil.rmtree(playbooks / "group_vars")
    (playbooks / "rollout_steps" / "schema-snapshot.sh").write_text("#!/bin/sh\n")
    (playbooks / "simulated.yml").write_text(PLAYBOOK)
    return root


class Simulation:
    """An environment that runs `old` everywhere; `collection` is what simulated_collection() made."""

    def __init__(self, folder: pathlib.Path, collection: pathlib.Path):
        self.folder = folder
        self.collection = collection
        self.state = folder / "state"
        self.ledger = self.state / "deployment"
        (self.state / "hosts").mkdir(parents=True)
        for droplet in DROPLETS:
            self.write(droplet, {service: {"current": f"{service}@old"} for service, members in GROUPS.items() if droplet in members and service in SERVICES})
        groups = {"litefarm": DROPLETS, **GROUPS}
        hosts = {droplet: {"ansible_host": droplet} for droplet in DROPLETS}
        inventory = {"all": {"hosts": hosts, "vars": {"ansible_connection": "simulated", "ansible_python_interpreter": sys.executable, "ansible_become": False}}}
        inventory.update({group: {"hosts": dict.fromkeys(members, {})} for group, members in groups.items()})
        (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
        self.runs = 0

    # -- the world ---------------------------------------------------------------------------------------------------------------------

    def write(self, droplet: str, containers: dict) -> None:
        (self.state / "hosts" / f"{droplet}.json").write_text(json.dumps(containers))

    def read(self, droplet: str) -> dict:
        return json.loads((self.state / "hosts" / f"{droplet}.json").read_text())

    def serves(self) -> dict[str, str]:
        """Droplet and service to the release that answers: `old`, `new`, …"""
        found = {}
        for droplet in DROPLETS:
            for service, seen in self.read(droplet).items():
                found[f"{droplet} {service}"] = (seen["next"] if seen.get("serves") else seen["current"]).partition("@")[2]
        return found

    def leftovers(self) -> list[str]:
        return [f"{droplet} {service}" for droplet in DROPLETS for service, seen in self.read(droplet).items() if seen.get("next")]

    def deployed(self, release: str, result: str = "ok", hosts: list[str] | None = None) -> None:
        """The history says that a release was deployed."""
        record = {"kind": "deploy", "result": result, "to": {"version": release, "commit": COMMITS[release]}, "hosts": hosts or DROPLETS}
        Ledger(str(self.ledger)).record({**record, "images": {service: f"{service}@{release}" for service in SERVICES}}, {"who": "anna"})

    def migrated(self) -> list[str]:
        path = self.state / "migrated"
        return path.read_text().split() if path.exists() else []

    def calls(self) -> list[dict]:
        path = self.state / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def harm(self, *names: str) -> None:
        """As `down/other`: what a droplet is to suffer until it is healed."""
        for name in names:
            (self.state / name).parent.mkdir(exist_ok=True)
            (self.state / name).touch()

    def heal(self) -> None:
        for kind in ("down", "fails", "fails-to-revert", "fails-to-migrate"):
            shutil.rmtree(self.state / kind, ignore_errors=True)

    def history(self) -> list[dict]:
        path = self.ledger / "history.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def locked(self) -> bool:
        return (self.ledger / "lock.json").exists()

    # -- runs --------------------------------------------------------------------------------------------------------------------------

    def run(self, release: str = "new", *options: str, kind: str = "deploy", after: str = "", harm: str = "", **variables) -> subprocess.CompletedProcess:
        """A rollout; `harm` names files of droplets that are made when the task after `after` begins."""
        self.runs += 1
        references = {service: f"{service}@{release}" for service in SERVICES}
        outdated = {droplet: [service for service, seen in self.read(droplet).items() if seen["current"] != references[service]] for droplet in DROPLETS}
        extra = {
            "simulated_release": {"version": release, "commit": COMMITS[release], "references": references},
            "simulated_run": f"run-{self.runs}",
            "simulated_outdated": outdated,
            "simulated_missing": [references["api"]] if any(outdated.values()) else [],
            "simulated_kind": kind,
            "simulated_configured": DROPLETS,
            "litefarm_lock_minutes": 60,
            "litefarm_history_host": "first",
            "litefarm_backup_host": "first",
            "litefarm_webhook": "",
            "litefarm_environment": "simulated",
            "litefarm_app_host_name": "app.example.org",
            "litefarm_api_host_name": "api.example.org",
            "litefarm_image_host_name": "image.example.org",
            "litefarm_operator": "anna",
            **variables,
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment = {
            **inherited,
            "ANSIBLE_CONFIG": str(REPO / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.collection.parents[2]),
            "ANSIBLE_ROLES_PATH": str(self.collection.parents[3] / "roles"),
            "ANSIBLE_CONNECTION_PLUGINS": str(self.collection / "plugins" / "connection"),
            "ANSIBLE_CALLBACK_PLUGINS": str(self.collection / "plugins" / "callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "harm",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
            "SIMULATED": str(self.state),
            "HARM_AFTER": after or "never",
            "HARM": harm,
            "COLUMNS": "500",
        }
        arguments = ["-i", str(self.folder / "hosts.yml"), str(self.collection / "playbooks" / "simulated.yml"), *options, "-e", json.dumps(extra)]
        return ansible_playbook(arguments, cwd=self.collection.parents[3], env=environment, merged=True)
