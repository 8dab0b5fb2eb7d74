# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks measure, and what they write of it."""

from __future__ import annotations

import bench
import bench_recovery
import pytest
import yaml

from tests.support.database import Writer


@pytest.fixture(scope="module")
def rotated():
    secrets = yaml.safe_load((bench.lab.PROJECT / "playbooks" / "vars" / "secrets.yml").read_text())["litefarm_secrets"]
    return [secret["name"] for secret in secrets if bench.rotated(secret)]


@pytest.mark.parametrize("name", ["vault_environment_id", "vault_backup_encryption_key", "vault_imaginary_token_beta", "vault_webhook"])
def test_what_cannot_be_rotated_in_passing_is_left(rotated, name):
    assert name not in rotated


@pytest.mark.parametrize("name", ["vault_postgres_password", "vault_postgres_tls_certificate", "vault_jwt_secret", "vault_redis_password"])
def test_other_secrets_are_rotated(rotated, name):
    assert name in rotated


def run(**figures):
    return {"began": "2026-11-27T06:00:00Z", "load_before": 2.0, "load_after": 2.0, **figures}


def test_each_row_tells_how_many_runs_it_has_and_how_far_they_differ():
    found = {"transactions of one client": [run(**{"with": 90, "without": 100, "ratio": ratio}) for ratio in (0.9, 0.95, 1.0)]}
    (row,) = [line for line in bench_recovery.page(found) if line.startswith("| transactions")]
    assert "| 3 | **0.950** | 0.900 to 1.000 |" in row


def test_what_was_not_measured_has_no_row():
    assert len(bench_recovery.page({})) == 3


def test_an_interrupted_benchmark_goes_on_and_a_complete_one_begins_again(monkeypatch, tmp_path):
    monkeypatch.setattr(bench_recovery, "KEPT", tmp_path / "kept.json")
    monkeypatch.setattr(bench_recovery, "prepare", lambda: None)
    monkeypatch.setattr(bench_recovery, "page", lambda found: found)
    measured = []
    monkeypatch.setattr(bench_recovery, "MEASURES", {"one": lambda: measured.append("one") or {}, "two": lambda: measured.append("two") or {}})
    monkeypatch.setattr(bench_recovery, "AT_MOST", {"two": 1})
    bench_recovery.measure(1)
    bench_recovery.measure(2)
    assert measured == ["one", "two", "one"]
    assert {name: len(runs) for name, runs in bench_recovery.measure(0).items()} == {"one": 2, "two": 1}
    bench_recovery.measure(2)
    assert measured[3:] == ["one", "one", "two"]


class Database:
    def __init__(self, monkeypatch, rows):
        monkeypatch.setattr("tests.support.database.sql", lambda _text: rows)
        monkeypatch.setattr("tests.support.database.Session", lambda: None)
        self.writer = Writer()
        self.writer.acknowledged = [(1, 10.0), (2, 11.0), (3, 12.5)]


def test_lost_are_the_acknowledged_inserts_after_the_last_that_is_there(monkeypatch):
    assert Database(monkeypatch, "1|10.0\n2|11.0").writer.lost() == (1, 1.5)


def test_an_insert_may_be_there_that_was_not_acknowledged(monkeypatch):
    assert Database(monkeypatch, "1|10.0\n2|11.0\n3|12.5\n4|12.6").writer.lost() == (0, 0.0)


def test_a_gap_is_no_loss_of_the_last_seconds(monkeypatch):
    with pytest.raises(AssertionError, match="insert 2 is missing, and 3 is there"):
        Database(monkeypatch, "1|10.0\n3|12.5").writer.lost()
