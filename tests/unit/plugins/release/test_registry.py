# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import socket

import pytest
from ansible_collections.litefarm.platform.plugins.plugin_utils._registry import Registry, RegistryError, parse_challenge, split_registry
from ansible_collections.litefarm.platform.plugins.plugin_utils._vault_file import tls_certificate, tls_key

from tests.support.release import MANIFEST, FakeRegistry

DIGEST = "sha256:" + "a" * 64


def client(fake, password="correct-horse", **more):
    return Registry("%s/litefarm" % fake.address, "litefarm", password, **more)


@pytest.mark.parametrize("kind", ["open", "basic", "bearer"])
def test_a_tag_becomes_a_digest(kind):
    with FakeRegistry(kind) as fake:
        fake.tags["litefarm/api:one"] = DIGEST
        assert client(fake).digest("api", "one") == DIGEST
        assert client(fake).digest("api", "two") is None


def test_a_registry_that_names_no_digest_is_read():
    with FakeRegistry(with_digest=False) as fake:
        fake.tags["litefarm/api:one"] = DIGEST
        assert client(fake).digest("api", "one") == "sha256:" + hashlib.sha256(MANIFEST).hexdigest()


def test_the_second_question_needs_no_second_challenge():
    with FakeRegistry("basic") as fake:
        registry = client(fake)
        registry.digest("api", "one")
        registry.digest("api", "two")
        assert len(fake.seen) == 3


@pytest.mark.parametrize("kind", ["open", "basic", "bearer"])
@pytest.mark.parametrize(
    ("pushed", "architectures"), [(["arm64"], ["arm64"]), (["arm64", "amd64"], ["amd64", "arm64"]), (["amd64", "unknown"], ["amd64"]), ([], [])]
)
def test_the_architectures_of_an_image_are_read(kind, pushed, architectures):
    with FakeRegistry(kind) as fake:
        fake.has("litefarm/api", "one", DIGEST, *pushed)
        assert client(fake).architectures("api", DIGEST) == architectures
        assert client(fake).architectures("api", "sha256:" + "0" * 64) == []


def test_a_redirected_blob_is_asked_for_without_the_login():
    """The object storage behind a registry refuses a signed URL with a login beside it."""
    with FakeRegistry("basic") as fake, FakeRegistry() as storage:
        fake.has("litefarm/api", "one", DIGEST, "arm64")
        [blob] = [path for path in fake.documents if "/blobs/" in path]
        storage.documents["signed"] = fake.documents[blob]
        fake.documents[blob] = "http://%s/v2/signed" % storage.address
        assert client(fake).architectures("api", DIGEST) == ["arm64"]
        assert storage.logins == [None]


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_a_wrong_password_is_told_without_showing_it(kind):
    with FakeRegistry(kind) as fake, pytest.raises(RegistryError) as failure:
        client(fake, password="wrong-password").digest("api", "one")
    assert str(failure.value) == "the registry %s refuses the login of 'litefarm'" % fake.address


def test_a_missing_password_is_told():
    with FakeRegistry("basic") as fake, pytest.raises(RegistryError, match="asks for a login, and none is given"):
        client(fake, password="").digest("api", "one")


@pytest.fixture(name="pauses")
def fixture_pauses(monkeypatch):
    """The pauses that were made, of which none takes time."""
    made = []
    monkeypatch.setattr("time.sleep", made.append)
    return made


@pytest.mark.parametrize("kind", ["open", "basic", "bearer"])
def test_a_busy_registry_is_asked_again(kind, pauses):
    with FakeRegistry(kind) as fake:
        fake.tags["litefarm/api:one"] = DIGEST
        fake.busy += [429, 503]
        assert client(fake).digest("api", "one") == DIGEST
        assert pauses == [0.5, 1] and fake.busy == []


def test_a_broken_registry_is_told(pauses):
    with FakeRegistry("broken") as fake, pytest.raises(RegistryError, match="answers 500"):
        client(fake).digest("api", "one")


def test_an_unreachable_registry_is_told():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % unused.getsockname()[1]
        with pytest.raises(RegistryError, match="the registry %s cannot be reached .Connection refused." % address):
            Registry(address).digest("api", "one")


def test_only_given_authorities_are_trusted(tmp_path):
    key = tls_key()
    certificate = tls_certificate(key, "registry.example.org", 1)
    (tmp_path / "key").write_text(key)
    (tmp_path / "certificate").write_text(certificate)
    with FakeRegistry(tls=(tmp_path / "certificate", tmp_path / "key")) as fake:
        registry = client(fake)
        registry._base = registry._base.replace("http://", "https://")
        with pytest.raises(RegistryError, match="cannot be reached.*verify"):
            registry.digest("api", "one")


def test_an_authority_that_is_none_is_told():
    with pytest.raises(RegistryError, match="no PEM certificate"):
        Registry("registry.example.org", ca_pem="nonsense")


def test_names_are_read():
    assert split_registry("registry.example.org:5000/team/app/") == ("registry.example.org:5000", "team/app")
    assert split_registry("registry.example.org") == ("registry.example.org", "")
    assert parse_challenge('Bearer realm="https://r/token",service="r"') == ("bearer", {"realm": "https://r/token", "service": "r"})
    assert Registry("docker.io")._base == "https://registry-1.docker.io/v2/"
    assert Registry("localhost:5000")._base == "http://localhost:5000/v2/"
    assert Registry("10.0.0.1:5000")._base == "https://10.0.0.1:5000/v2/"
