# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an environment runs, remembers and was left with, for tests of releases."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from tests.support import lab

LEDGER = "litefarmapp"
LOCK = "/var/lib/litefarm/deployment/lock.json"
SERVICES = ("api", "webapp", "export_scheduler")
CALLBACKS = str(lab.PROJECT / "tests" / "support" / "callback")


def history(lines: int = 5) -> list[dict]:
    """The newest records of the environment, the newest last."""
    text = lab.connect(LEDGER).check_output(f"tail -n {lines} /var/lib/litefarm/deployment/history.jsonl")
    return [json.loads(line) for line in text.splitlines()]


def is_locked() -> bool:
    """Whether somebody holds the deploy lock."""
    return lab.connect(LEDGER).file(LOCK).exists


def wait_for_lock(seconds: float = 60) -> None:
    """Returns as soon as somebody holds the deploy lock.

    Raises:
        AssertionError: nobody does.
    """
    limit = time.monotonic() + seconds
    while not is_locked():
        assert time.monotonic() < limit, "nobody took the lock"
        time.sleep(0.1)


def leftovers() -> list[str]:
    """Containers of releases that were begun and neither finished nor taken back, and the lock."""
    found = ["lock.json"] if is_locked() else []
    for name in lab.droplets():
        droplet = lab.connect(name)
        found += droplet.check_output("docker ps -a --format '{{.Names}}' --filter name=.next --filter name=.shot.").split()
        found += droplet.check_output("docker ps --format '{{.Names}}' --filter name=.previous.").split()
    return found


def containers() -> dict[str, tuple[str, str, str]]:
    """Droplet and name of every container of a service to the service, the container's id, and when it was started."""
    form = '{{.Name}} {{index .Config.Labels "litefarm.platform.service"}} {{.Id}} {{.State.StartedAt}}'
    found = {}
    for name in lab.droplets():
        text = lab.connect(name).check_output(f"docker inspect --format '{form}' $(docker ps -aq --filter label=litefarm.platform.service)")
        found |= {f"{name} {container.lstrip('/')}": tuple(rest) for container, *rest in map(str.split, text.splitlines())}
    return found


def running() -> dict[str, str]:
    """Droplet and service to the id of its image."""
    images = {}
    for name in lab.droplets():
        text = lab.connect(name).check_output("docker inspect --format '{{.Name}} {{.Image}}' $(docker ps -q --filter label=litefarm.platform.service)")
        images |= {f"{name} {service}": image for service, image in (line.lstrip("/").split() for line in text.splitlines()) if service in SERVICES}
    return images


def variables(**values) -> list[str]:
    """Extra variables for a playbook."""
    return ["-e", json.dumps(values)]


def sql(statement: str) -> str:
    """What the environment's database answers to a statement."""
    return lab.connect(LEDGER).check_output(f'docker exec -u 999 postgres psql -U postgres -d litefarm -qAtc "{statement}"')


def unmigrate() -> None:
    """The database as it was before the additional migrations of some releases: what a platform never does, and tests have to.

    Knex refuses every release that does not know them.
    """
    tables = "DROP TABLE IF EXISTS additional_1, additional_2; ALTER TABLE users DROP COLUMN IF EXISTS additional_1, DROP COLUMN IF EXISTS additional_2;"
    sql(f"{tables} DELETE FROM knex_migrations WHERE name LIKE 'additional%'")


def start(name: str, *arguments: str, env: dict[str, str] | None = None, checkout: Path = lab.PROJECT) -> subprocess.Popen:
    """A playbook as a process that leads a group of its own."""
    inventory = lab.inventory(lab.environments()[0], checkout)
    command = lab.ansible("ansible-playbook", f"--inventory={inventory}", name, *arguments, checkout=checkout, env=env)
    return subprocess.Popen(**command, start_new_session=True)


def killed_after(task: str) -> dict[str, str]:
    """The variables that have a playbook killed, with all that it has started, right after a task."""
    return {"ANSIBLE_CALLBACK_PLUGINS": CALLBACKS, "ANSIBLE_CALLBACKS_ENABLED": "kill_after", "LITEFARM_KILL_AFTER": task}


def harmed(*harm: dict[str, str]) -> dict[str, str]:
    """The variables that have droplets harmed while a playbook runs, as tests/support/callback/harm.py says; `droplet` stands for its container."""
    containers = {name: droplet["container"] for name, droplet in lab.status()["droplets"].items()}
    commands = [{**{key: value for key, value in each.items() if key != "droplet"}, "container": containers[each["droplet"]]} for each in harm]
    return {"ANSIBLE_CALLBACK_PLUGINS": CALLBACKS, "ANSIBLE_CALLBACKS_ENABLED": "harm", "LITEFARM_HARM": json.dumps(commands)}
