# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis moves to another droplet and back, by the commands of docs/operations.md, and its queues with it."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support import lab
from tests.support.farm import Farm

# Last, because it takes the environment through two releases.
pytestmark = [pytest.mark.nightly, pytest.mark.last]

APP, FILES = "litefarmapp", "litefarm-imaginary"
REDIS = "docker exec redis sh /etc/litefarm/redis-cli "


def commands():
    """What the page says to run, step by step."""
    page = (lab.PROJECT / "docs" / "operations.md").read_text()
    section = page.partition("## Move Redis to another droplet\n")[2].partition("\n## ")[0]
    return [re.findall(r"^ {7}((?:sudo|ansible).+)$", step, re.MULTILINE) for step in re.split(r"^\d\. ", section, flags=re.MULTILINE)[1:]]


def run(command, old, new, on=""):
    """One command of the page, on this machine or on a droplet."""
    words = [{"OLD": old, "NEW": new}.get(word, word) for word in shlex.split(command)]
    if on:
        return lab.connect(on).check_output(shlex.join(words[1:]))
    if words[0] == "ansible-playbook":
        done = lab.playbook(*words[1:])
        assert done.status == 0, done.reasons
        return done.output
    done = subprocess.run(**lab.ansible(words[0], f"--inventory={lab.inventory('production')}", *words[1:]), check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def groups():
    """groups(name) puts Redis onto this droplet in the lab's copy of the inventory."""
    path = Path(lab.inventory("production")) / "hosts.yml"
    real = path.readlink()

    def put(name):
        hosts = yaml.safe_load(real.read_text())
        hosts["redis"]["hosts"] = {name: None}
        path.unlink()
        path.write_text(yaml.safe_dump(hosts, sort_keys=False))

    yield put
    path.unlink()
    path.symlink_to(real)


def move(old, new, groups):
    close, copy, site, restore, remove, reopen = commands()
    for command in close:
        said = run(command, old, new)
    assert "all queues are paused" in said and "0 are in work" in said
    for command in copy:
        run(command, old, new, on=old)
    groups(new)
    for command in site:
        run(command, old, new)
    for command in restore:
        run(command, old, new, on=new)
    done = lab.playbook("playbooks/verify.yml")
    assert done.status != 0 and "redis running, not in the group redis" in " ".join(done.output.split()), done.output
    for command in remove:
        run(command, old, new)
    assert lab.connect(old).run("docker inspect redis").rc != 0
    for command in reopen:
        run(command, old, new)


def test_the_queues_move_with_redis_and_the_old_container_goes(groups):
    lab.connect(FILES).check_output(REDIS + "set bull:moved job")
    farm = Farm("production")
    for old, new in ((FILES, APP), (APP, FILES)):
        move(old, new, groups)
        assert lab.connect(new).check_output(REDIS + "get bull:moved").strip().strip('"') == "job"
        earlier = farm.exports()
        assert farm.request_export() == 200
        farm.wait_for_exports(earlier)
    lab.connect(FILES).check_output(REDIS + "del bull:moved")
