# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sites as the world sees them: over TLS with certificates from the ACME authority."""

from __future__ import annotations

import http.client
import json
import socket
import ssl

import pytest

from tests.support import lab
from tests.support.https import Connection

pytestmark = pytest.mark.group("api")

SETTINGS = lab.settings(lab.environments()[0])
APP, API = SETTINGS["litefarm_app_host_name"], SETTINGS["litefarm_api_host_name"]


def test_the_page_and_the_api_answer_over_trusted_tls(ask):
    page = ask(APP)
    assert page.status == 200
    assert "<html" in page.text
    assert ask(API).text == "OK"


def test_the_api_reaches_its_database(ask):
    answer = ask(API, "/login/user/nobody@example.org")
    assert answer.status == 200
    assert json.loads(answer.text)["exists"] is False


def test_plain_http_is_sent_to_https(names):
    connection = http.client.HTTPConnection(names[APP], timeout=10)
    connection.request("GET", "/farm?x=1", headers={"Host": APP})
    answer = connection.getresponse()
    assert answer.status in (301, 308)
    assert answer.getheader("Location") == f"https://{APP}/farm?x=1"


def test_browsers_are_told_to_stay_on_https(ask):
    for name in (APP, API):
        assert "max-age=" in ask(name).getheader("Strict-Transport-Security")


def test_http2_and_modern_tls_only(names, ca_file):
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection((names[APP], 443), 10) as plain, context.wrap_socket(plain, server_hostname=APP) as tls:
        assert tls.selected_alpn_protocol() == "h2"
        assert tls.version() in ("TLSv1.2", "TLSv1.3")


def test_an_unknown_host_name_gets_no_answer(names):
    connection = http.client.HTTPConnection(names[APP], timeout=10)
    connection.request("GET", "/", headers={"Host": "elsewhere.example.org"})
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        connection.getresponse()


def test_cache_rules_let_a_release_be_seen_at_once(ask):
    page = ask(APP)
    assert "max-age=0" in page.getheader("Cache-Control")
    asset = page.text.split('src="')[1].split('"')[0]
    assert asset.startswith("/assets/")
    assert "immutable" in ask(APP, asset).getheader("Cache-Control")
    assert ask(APP, "/assets/missing-0000.js").status == 404
    assert ask(APP, "/farms/any/deep/link").status == 200
    assert ask(APP, asset + ".map").status == 404


def test_forwarded_headers_are_overwritten(ask):
    seen = json.loads(ask(API, "/echo_headers", headers={"X-Forwarded-For": "198.51.100.66", "farm_id": "7"}).text)
    assert "198.51.100.66" not in seen["x-forwarded-for"]
    assert seen["x-forwarded-proto"] == "https"
    assert seen["farm_id"] == "7"


def test_a_body_over_the_limit_is_refused_by_nginx(ask):
    answer = ask(API, "/", method="POST", body=b"x" * (21 * 1024 * 1024))
    assert answer.status == 413
    assert answer.getheader("Access-Control-Allow-Origin") == f"https://{APP}"


def test_the_webapps_page_may_use_the_api_and_each_header_about_that_comes_once(ask):
    wanted = {"Origin": f"https://{APP}", "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization,farm_id,user_id"}
    preflight = ask(API, "/user", method="OPTIONS", headers=wanted)
    assert preflight.status == 204
    assert preflight.getheader("Access-Control-Allow-Headers") == wanted["Access-Control-Request-Headers"]
    answer = ask(API, headers={"Origin": f"https://{APP}"})
    for each in (preflight, answer):
        names = [name.lower() for name, _value in each.getheaders() if name.lower().startswith("access-control-")]
        assert len(names) == len(set(names)), names
        assert each.getheader("Access-Control-Allow-Origin") == f"https://{APP}"
    assert answer.getheader("Access-Control-Expose-Headers") == "Retry-After"


def test_events_arrive_while_the_stream_is_open(names, ca_file):
    connection = Connection(API, names[API], ca_file)
    connection.request("GET", "/notification_user/subscribe")
    answer = connection.getresponse()
    assert answer.getheader("Content-Type").startswith("text/event-stream")
    assert answer.readline().strip()
