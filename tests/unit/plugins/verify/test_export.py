# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An export from the request to the bucket, against an API that checks tokens and a storage that checks signatures."""

from __future__ import annotations

import re
import ssl

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _object_storage as object_storage
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification import export
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification.outside import Visitor

from tests.support.storage import KEY_ID, REGION, SECRET, FakeStorage
from tests.unit.plugins.verify.servers import FARM, JWT_SECRET, USER

EXPORT = "%s/document/exports/200.zip" % FARM


@pytest.fixture(name="ask")
def fixture_ask(world):
    def ask(storage=None, **changes):
        check = {
            "check": "export",
            "kind": "export",
            "url": world.url,
            "farm_id": FARM,
            "user_id": USER,
            "jwt_secret": JWT_SECRET,
            "seconds": 60,
            "pause": 0.02,
            "storage": dict(
                {"endpoint": world.endpoint, "region": REGION, "bucket": "private", "access_key_id": KEY_ID, "secret_access_key": SECRET}, **(storage or {})
            ),
        }
        rows = export.check_export(dict(check, **changes), Visitor("127.0.0.1", ssl.create_default_context(), 30), "one")
        assert len(rows) == 1
        assert not any(secret in str(rows) for secret in (SECRET, JWT_SECRET, "Bearer"))
        return rows[0]

    return ask


def test_an_export_arrives_and_is_removed(world, ask):
    before = dict(world.objects)
    row = ask()
    assert (row["where"], row["expected"], row["result"]) == ("one private", "in the bucket within 60 s", "ok")
    assert re.fullmatch(r"after \d+\.\d s, 9 bytes", row["seen"])
    assert world.objects == before
    assert world.requests[0]["farm_id"] == FARM and world.requests[0]["from_date"] < world.requests[0]["to_date"]


def test_a_new_object_is_found_among_more_than_one_page(world, ask):
    world.page = 2
    world.objects.update({"%s/document/exports/1%02d & more.zip" % (FARM, number): b"" for number in range(7)})
    assert ask()["result"] == "ok"
    assert EXPORT not in world.objects and len(world.objects) == 9


@pytest.mark.parametrize("missing", ["farm_id", "user_id"])
def test_without_a_farm_nothing_is_asked(world, ask, missing):
    row = ask(**{missing: ""})
    assert (row["seen"], row["result"]) == ("not asked: set litefarm_verify_farm_id and litefarm_verify_user_id to a farm made for this", "WARN")
    assert world.requests == []


def test_an_export_that_does_not_arrive(world, ask):
    world.exports = []
    row = ask(seconds=1)
    assert (row["seen"], row["result"]) == ("accepted by the API, not there after 1 s", "FAIL")


def test_an_export_without_content(world, ask):
    world.exports = [b""]
    assert ask()["result"] == "FAIL"


def test_two_exports_at_once_are_both_left_alone(world, ask):
    world.exports = [b"one", b"more"]
    row = ask()
    assert row["result"] == "WARN" and row["seen"].endswith("3 bytes; 2 came at once, so none was removed")
    assert EXPORT in world.objects


def test_an_export_that_may_not_be_removed_is_a_warning(world, ask):
    world.may_remove = False
    row = ask()
    assert row["result"] == "WARN" and "; not removed: The object storage" in row["seen"]


def test_the_api_refuses(world, ask):
    world.refuses = b'{"message":"You are not currently pursuing any certifications."}'
    row = ask()
    assert (row["seen"], row["result"]) == ('the API: 400, {"message":"You are not currently pursuing any certifications."}', "FAIL")
    row = ask(jwt_secret="another-secret")
    assert (row["seen"], row["result"]) == ('the API: 401, {"message":"invalid token"}', "FAIL")


def test_no_api(ask):
    assert ask(url="http://api.example.org:1/")["seen"] == "the API: Connection refused"


@pytest.mark.parametrize(
    ("storage", "seen"),
    [
        ({"secret_access_key": "another"}, "refuses the key vault_spaces_access_key_id, because vault_spaces_secret_access_key is not the secret that belongs"),
        ({"access_key_id": "another"}, "does not know the key vault_spaces_access_key_id"),
        ({"bucket": "none"}, "There is no bucket none"),
        ({"region": "ams3"}, "is not in the region ams3"),
        ({"endpoint": "http://127.0.0.1:1"}, "cannot be reached (Connection refused)"),
    ],
)
def test_the_storage_refuses(world, ask, storage, seen):
    row = ask(storage)
    assert seen in row["seen"] and row["result"] == "FAIL"
    assert world.requests == []


def test_a_storage_that_is_not_trusted(ask, tmp_path):
    with FakeStorage(tmp_path) as fake:
        assert "has a certificate that is not trusted here (self" in ask({"endpoint": fake.endpoint})["seen"]


def test_without_the_library_it_says_what_to_install(ask, monkeypatch):
    monkeypatch.setattr(object_storage, "S3SigV4Auth", None)
    row = ask()
    assert (row["seen"], row["result"]) == ("The object storage cannot be asked without boto3 for Python", "FAIL")
