# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input ends the run in its first play, with a sentence that says what, where and what to do."""

from __future__ import annotations

import pytest

from tests.support import lab
from tests.support.night import sample


@pytest.mark.parametrize(
    ("given", "told"),
    sample(
        [
            ("litefarm_version=v0.0.0", "There is no tag, branch or commit 'v0.0.0'"),
            ("new_database=false", "litefarmapp has no database in /srv/litefarm/postgres"),
            ("litefarm_private_bucket=litefarm-app-secret-missing", "There is no bucket litefarm-app-secret-missing"),
            ("vault_postgres_password=changeme", "vault_postgres_password"),
            ("postgres_port=70000", "65535"),
            ("litefarm_private_address=10.255.255.1", "10.255.255.1"),
            ("vault_spaces_secret_access_key=0123456789abcdefghijklmnopqrstuvwxyzABCD", "vault_spaces_secret_access_key"),
            ("litefarm_registry=10.89.255.254:5000/litefarm", "10.89.255.254:5000"),
        ],
        by_day=3,
    ),
)
def test_a_bad_value_is_told_before_anything_is_touched(given, told):
    run = lab.playbook("site.yml", "-e", given)
    assert run.status != 0
    assert told in run.output, run.output
    assert "Nothing was changed." in run.output, run.output
    assert run.total("changed") == 0


def test_a_name_that_nothing_reads_is_told_before_the_first_play():
    run = lab.playbook("site.yml", "-e", "nginx_bdoy_max_mb=30")
    assert run.status != 0
    assert "Nothing was changed." in run.output and "write nginx_body_max_mb if that is meant" in run.output, run.output
    assert "PLAY [" not in run.output, run.output
