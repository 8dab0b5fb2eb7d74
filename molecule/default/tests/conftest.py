# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes minutes is left to `make nightly`."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("LITEFARM_NIGHTLY") else ["test_read_only_bucket.py", "test_zz_lost_droplet.py"]
