# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every secret of the vault is random, and so its own marker: none may be found where it does not belong.

Runs last: it reads what all runs before it printed with -vvv --diff, good, bad and in check mode.
"""

from __future__ import annotations

import contextlib

import pytest

from tests.support import lab


@pytest.fixture(scope="module")
def markers():
    """Name of each secret of every environment to the text that gives it away: the secret, or for a key the first full line of its body."""
    found = {}
    for environment in lab.environments():
        for name, value in lab.vault(environment).items():
            lines = [line for line in str(value).splitlines() if line and not line.startswith("-----")]
            if lines and "certificate" not in name:
                found[f"{environment} {name}"] = max(lines, key=len)
    assert len(found) >= 12 * len(lab.environments())
    assert all(len(marker) >= 16 for marker in found.values())
    return found


def found_in(markers, text):
    return [name for name, marker in markers.items() if marker in text]


@contextlib.contextmanager
def pattern_file(droplet, patterns, mode):
    """A file on the droplet with what grep is to look for, so that no process list has it meanwhile; its path."""
    path = "/run/markers"
    droplet.run(f"install -m {mode} /dev/null {path}")
    try:
        droplet.run(f"printf %s > {path}", "\n".join(patterns))
        yield path
    finally:
        droplet.run(f"rm {path}")


def test_no_output_of_any_run_shows_a_secret(markers):
    for environment in lab.environments():
        run = lab.playbook("site.yml", "--check", "-vvv", "--diff", environment=environment)
        assert run.status == 0, run.reasons
        assert lab.playbook("site.yml", "-vvv", "--diff", "-e", "postgres_port=70000", environment=environment).status != 0
    logs = sorted(lab.logs().glob("*.log"))
    assert any("-vvv" in log.name for log in logs)
    for log in logs:
        assert found_in(markers, log.read_text(errors="replace")) == [], log


@pytest.mark.parametrize(
    "where",
    [
        "journalctl --no-pager -o cat",
        "cat /var/log/nginx/*",
        "cat /var/log/*.log /var/log/apt/* /var/log/syslog* 2>/dev/null; true",
        "ps -eo args",
        "docker ps -aq | xargs docker inspect -f '{{.Config.Labels}} {{.Args}} {{.Config.Cmd}} {{.Name}}'",
        "for container in $(docker ps -aq); do docker logs $container 2>&1; done",
    ],
)
def test_no_log_and_no_process_list_of_the_droplet_shows_a_secret(droplet, markers, where):
    printable = droplet.run(f"({where}) | LC_ALL=C tr -cd '\\11\\12\\40-\\176'").stdout
    assert printable
    assert found_in(markers, printable) == []


def test_no_file_that_others_can_read_holds_a_secret(droplet, markers):
    with pattern_file(droplet, markers.values(), "0644") as patterns:
        search = (
            "find / -xdev \\( -path /proc -o -path /sys \\) -prune -o -type f -size -20M -readable -print0 2>/dev/null"
            f" | xargs -0 grep -lFf {patterns} 2>/dev/null; true"
        )
        # As nobody, so that closed directories are closed.
        hits = droplet.check_output(f"setpriv --reuid=65534 --regid=65534 --clear-groups sh -c '{search}'").splitlines()
    assert [hit for hit in hits if hit != patterns] == []


@pytest.fixture(scope="module")
def searched():
    """Images that hold no secret of any environment: most are the same on several droplets, and each takes its time to read."""
    return set()


# In every Debian, so an archive in which it cannot be found was not read.
KNOWN = 'PRETTY_NAME="Debian'


# By day the images of the app droplets: only these have settings baked in, and the scheduler's is made from the API's.
@pytest.mark.nightly("litefarm-imaginary", "export-beta")
def test_no_layer_of_an_image_holds_a_secret(droplet, markers, searched):
    images = set(droplet.check_output("docker ps -aq | xargs docker inspect -f '{{.Image}}'").split())
    assert images
    new = sorted(images - searched)
    if not new:
        return
    with pattern_file(droplet, [KNOWN, *markers.values()], "0600") as patterns:
        # All of them in one archive, which has the layers that they share once.
        read = f"set -o pipefail; docker save {' '.join(new)} | grep -aohFf {patterns} | sort -u"
        found = droplet.check_output("bash -c %s", read)
    assert KNOWN in found
    assert found_in(markers, found) == []
    assert found_in(markers, droplet.check_output(f"for image in {' '.join(new)}; do docker history --no-trunc $image; done")) == []
    searched.update(new)
