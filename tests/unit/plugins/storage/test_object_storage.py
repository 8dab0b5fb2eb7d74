# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a storage refuses becomes a sentence that names the variable."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _object_storage as object_storage

from tests.support.storage import KEY_ID, REGION, SECRET, FakeStorage


@pytest.fixture(name="fake")
def fixture_fake(tmp_path):
    with FakeStorage(tmp_path) as fake:
        fake.buckets["mine"] = {"acl": "private"}
        fake.foreign.add("theirs")
        yield fake


def storage(fake, **changes):
    given = {"endpoint": fake.endpoint, "region": REGION, "access_key_id": KEY_ID, "secret_access_key": SECRET, "ca_pem": fake.certificate}
    return object_storage.Storage(**dict(given, **changes))


def sentence(asked, bucket="mine"):
    refusal = asked.look(bucket)
    return refusal and object_storage.explain(refusal, asked.endpoint, asked.region, bucket, "litefarm_private_bucket in main.yml")


def test_a_bucket_that_is_there_is_asked_once_and_not_read(fake):
    assert storage(fake).look("mine") is None
    assert fake.seen == ["HEAD /mine"]


@pytest.mark.parametrize(
    ("changes", "bucket", "words"),
    [
        ({}, "none", "There is no bucket none at {where}: run playbooks/storage.yml, or correct litefarm_private_bucket in main.yml."),
        ({}, "theirs", "The object storage {where} does not let the key vault_spaces_access_key_id use the bucket theirs, or the bucket belongs to "),
        ({"access_key_id": "DO00UNKNOWN"}, "mine", "The object storage {where} does not know the key vault_spaces_access_key_id: put in a key that exists"),
        ({"secret_access_key": "wrong"}, "mine", "because vault_spaces_secret_access_key is not the secret that belongs to it: put in the right one"),
        ({"region": "ams3"}, "mine", "The object storage {where} is not in the region ams3: correct litefarm_spaces_region or litefarm_spaces_endpoint."),
        ({"ca_pem": ""}, "mine", "The object storage {where} has a certificate that is not trusted here (self-signed certificate): add its authority to lite"),
        ({"ca_pem": "nonsense"}, "mine", "litefarm_ca_certificates has an authority that is no PEM certificate ("),
    ],
)
def test_what_is_refused_is_one_clear_sentence(fake, changes, bucket, words):
    said = sentence(storage(fake, **changes), bucket)
    assert words.format(where=fake.endpoint.removeprefix("https://")) in said
    assert SECRET not in said


def test_a_storage_that_does_not_answer(fake):
    words = "The object storage localhost:1 cannot be reached (Connection refused): correct litefarm_spaces_endpoint or the network of this machine."
    assert sentence(storage(fake, endpoint="https://localhost:1")) == words


def test_an_answer_that_nobody_expects_is_shown(fake, monkeypatch):
    monkeypatch.setattr(object_storage.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(fake, "answer", lambda *_request: (503, b"<Error><Code>SlowDown</Code><Message>Please reduce.</Message></Error>"))
    assert "answers 'SlowDown' about the bucket mine (Please reduce): see" in sentence(storage(fake))


class Busy:
    """Answers of a storage that is busy for some questions."""

    def __init__(self, fake, monkeypatch, answers):
        self.pauses, self.left, well = [], list(answers), fake.answer
        monkeypatch.setattr(fake, "answer", lambda *request: self.left.pop(0) if self.left else well(*request))
        monkeypatch.setattr(object_storage.time, "sleep", self.pauses.append)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_storage_is_asked_again_after_longer_and_longer_pauses(fake, monkeypatch, status):
    busy = Busy(fake, monkeypatch, [(status, b"")] * 4)
    assert storage(fake).look("mine") is None
    assert fake.seen == ["HEAD /mine"] * 5 and busy.pauses == [0.5, 1, 2, 4]


def test_a_storage_that_stays_busy_is_given_up_with_its_reason(fake, monkeypatch):
    busy = Busy(fake, monkeypatch, [(503, b"<Error><Code>SlowDown</Code><Message>Please reduce.</Message></Error>")] * 9)
    assert "answers 'SlowDown' about the bucket mine (Please reduce): see" in sentence(storage(fake))
    assert fake.seen == ["HEAD /mine"] * 5 + ["GET /mine?max-keys=1"] and busy.pauses == [0.5, 1, 2, 4]


def test_a_storage_that_answers_the_last_question_is_good(fake, monkeypatch):
    Busy(fake, monkeypatch, [(429, b"")] * 5)
    assert storage(fake).look("mine") is None


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (404, "NoSuchBucket"), (400, "InvalidRequest")])
def test_what_is_refused_for_good_is_not_asked_again(fake, monkeypatch, status, code):
    busy = Busy(fake, monkeypatch, [(status, b""), (status, b"<Error><Code>%s</Code></Error>" % code.encode())])
    assert storage(fake).look("mine").code == code
    assert fake.seen == ["HEAD /mine", "GET /mine?max-keys=1"] and busy.pauses == []


def test_several_buckets_are_asked_about_at_once(fake):
    answers = storage(fake).look_at(["mine", "none", "theirs"])
    assert {bucket: refusal and refusal.code for bucket, refusal in answers.items()} == {"mine": None, "none": "NoSuchBucket", "theirs": "AccessDenied"}


def test_every_code_has_its_sentence():
    assert set(object_storage.SAME.values()) <= set(object_storage.SENTENCES)


@pytest.mark.parametrize(
    ("name", "good"), [("litefarm-app-secret", True), ("abc", True), ("ab", False), ("-abc", False), ("a.b.c", False), ("Abc", False), ("a" * 64, False)]
)
def test_names_of_buckets(name, good):
    assert bool(object_storage.BUCKET_NAME.fullmatch(name)) == good
