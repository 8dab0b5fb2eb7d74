# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bucket that takes nothing any more: a restore to the latest state would lose what the server has not archived."""

from __future__ import annotations

import pytest

from tests.support import lab
from tests.support.archive import configured
from tests.support.database import sql
from tests.support.storage_faults import access_key

pytestmark = pytest.mark.nightly


def test_a_restore_keeps_what_is_not_archived():
    sql("CREATE TABLE public.kept (number int)")
    key_id, secret = access_key("production-read-only")
    try:
        with configured(s3_key=key_id, s3_key_secret=secret):
            sql("INSERT INTO public.kept VALUES (1); SELECT pg_switch_wal()")
            run = lab.playbook("playbooks/restore.yml", "-e", "to=latest", "-e", "confirm=production")
        told = " ".join(run.output.split())
        assert run.status != 0 and "did not reach the archive" in told and "The database that was there serves again." in told, run.reasons
        assert sql("SELECT count(*) FROM public.kept") == "1"
    finally:
        sql("DROP TABLE public.kept")
