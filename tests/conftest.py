# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: by day those for the night are left out."""

from __future__ import annotations

from tests.support.night import NIGHT, is_for_the_night


def pytest_collection_modifyitems(config, items):
    """Molecule names every file, and what is named is collected whatever `collect_ignore` says: so it is left out here."""
    left = [] if NIGHT else [item for item in items if is_for_the_night(item)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]
