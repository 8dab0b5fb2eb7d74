# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the simulated modules share: the containers of a droplet and the migrations of the database, as files below a folder of the test."""

from __future__ import annotations

import contextlib
import json
import os

FOLDER = os.environ.get("SIMULATED", "")
MIGRATIONS = ["one", "two"]


def host():
    return os.environ["SIMULATED_HOST"]


@contextlib.contextmanager
def containers():
    """Service to its `current`, `next` and `previous` image, and whether `next` serves."""
    path = os.path.join(FOLDER, "hosts", host() + ".json")
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    yield found
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(found, file)
    os.replace(path + ".new", path)


def migrated():
    path = os.path.join(FOLDER, "migrated")
    return open(path, encoding="utf-8").read().split() if os.path.exists(path) else []


def migrate(names):
    with open(os.path.join(FOLDER, "migrated"), "w", encoding="utf-8") as file:
        file.write(" ".join(names))


def told(what):
    """Whether the test wants this droplet to do something."""
    return os.path.exists(os.path.join(FOLDER, what, host()))


def note(**line):
    """For what a test wants to know of the calls."""
    with open(os.path.join(FOLDER, "calls"), "a", encoding="utf-8") as file:
        file.write(json.dumps(dict(line, host=host())) + "\n")
