# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets are replaced on the running platform, under requests and exports; what users noticed is in the summary.

One of each kind: accepted twice, known once, replaced in LiteFarm alone. The scenario platform has the one that another environment copies,
and the benchmark rotates them all. By day the key of the backups, here, and a secret of LiteFarm alone, in test_two_operators.py.
"""

from __future__ import annotations

import re

import pytest

from tests.support import lab
from tests.support.farm import ExportRequests, Farm, token
from tests.support.load import Load

API = "https://api.app.litefarm.org"
# What users do without a secret of theirs: the page, the API with and without its database.
PAGES = ["https://app.litefarm.org/", f"{API}/", f"{API}/login/user/nobody@example.org"]


@pytest.fixture
def rotate(names, ca_file, record_property):
    """Rotates a secret while users are at work; returns its old value, its new one, and what the load saw."""

    def run(name):
        old, farm = lab.vault("production"), Farm("production")
        earlier = farm.exports()
        with ExportRequests(farm, every=5) as exports, Load(PAGES, names, ca_file, rate=10) as load:
            done = lab.playbook("playbooks/rotate.yml", "-vvv", "--diff", "-e", f"secret={name}")
            report = load.stop()
        assert done.status == 0, done.reasons
        new = lab.vault("production")
        assert [each for each in new if new[each] != old.get(each)], "nothing was replaced"
        assert set(new) == set(old)
        farm.wait_for_exports(earlier, exports.accepted, seconds=420)
        record_property("rotation", f"{done.seconds:.0f} s; {report}; exports: {exports.accepted} accepted, {exports.refused} refused, all arrived")
        return old, new, report

    return run


@pytest.mark.nightly
def test_redis_password(rotate):
    old, new, report = rotate("redis_password")
    assert not report.failures, report
    redis = lab.connect("litefarm-imaginary")
    ping = "docker exec redis redis-cli --no-auth-warning --user default --pass %s ping"
    assert redis.run(ping, new["vault_redis_password"]).stdout.strip() == "PONG"
    assert "WRONGPASS" in redis.run(ping, old["vault_redis_password"]).stderr


@pytest.mark.nightly
def test_postgres_password(rotate):
    old, new, _ = rotate("postgres_password")
    database = lab.connect("litefarmapp")
    log_in = "docker exec -e PGPASSWORD=%s postgres psql -h 127.0.0.1 -U litefarm -d litefarm -Atc 'SELECT 1'"
    assert database.run(log_in, new["vault_postgres_password"]).stdout.strip() == "1"
    assert "password authentication failed" in database.run(log_in, old["vault_postgres_password"]).stderr


@pytest.mark.nightly
def test_jwt_secret(rotate, ask):
    old, new, report = rotate("jwt_secret")
    assert not report.failures, report
    for secrets, status in ((old, 401), (new, 404)):
        bearer = {"Authorization": f"Bearer {token(secrets['vault_jwt_secret'], user_id='somebody')}"}
        assert ask("api.app.litefarm.org", "/no-such-page", headers=bearer).status == status


def test_backup_encryption_key():
    """The new archive and the new repository are not empty when the run ends, and status.yml knows that archive's backups only."""
    old, app = lab.vault("production"), lab.connect("litefarmapp")
    run = lab.playbook("playbooks/rotate.yml", "-vvv", "--diff", "-e", "secret=backup_encryption_key")
    assert run.status == 0, run.reasons
    new = lab.vault("production")["vault_backup_encryption_key"]
    assert new != old["vault_backup_encryption_key"] and new not in run.output
    assert "The bucket has backups under the new key: a full one of the database, and the files of" in " ".join(run.output.split())
    listed = lab.playbook("playbooks/backups.yml")
    assert len(re.findall(r"^\d{8}-\d{6}F ", listed.output, re.MULTILINE)) == 1 and "Any second from" in listed.output, listed.output
    copies = app.check_output("litefarm-restore-files --list")
    assert {"litefarmapp", "litefarm-imaginary"} <= set(copies.split()) and {"redis", "images", "certificates", "history", "dumps"} & set(copies.split())
    # As if the rotation had been killed before its backup.
    app.check_output("touch /var/lib/litefarm/postgres/spool/created")
    assert "no backup yet" in lab.playbook("playbooks/status.yml").output
    assert lab.playbook("playbooks/backup.yml").status == 0
    assert re.search(r"last backup \d+ s old \(incr\)", lab.playbook("playbooks/status.yml").output)


def test_after_all_that_nothing_is_to_be_done():
    run = lab.playbook("site.yml")
    assert run.status == 0, run.reasons
    assert run.total("changed") == 0, run.reasons
