# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a droplet says of its certificates: with servers on loopback, a real openssl, and a systemctl that is a script."""

from __future__ import annotations

import json
import socket
import ssl
import threading

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _certificates as certificates
from ansible_collections.litefarm.platform.plugins.plugin_utils._vault_file import tls_certificate, tls_key

NAME = "app.example.org"
YEAR = 365 * 86400


@pytest.fixture(name="pair", scope="module")
def fixture_pair():
    key = tls_key()
    return key, tls_certificate(key, NAME, 1)


@pytest.fixture(name="serve")
def fixture_serve(pair, tmp_path):
    """serve(postgres=…): the port of a server that shows the certificate, at once or after PostgreSQL's words."""
    (tmp_path / "key").write_text(pair[0])
    (tmp_path / "certificate").write_text(pair[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    open_sockets = []

    def serve(postgres=b""):
        listener = socket.create_server(("127.0.0.1", 0))
        open_sockets.append(listener)

        def answer():
            plain, _address = listener.accept()
            with plain:
                if postgres:
                    assert plain.recv(8) == b"\0\0\0\x08\x04\xd2\x16\x2f"
                    plain.sendall(postgres)
                try:
                    context.wrap_socket(plain, server_side=True).close()
                except OSError:
                    # The client has seen enough.
                    pass

        threading.Thread(target=answer, daemon=True).start()
        return listener.getsockname()[1]

    yield serve
    for each in open_sockets:
        each.close()


@pytest.fixture(name="settings")
def fixture_settings(tmp_path):
    path = tmp_path / "certificates.json"
    path.write_text(json.dumps({"sites": {"app": [NAME]}}))
    return str(path)


@pytest.fixture(name="units")
def fixture_units(monkeypatch):
    """Answers of systemctl and journalctl; the real openssl."""
    answers, real = {}, certificates.run
    monkeypatch.setattr(certificates, "run", lambda command, text="": answers.get(command[0]) or real(command, text))

    def say(service="inactive", timer="active", result="success", loaded="loaded", journal=""):
        block = "LoadState=%s\nActiveState=%s\nResult=%s\nInactiveEnterTimestampMonotonic=1000000\n"
        text = "Id=certbot.service\n%s\nId=certbot.timer\n%s" % (block % (loaded, service, result), block % ("loaded", timer, "success"))
        answers.update(systemctl=(0, text), journalctl=(0, journal))

    say()
    return say


def test_what_nginx_serves_counts(settings, serve, units):
    found = certificates.look(settings, port=serve())
    assert [each["name"] for each in found["names"]] == [NAME]
    assert YEAR - 86400 <= found["names"][0]["left"] <= found["names"][0]["lifetime"] == YEAR + 86400
    assert "problem" not in found["names"][0]
    assert found["renewal"]["failed"] is False and found["renewal"]["age"] > 0


def test_a_placeholder_is_no_certificate(monkeypatch):
    said = "notBefore=Jun  1 12:00:00 2026 GMT\nnotAfter=May 29 12:00:00 2036 GMT\nsubject=CN = placeholder\n"
    monkeypatch.setattr(certificates, "run", lambda command, text="": (0, said))
    assert "placeholder that nobody trusts" in certificates.dates("PEM")["problem"]


def test_the_certificate_of_another_name_is_none_of_this_one(pair, settings, serve, units, tmp_path):
    """Such as that of a site's former name, until there is one for the new name."""
    (tmp_path / "certificates.json").write_text(json.dumps({"sites": {"app": ["new.example.org"]}}))
    (found,) = certificates.look(settings, port=serve())["names"]
    assert found["problem"] == "it has none yet, and is served with the one of app.example.org"
    assert "problem" not in certificates.dates(pair[1], name="APP.example.org")
    wildcard = tls_certificate(pair[0], "*.example.org", 1)
    assert "problem" not in certificates.dates(wildcard, name="new.example.org")
    assert "problem" in certificates.dates(wildcard, name="a.new.example.org")


def test_a_name_that_nginx_does_not_serve(settings, units):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        found = certificates.look(settings, port=unused.getsockname()[1])
    assert found["names"] == [{"name": NAME, "problem": "nginx does not serve it: Connection refused"}]


def test_a_droplet_without_sites_has_none(tmp_path):
    assert certificates.look(str(tmp_path / "none")) is None


def test_a_renewal_that_failed_says_why(units):
    units(service="failed", result="exit-code", journal="Saving log\nFailed to renew certificate app with error: no such host\n1 renew failure(s)\n")
    found = certificates.last_run("certbot.service", "certbot.timer")
    assert (found["failed"], found["message"]) == (True, "Failed to renew certificate app with error: no such host")
    units(service="failed", result="timeout")
    assert certificates.last_run("certbot.service")["message"] == "its result is timeout"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"timer": "inactive"}, "certbot.timer is not active, so nothing starts it: run site.yml"),
        ({"loaded": "not-found"}, "there is no unit certbot.service"),
    ],
)
def test_a_renewal_that_cannot_run(units, changes, problem):
    units(**changes)
    assert certificates.last_run("certbot.service", "certbot.timer")["problem"] == problem


def test_the_certificate_of_postgres_is_verified(serve, pair):
    found = certificates.of_postgres("127.0.0.1:%d" % serve(b"S"), NAME, pair[1], 5)
    assert YEAR - 86400 <= found["left"] <= found["lifetime"] == YEAR + 86400
    other = tls_certificate(tls_key(), NAME, 1)
    assert "certificate not trusted" in certificates.of_postgres("127.0.0.1:%d" % serve(b"S"), NAME, other, 5)["error"]
    assert "certificate not trusted" in certificates.of_postgres("127.0.0.1:%d" % serve(b"S"), "other.example.org", pair[1], 5)["error"]
    assert certificates.of_postgres("127.0.0.1:%d" % serve(b"N"), NAME, pair[1], 5) == {"error": "it speaks no TLS"}
