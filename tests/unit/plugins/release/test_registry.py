# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import socket

import pytest
from ansible_collections.litefarm.platform.plugins.plugin_utils.registry import Registry, RegistryError, parse_challenge, split_registry
from ansible_collections.litefarm.platform.plugins.plugin_utils.vault_file import tls_certificate, tls_key

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


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_a_wrong_password_is_told_without_showing_it(kind):
    with FakeRegistry(kind) as fake, pytest.raises(RegistryError) as failure:
        client(fake, password="wrong-password").digest("api", "one")
    assert str(failure.value) == "the registry %s refuses the login of 'litefarm'" % fake.address


def test_a_missing_password_is_told():
    with FakeRegistry("basic") as fake, pytest.raises(RegistryError, match="asks for a login, and none is given"):
        client(fake, password="").digest("api", "one")


def test_a_broken_registry_is_told():
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
