# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What README.md and docs/operations.md tell a reader to set and to type is complete."""

from __future__ import annotations

import re

import yaml

from tests.support.playbooks import REPO


def section(path, title):
    """The text below a heading, up to the next one."""
    text = (REPO / path).read_text()
    return re.split(r"^#+ ", text.split("# %s\n" % title, 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_every_setting_that_preflight_requires_is_in_the_list_of_an_installation():
    options = yaml.safe_load((REPO / "playbooks" / "vars" / "preflight.yml").read_text())["preflight_options"]
    told = set(re.findall(r"`(litefarm_\w+)`", section("README.md", "Settings of an installation")))
    assert {name for name, option in options.items() if option.get("required")} - told == set()
    assert told - set(options) == set()


def test_every_log_is_read_by_a_command_that_the_team_may_use():
    rows = [line.split("|")[1:-1] for line in section("docs/operations.md", "Reading logs").splitlines() if line.startswith("| ")][1:]
    services = [path.name for path in (REPO / "roles").iterdir() if (path / "tasks" / "main.yml").exists()]
    assert len(rows) >= 8
    for _what, where, told in rows:
        group = where.strip().strip("`")
        assert group in (*services, "the service's name", "every droplet", "any"), where
        commands = [each for each in re.findall(r"`([^`]+)`", told) if " " in each and ":" not in each.split()[0]]
        assert all(command.startswith("sudo ") for command in commands), told
        # Not the bare name of a file or unit, of which a reader has to know the command.
        assert commands or "its last lines are in the error" in told, told
