# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module and its playbook, with the real library, against a storage that keeps what it is told."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
from unittest import mock

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.litefarm.platform.plugins.modules import bucket

from tests.support.playbooks import Environment
from tests.support.storage import KEY_ID, REGION, SECRET, FakeStorage

REPO = pathlib.Path(__file__).resolve().parents[4]
CORS = [{"origins": ["https://app.litefarm.org"], "methods": ["GET"]}]
LIFECYCLE = [{"id": "unfinished uploads", "abort_multipart_days": 7}, {"id": "drafts", "prefix": "drafts/", "expire_days": 30}]
OLD_VERSIONS = [{"id": "old versions", "expire_old_versions_days": 30}]
PROGRAM = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.litefarm.platform.plugins.modules import bucket
with patch_module_args(json.loads(sys.argv[1])):
    bucket.main()
"""


@pytest.fixture(name="fake")
def fixture_fake(tmp_path):
    with FakeStorage(tmp_path) as fake:
        yield fake


class Module:
    """Runs the module with a person's own set-up for another storage, which must not matter."""

    foreign = {"AWS_PROFILE": "somebody", "AWS_ENDPOINT_URL": "https://192.0.2.1", "AWS_CA_BUNDLE": "/nonexistent"}

    def __init__(self, fake, capfd):
        self.fake = fake
        self.capfd = capfd

    def _given(self, check, arguments):
        given = {
            "name": "mine",
            "endpoint": self.fake.endpoint,
            "region": REGION,
            "access_key_id": KEY_ID,
            "secret_access_key": SECRET,
            "ca_certificates": {"storage": self.fake.certificate},
            "_ansible_check_mode": check,
        }
        return {**given, **arguments}

    def __call__(self, check=False, **arguments):
        """The module's answer."""
        self.capfd.readouterr()
        with mock.patch.dict(os.environ, self.foreign), patch_module_args(self._given(check, arguments)), pytest.raises(SystemExit):
            bucket.main()
        output = self.capfd.readouterr()
        assert SECRET not in output.out + output.err
        return json.loads(output.out)

    def apart(self, **arguments):
        """The same in a process of its own, as from a playbook, which takes half a second to import the library."""
        environment = {**os.environ, **self.foreign, "PYTHONPATH": str(REPO / "collections")}
        command = [sys.executable, "-c", PROGRAM, json.dumps(self._given(False, arguments))]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert SECRET not in done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture(name="run")
def fixture_run(fake, capfd):
    return Module(fake, capfd)


def changes(fake):
    """What was asked of the storage beside questions."""
    return [request for request in fake.seen if not request.startswith(("HEAD", "GET"))]


@pytest.mark.parametrize("wants_region", [False, True])
def test_a_missing_bucket_is_created_with_its_settings_and_then_left_alone(fake, run, wants_region):
    fake.wants_region = wants_region
    wanted = {"cors": CORS, "lifecycle": LIFECYCLE}
    answer = run.apart(**wanted)
    assert (answer["changed"], answer["created"], answer["diff"]["before"]) == (True, True, {})
    assert fake.buckets["mine"]["acl"] == "private"
    assert b"<AllowedOrigin>https://app.litefarm.org</AllowedOrigin>" in fake.buckets["mine"]["cors"]
    assert b"<DaysAfterInitiation>7</DaysAfterInitiation>" in fake.buckets["mine"]["lifecycle"]
    fake.seen.clear()
    again = run.apart(**wanted)
    assert (again["changed"], again["created"], again["settings"]) == (False, False, answer["settings"])
    assert changes(fake) == []


def test_check_mode_says_what_it_would_do_and_does_nothing(fake, run):
    answer = run(check=True, access="public_read", cors=CORS)
    assert (answer["changed"], answer["created"]) == (True, True)
    assert answer["diff"]["after"]["policy"][0]["Action"] == "s3:GetObject"
    assert fake.buckets == {} and changes(fake) == []


def test_everybody_reads_and_nobody_any_more(fake, run):
    run(access="public_read")
    assert json.loads(fake.buckets["mine"]["policy"])["Statement"] == [
        {"Sid": "EverybodyReads", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::mine/*"}
    ]
    assert run(access="public_read")["changed"] is False
    answer = run(access="private")
    assert answer["changed"] is True and answer["diff"]["before"]["policy"] and not answer["diff"]["after"]["policy"]
    assert "policy" not in fake.buckets["mine"]


def test_statements_that_let_everybody_in_go_and_others_stay(fake, run):
    own = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket", "Resource": "arn:aws:s3:::mine"}
    office = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}
    anybody = {"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::mine/*"]}
    fake.buckets["mine"] = {"acl": "private", "policy": json.dumps({"Statement": [own, anybody, office]}).encode()}
    assert run()["settings"]["policy"] == [own, office]
    assert json.loads(fake.buckets["mine"]["policy"])["Statement"] == [own, office]


def test_a_policy_that_says_the_same_in_other_words_is_left_alone(fake, run):
    same = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::mine/*"]}
    fake.buckets["mine"] = {"acl": "private", "policy": json.dumps({"Statement": same}).encode()}
    assert run(access="public_read")["changed"] is False


def test_nobody_may_list_a_bucket(fake, run):
    fake.buckets["mine"] = {"acl": "public-read"}
    answer = run(access="public_read")
    assert (answer["diff"]["before"]["acl"], answer["diff"]["after"]["acl"]) == (["READ"], [])
    assert fake.buckets["mine"]["acl"] == "private"


def test_settings_that_are_not_given_stay_and_empty_ones_go(fake, run):
    run(cors=CORS, lifecycle=LIFECYCLE)
    assert run()["changed"] is False
    assert run(cors=[], lifecycle=[])["changed"] is True
    assert set(fake.buckets["mine"]) == {"acl"}


@pytest.mark.parametrize(
    "rule",
    [
        b"<ID>unfinished uploads</ID><Prefix></Prefix><Status>Disabled</Status>",
        b"<ID>unfinished uploads</ID><Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter><Status>Enabled</Status>",
        b"<ID>unfinished uploads</ID><Prefix></Prefix><Status>Enabled</Status><Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration>",
    ],
)
def test_a_rule_that_only_looks_like_the_wanted_one_is_replaced(fake, run, rule):
    rest = b"<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
    fake.buckets["mine"] = {"acl": "private", "lifecycle": b"<LifecycleConfiguration><Rule>%s%s</Rule></LifecycleConfiguration>" % (rule, rest)}
    answer = run(lifecycle=LIFECYCLE[:1])
    assert answer["changed"] is True and answer["diff"]["before"]["lifecycle"][0]["other"]
    assert run(lifecycle=LIFECYCLE[:1])["changed"] is False


def test_versioning_is_enabled_suspended_and_never_lost_by_a_run_that_does_not_name_it(fake, run):
    answer = run(versioning=True)
    assert (answer["created"], answer["settings"]["versioning"]) == (True, "Enabled")
    assert b"<Status>Enabled</Status>" in fake.buckets["mine"]["versioning"]
    for same in ({"versioning": True}, {}, {"lifecycle": LIFECYCLE}, {"access": "public_read"}):
        assert run(**same)["settings"]["versioning"] == "Enabled"
    assert b"<Status>Enabled</Status>" in fake.buckets["mine"]["versioning"]
    answer = run(versioning=False)
    assert (answer["changed"], answer["diff"]["before"]["versioning"], answer["diff"]["after"]["versioning"]) == (True, "Enabled", "Suspended")
    assert b"<Status>Suspended</Status>" in fake.buckets["mine"]["versioning"]
    assert run(versioning=False)["changed"] is False
    assert run()["settings"]["versioning"] == "Suspended"
    assert run(versioning=True)["changed"] is True


def test_a_bucket_that_never_had_versions_is_not_given_a_status_by_false(fake, run):
    answer = run(versioning=False)
    assert answer["settings"]["versioning"] == "Off" and "versioning" not in fake.buckets["mine"]
    assert run(versioning=False)["changed"] is False


def test_check_mode_shows_versioning_and_rules_and_changes_nothing(fake, run):
    fake.buckets["mine"] = {"acl": "private"}
    answer = run(check=True, versioning=True, lifecycle=OLD_VERSIONS)
    assert answer["changed"] is True and changes(fake) == []
    assert [answer["diff"][side]["versioning"] for side in ("before", "after")] == ["Off", "Enabled"]
    assert answer["diff"]["after"]["lifecycle"][0]["expire_old_versions_days"] == 30


def test_old_versions_and_what_is_left_of_deleted_objects_expire(fake, run):
    run(lifecycle=OLD_VERSIONS)
    written = fake.buckets["mine"]["lifecycle"]
    assert b"<NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays></NoncurrentVersionExpiration>" in written
    assert b"<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>" in written
    assert run(lifecycle=OLD_VERSIONS)["changed"] is False
    assert run(lifecycle=[dict(OLD_VERSIONS[0], expire_old_versions_days=31)])["changed"] is True


def test_a_rule_that_expires_objects_too_says_nothing_of_markers(fake, run):
    """The API refuses both in one rule, and removes the markers by the first."""
    rules = [dict(OLD_VERSIONS[0], expire_days=90)]
    run(lifecycle=rules)
    assert b"<Days>90</Days>" in fake.buckets["mine"]["lifecycle"] and b"DeleteMarker" not in fake.buckets["mine"]["lifecycle"]
    assert run(lifecycle=rules)["changed"] is False


@pytest.mark.parametrize(
    "old_versions",
    [
        b"<NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays></NoncurrentVersionExpiration>",
        b"<NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays><NewerNoncurrentVersions>5</NewerNoncurrentVersions></NoncurrentVersionExpiration>"
        b"<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>",
    ],
)
def test_a_rule_for_old_versions_that_only_looks_like_the_wanted_one_is_replaced(fake, run, old_versions):
    rule = b"<ID>old versions</ID><Prefix></Prefix><Status>Enabled</Status>" + old_versions
    fake.buckets["mine"] = {"acl": "private", "lifecycle": b"<LifecycleConfiguration><Rule>%s</Rule></LifecycleConfiguration>" % rule}
    answer = run(lifecycle=OLD_VERSIONS)
    assert answer["changed"] is True and answer["diff"]["before"]["lifecycle"][0]["other"]
    assert run(lifecycle=OLD_VERSIONS)["changed"] is False


def test_a_rule_without_a_deed_is_refused(run):
    assert "one of the following is required: expire_days, expire_old_versions_days, abort_multipart_days" in run(lifecycle=[{"id": "none"}])["msg"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"access_key_id": ""}, "vault_spaces_access_key_id is missing in the environment's vault: put it in with ansible-vault edit."),
        ({"access_key_id": "DO00UNKNOWN"}, "does not know the key vault_spaces_access_key_id: put in a key that exists"),
        ({"name": "Mine"}, "'Mine' cannot be the name of a bucket, which has 3 to 63 lower-case letters, digits and hyphens: correct litefarm_private"),
        ({"name": "theirs"}, "or the bucket belongs to somebody else: give the key access to it in DigitalOcean's control panel, or correct litefarm_private"),
        ({"endpoint": "https://localhost:1"}, "The object storage localhost:1 cannot be reached (Connection refused): correct litefarm_spaces_endpoint"),
        ({"ca_certificates": {}}, "has a certificate that is not trusted here (self-signed certificate): add its authority to litefarm_ca_certificates"),
    ],
)
def test_what_is_wrong_is_one_clear_sentence(fake, run, arguments, words):
    fake.foreign.add("theirs")
    answer = run(**{"variable": "litefarm_private_bucket", **arguments})
    assert answer["failed"] is True
    assert words in answer["msg"]
    assert changes(fake) == []


def test_a_key_that_may_not_do_everything_is_told(fake, run):
    fake.buckets["mine"] = {"acl": "private"}
    fake.forbidden.add("policy")
    answer = run(access="public_read")
    assert answer["msg"].startswith("The key vault_spaces_access_key_id is not allowed to do PutBucketPolicy with the bucket mine: run this playbook with a key")


def test_a_name_that_somebody_else_took_meanwhile_is_told(fake, run, monkeypatch):
    taken = b"<Error><Code>BucketAlreadyExists</Code></Error>"
    monkeypatch.setattr(fake, "answer", lambda method, *_request: (409, taken) if method == "PUT" else (404, b""))
    assert "The name mine belongs to somebody else's bucket at " in run(variable="litefarm_public_bucket")["msg"]


@pytest.mark.parametrize("answer", [(503, b"<Error><Code>SlowDown</Code></Error>"), (429, b"<Error><Code>TooManyRequests</Code></Error>")])
def test_a_busy_storage_is_asked_again(fake, run, monkeypatch, answer):
    """For each of the library's questions and for ours, twice."""
    asked, well = {}, fake.answer

    def busy(method, name, setting, headers, body):
        asked[method, setting] = asked.get((method, setting), 0) + 1
        return answer if asked[method, setting] <= 2 else well(method, name, setting, headers, body)

    monkeypatch.setattr(fake, "answer", busy)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    result = run(versioning=True)
    assert result.get("failed") is None and result["created"] is True
    assert min(asked.values()) >= 3, asked


BUCKETS = ["litefarm-app-secret", "litefarmapp", "litefarm-production-backups"]


def test_the_playbook_makes_the_buckets_of_the_environment_once(fake, tmp_path):
    environment = Environment(tmp_path / "inventory")
    environment.set(**fake.variables())
    for expected in (["PUT /%s" % name for name in BUCKETS], []):
        fake.seen.clear()
        process = environment.play("storage.yml", "-vvv")
        assert process.returncode == 0, process.stdout + process.stderr
        assert [request for request in changes(fake) if "?" not in request] == expected
        assert ("changed=1" in process.stdout) == bool(expected)
        assert SECRET not in process.stdout
    assert "policy" not in fake.buckets["litefarm-app-secret"] and "policy" in fake.buckets["litefarmapp"]
    assert "policy" not in fake.buckets["litefarm-production-backups"] and "cors" not in fake.buckets["litefarm-production-backups"]
    for settings in fake.buckets.values():
        assert b"<Status>Enabled</Status>" in settings["versioning"]
        assert b"<NoncurrentDays>30</NoncurrentDays>" in settings["lifecycle"] and b"<DaysAfterInitiation>7<" in settings["lifecycle"]
    for settings in (fake.buckets[name] for name in BUCKETS[:2]):
        assert re.search(rb"<AllowedMethod>GET</AllowedMethod>.*https://app.litefarm.org|https://app.litefarm.org.*<AllowedMethod>GET<", settings["cors"])


def test_the_playbook_takes_a_key_with_all_permissions_for_every_bucket(fake, tmp_path):
    environment = Environment(tmp_path / "inventory")
    limited = {"vault_spaces_access_key_id": "DO00LIMITED", "vault_backup_access_key_id": "DO00LIMITEDTOO", "vault_backup_secret_access_key": "x" * 40}
    environment.set(**{**fake.variables(), **limited})
    file = tmp_path / "full-key.yml"
    file.write_text("vault_spaces_access_key_id: %s\nvault_spaces_secret_access_key: %s\n" % (KEY_ID, SECRET))
    process = environment.play("storage.yml", "-e", "@%s" % file, "-e", "storage_backup_old_versions_days=60")
    assert process.returncode == 0, process.stdout + process.stderr
    assert list(fake.buckets) == BUCKETS
    assert [re.search(rb"<NoncurrentDays>(\d+)<", fake.buckets[name]["lifecycle"])[1] for name in BUCKETS] == [b"30", b"30", b"60"]


def test_only_statements_that_let_everybody_in_without_a_condition_open_a_bucket():
    statement = bucket.public_statement("mine")
    assert bucket.opens(statement) and bucket.opens(dict(statement, Principal={"AWS": "*"}))
    assert not bucket.opens(dict(statement, Effect="Deny"))
    assert not bucket.opens(dict(statement, Principal={"AWS": "arn:aws:iam::1:root"}))
    assert not bucket.opens(dict(statement, Condition={"IpAddress": {"aws:SourceIp": "192.0.2.1"}}))
