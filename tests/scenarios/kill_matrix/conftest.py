# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The droplet of the matrix, and one harm for all cells of a kind."""

from __future__ import annotations

import os

import pytest

from tests.support import lab

from . import cells, verdict
from .droplet import Droplet
from .matrix import Matrix

# Any droplet of the running lab that has nginx. The matrix reboots it.
DROPLET = os.environ.get("LITEFARM_KILL_MATRIX_DROPLET", "litefarm-imaginary")
PAGE = lab.PROJECT / "docs" / "kill-matrix.md"


def checked_lab(environment) -> str:
    """The lab that may be harmed: one that somebody has named, and never the demo, which is what the lab's tools mean if nobody has.

    Raises:
        pytest.UsageError: nobody has, or it is the demo.
    """
    name = environment.get("LITEFARM_LAB")
    if name in (None, "", "litefarm"):
        raise pytest.UsageError(
            f"LITEFARM_LAB is {name!r}: the kill matrix kills the engine of a droplet and reboots it, so it needs a lab of its own. Give LITEFARM_LAB, "
            "LITEFARM_LAB_NET and LITEFARM_LAB_PRIVATE_NET in the same command, as CONTRIBUTING.md says."
        )
    return name


def pytest_generate_tests(metafunc):
    """Kinds are outermost: the cells of a kind share one harm."""
    if "cell" in metafunc.fixturenames:
        every = [pytest.param((row, kind), id=row.id(kind)) for kind in cells.KINDS for row in cells.rows()]
        metafunc.parametrize("cell", every)


@pytest.fixture(scope="session")
def matrix(request, tmp_path_factory):
    """Only the rows that were asked for are services."""
    name = checked_lab(os.environ)
    running = lab.status()["lab"]
    if running != name:
        raise pytest.UsageError(f"The lab that answers is {running!r} and not {name!r}: nothing was touched.")
    chosen = [item.callspec.params["cell"] for item in request.session.items if "cell" in getattr(item, "callspec", item).params]
    droplet = Droplet(DROPLET, tmp_path_factory.mktemp("runs"))
    made = Matrix(droplet, [row for row in cells.rows() if row in {row for row, _kind in chosen}])
    yield made
    droplet.clean_up()
    if len(chosen) == len(cells.KINDS) * len(cells.rows()) and set(made.seen) == set(cells.KINDS):
        PAGE.write_text(verdict.page(made.seen))
