# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of backups: what the module finds, and the table that a person reads."""

from __future__ import annotations

import os

import pytest
from ansible_collections.litefarm.platform.plugins.action.postgres_backups import lines, newest_lines, unreadable
from ansible_collections.litefarm.platform.plugins.module_utils._postgres_archive import ArchiveError, credentials_with_key

from . import fakes
from .fakes import NOON

OTHER = "7577198264723316999"


@pytest.fixture(name="droplet")
def fixture_droplet(tmp_path):
    return fakes.Droplet(tmp_path)


def surveyed(droplet):
    return {"clusters": droplet.restore().survey(), "time": NOON}


def test_the_table(droplet):
    assert lines(surveyed(droplet)) == [
        "Cluster %s (in place on the droplet), PostgreSQL 17" % fakes.CLUSTER,
        "LABEL             NAME       TYPE  ENDED (UTC)       AGE     DATABASE  IN BUCKET  STATE",
        "20261127-100000F  -          full  2026-11-27 10:00  2 h     16.8 MB   1 kB       ok",
        "20261127-110000F  before-v2  full  2026-11-27 11:00  60 min  16.8 MB   1 kB       ok",
        "Any second from 2026-11-27 10:00:00 UTC to 2026-11-27 11:59:50 UTC can be restored.",
        "",
    ]


def test_the_newest_alone(droplet):
    head, only = newest_lines(surveyed(droplet))
    assert head.startswith("LABEL") and only.startswith("20261127-110000F  before-v2")


def test_only_backups_whose_wal_is_kept_begin_the_span(droplet):
    droplet.buckets[fakes.CLUSTER].wal_min = "000000010000000000000007"
    (cluster,) = droplet.restore().survey()
    assert cluster["since"] == NOON - 3600 and len(cluster["backups"]) == 2


def test_other_clusters_come_after_the_one_in_place(droplet):
    other = droplet.buckets[OTHER] = fakes.Bucket(OTHER)
    other.backups = []
    said = lines(surveyed(droplet))
    assert said[0].startswith("Cluster %s (in place" % fakes.CLUSTER)
    assert "Cluster %s (-e litefarm_cluster=%s), PostgreSQL 17" % (OTHER, OTHER) in said
    assert "Nothing can be restored: there is no backup yet." in said


def test_an_archive_that_cannot_be_read_does_not_hide_the_others(droplet, monkeypatch):
    broken = droplet.buckets[OTHER] = fakes.Bucket(OTHER)
    monkeypatch.setattr(broken, "info", lambda: "?")
    clusters = {one["cluster"]: one for one in droplet.restore().survey()}
    assert clusters[OTHER]["problem"] and not clusters[fakes.CLUSTER]["problem"]


def test_only_the_archive_of_the_cluster_in_place_has_to_be_readable(droplet, monkeypatch):
    droplet.buckets[OTHER] = fakes.Bucket(OTHER)
    monkeypatch.setattr(droplet.buckets[OTHER], "info", lambda: "?")
    assert unreadable(surveyed(droplet)) == {}
    monkeypatch.setattr(droplet.buckets[fakes.CLUSTER], "info", lambda: "?")
    found = unreadable(surveyed(droplet))
    assert found["failed"] and found["msg"].startswith("pgBackRest gives no list of backups")


def test_it_leaves_nothing_and_needs_no_folder(droplet):
    surveyed(droplet)
    assert set(droplet.seen) == {"postgres"} and not (droplet.state / "postgres" / "restore.json").exists()


def test_an_empty_bucket(droplet):
    droplet.buckets.clear()
    assert lines(surveyed(droplet)) == ["The bucket has no archive of a database."]


def test_what_a_tried_key_opens(droplet):
    assert lines(surveyed(droplet) | {"key_id": "3f0a91c2"})[0] == "The key opens the folder 3f0a91c2 of the bucket:"


@pytest.fixture(name="credentials")
def fixture_credentials(tmp_path):
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "pgbackrest.conf").write_text("repo1-s3-key=abc\nrepo1-cipher-pass=in place\ncompress-type=zst\n")
    (folder / "pgbackrest").write_text("set -eu\nplace=/production/postgres/0123abcd\n")
    (folder / "storage-ca.pem").write_text("CA")
    return folder


def test_a_key_is_tried_in_a_copy_that_goes_again(credentials, tmp_path):
    memory = tmp_path / "memory"
    memory.mkdir()
    with credentials_with_key(str(credentials), "a\\1b", os.getuid(), str(memory)) as copy:
        (name,) = os.listdir(memory)
        assert copy == str(memory / name) and (memory / name).stat().st_mode & 0o777 == 0o700
        assert (memory / name / "pgbackrest.conf").read_text() == "repo1-s3-key=abc\nrepo1-cipher-pass=a\\1b\ncompress-type=zst\n"
        # First digits of the SHA-256 of the key.
        assert (memory / name / "pgbackrest").read_text() == "set -eu\nplace=/production/postgres/2e5441f7\n"
        assert (memory / name / "storage-ca.pem").read_text() == "CA"
    assert os.listdir(memory) == []
    assert "in place" in (credentials / "pgbackrest.conf").read_text()


def test_credentials_of_no_archive(credentials, tmp_path):
    (credentials / "pgbackrest").unlink()
    with pytest.raises(ArchiveError, match="has no pgbackrest: run site.yml"), credentials_with_key(str(credentials), "key", os.getuid(), str(tmp_path)):
        pass
    assert not list(tmp_path.glob("litefarm-key-*"))


def test_an_empty_key(credentials, tmp_path):
    with pytest.raises(ArchiveError, match="is empty"), credentials_with_key(str(credentials), "", os.getuid(), str(tmp_path)):
        pass
