# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `knex migrate:list` says of a database."""

from __future__ import annotations

import dataclasses
import re

# How Knex refuses a version of the application that is older than the database.
OLDER_THAN_DATABASE = "migration directory is corrupt"
OLDER_THAN_DATABASE_MEANS = (
    "the database has had migrations that this version does not know (see above): release a version that knows them, or go back with "
    "playbooks/rollback.yml, which leaves the database alone"
)
COMPLETED = re.compile(r"^(?:Found \d+|No) Completed Migration files?\b")
PENDING = re.compile(r"^(?:Found \d+|No) Pending Migration files?\b")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclasses.dataclass(frozen=True)
class Listed:
    """Names of migrations, in their order."""

    completed: tuple[str, ...]
    pending: tuple[str, ...]


def listed(lines: list[str]) -> Listed:
    """What the database has and lacks.

    Raises:
        ValueError: the lines are none of `knex migrate:list`.
    """
    plain = [COLOURS.sub("", line).strip() for line in lines]
    start = next((number for number, line in enumerate(plain) if PENDING.match(line)), None)
    if start is None:
        raise ValueError("The list of migrations cannot be read: %s" % " ".join(plain[-3:]))
    first = next((number for number, line in enumerate(plain[:start]) if COMPLETED.match(line)), start)
    return Listed(tuple(line for line in plain[first + 1 : start] if line), tuple(line for line in plain[start + 1 :] if line))
