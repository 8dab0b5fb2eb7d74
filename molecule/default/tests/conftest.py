# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes minutes is left to `make nightly`."""

from __future__ import annotations

import os

NIGHTLY = ("test_read_only_bucket.py", "test_zz_lost_droplet.py")


def pytest_collection_modifyitems(config, items):
    """Molecule names every file, and what is named is collected whatever `collect_ignore` says."""
    if os.environ.get("LITEFARM_NIGHTLY"):
        return
    left = [item for item in items if item.path.name in NIGHTLY]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]
