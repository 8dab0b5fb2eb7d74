# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the lab's object storage, and its keys beside those of the environments."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.support.lab import lab, status


@contextlib.contextmanager
def storage_fault(fault: str, bucket: str = "") -> Iterator[None]:
    """The object storage fails in this way inside the block.

    Args:
        fault: refuse (no answer, the connection is closed), hang (no answer for 120 s), slow_down (503 SlowDown), forbid_put (403 for
            what writes), truncate (half of what is read) or clock (20 minutes ahead, so that no signature is of its time).
        bucket: how the names of the buckets begin that it concerns; empty for all requests.
    """
    lab("storage-fault", fault, "--bucket", bucket)
    try:
        yield
    finally:
        lab("storage-fault", "none")


def access_key(name: str) -> tuple[str, str]:
    """Identifier and secret of a key: an environment, <environment>-read-only, or spare, which opens no bucket of an environment."""
    keys = Path(status()["paths"]["state"]) / "keys"
    return (keys / f"spaces-{name}-id").read_text(), (keys / f"spaces-{name}-secret").read_text()
