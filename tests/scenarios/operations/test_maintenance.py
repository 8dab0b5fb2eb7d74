# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance: users are told, programs are told, the scheduler begins nothing, and all that waited is done afterwards."""

from __future__ import annotations

import http.client
import json
import re
import time

import pytest

from tests.support import lab
from tests.support.farm import FARM, USER, Farm, token
from tests.support.pictures import form, png

APP, API, IMAGES = "app.litefarm.org", "api.app.litefarm.org", "image.litefarm.org"
MESSAGE = 'We are back at 14:00 UTC, "probably".'
CHALLENGE = "/.well-known/acme-challenge"
HEALTH = "/.well-known/litefarm-health"
# What a browser asks before the webapp's page may send a request with these headers.
PREFLIGHT = {
    "Origin": f"https://{APP}",
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization,farm_id,user_id",
}
STREAM = "/notification_user/subscribe"

# Asks the API on its droplet, past its nginx: users cannot while there is maintenance. The token comes in by standard input.
PAST_THE_EDGE = """
import json, re, sys, urllib.request
order = json.load(sys.stdin)
port = re.search(r"server 127.0.0.1:(\\d+)", open("/etc/nginx/upstreams.d/api.conf").read())[1]
request = urllib.request.Request("http://127.0.0.1:%s%s" % (port, order["path"]), order["body"].encode(), order["headers"])
print(urllib.request.urlopen(request, timeout=20).status)
"""


def maintenance(*options):
    run = lab.playbook("playbooks/maintenance.yml", *options)
    assert run.status == 0, run.reasons
    return run


def request_export():
    """Asks for an export past nginx; the status of the answer."""
    bearer = token(lab.vault("production")["vault_jwt_secret"], user_id=USER)
    order = {
        "path": "/organic_certifier_survey/request_export",
        "headers": {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json", "user_id": USER, "farm_id": FARM},
        "body": json.dumps({"farm_id": FARM, "from_date": "2026-01-01", "to_date": "2026-12-31"}),
    }
    return int(lab.over_ssh("litefarmapp", ["python3", "-c", PAST_THE_EDGE], json.dumps(order)))


@pytest.fixture(scope="class")
def closed():
    """There is maintenance while the tests of a class run, and none afterwards, whatever they find."""
    yield maintenance("-e", json.dumps({"state": "on", "message": MESSAGE}))
    maintenance("-e", "state=off")


def test_a_state_that_does_not_exist_is_refused_and_changes_nothing(ask):
    run = lab.playbook("playbooks/maintenance.yml", "-e", "state=maybe")
    assert run.status != 0
    assert "it has to be on or off: nothing was changed" in " ".join(run.output.split())
    assert run.total("changed") == 0
    assert ask(API).status == 200


def test_a_check_run_closes_nothing(ask):
    assert maintenance("--check", "-e", "state=on").total("changed") > 0
    assert ask(API).status == 200


@pytest.mark.usefixtures("closed")
class TestClosed:
    def test_people_get_a_page(self, ask):
        for name, path in ((APP, "/"), (APP, "/farm_selection"), (API, "/login/user/nobody@example.org")):
            answer = ask(name, path, headers={"Accept": "text/html,*/*"})
            assert answer.status == 503
            assert answer.getheader("Content-Type").startswith("text/html")
            assert int(answer.getheader("Retry-After")) > 0
            assert answer.getheader("Cache-Control") == "no-store"
            assert "We are back at 14:00 UTC, &#34;probably&#34;." in answer.text

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
    def test_programs_get_json_that_the_page_of_the_webapp_may_read(self, ask, method):
        answer = ask(API, "/user", method=method, body=None if method == "GET" else b"{}")
        assert answer.status == 503
        assert int(answer.getheader("Retry-After")) > 0
        assert json.loads(answer.text) == {"error": "maintenance", "message": MESSAGE}
        assert answer.getheader("Access-Control-Allow-Origin") == f"https://{APP}"
        assert "Retry-After" in answer.getheader("Access-Control-Expose-Headers").split(", ")

    def test_a_browser_may_ask_for_that_answer_with_the_headers_of_the_webapp(self, ask):
        answer = ask(API, "/user", method="OPTIONS", headers=PREFLIGHT)
        assert (answer.status, answer.content) == (204, b"")
        assert answer.getheader("Access-Control-Allow-Origin") == f"https://{APP}"
        assert answer.getheader("Access-Control-Allow-Headers") == PREFLIGHT["Access-Control-Request-Headers"]
        assert "PATCH" in answer.getheader("Access-Control-Allow-Methods").split(", ")

    def test_event_streams_are_closed_too(self, ask):
        assert ask(API, STREAM).status == 503

    def test_a_browser_tries_again_to_open_its_event_stream(self, ask):
        answer = ask(API, STREAM, headers={"Origin": f"https://{APP}", "Accept": "text/event-stream"})
        # After any other status a browser gives up for good.
        assert answer.status == 200
        assert answer.getheader("Content-Type") == "text/event-stream"
        assert answer.getheader("Access-Control-Allow-Origin") == f"https://{APP}"
        assert re.fullmatch(r"retry: \d+\n\n", answer.text)

    def test_health_checks_are_answered_by_the_service_itself(self, ask):
        assert (ask(API, HEALTH).status, ask(API, HEALTH).text) == (200, "OK")
        assert "<html" in ask(APP, HEALTH).text

    def test_the_authority_is_answered(self, names):
        lab.connect("litefarmapp").check_output(f"echo proof > /var/www/litefarm-acme{CHALLENGE}/maintenance")
        try:
            for name in (APP, API):
                connection = http.client.HTTPConnection(names[name], timeout=10)
                connection.request("GET", f"{CHALLENGE}/maintenance", headers={"Host": name})
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (200, b"proof\n")
        finally:
            lab.connect("litefarmapp").check_output(f"rm /var/www/litefarm-acme{CHALLENGE}/maintenance")

    def test_pictures_are_made_smaller_all_the_same(self, ask):
        headers, body = form(png(64, 64), "picture.png")
        key = {"API-Key": lab.vault("production")["vault_imaginary_token"]}
        assert ask(IMAGES, "/thumbnail?width=16&type=webp", method="POST", body=body, headers={**headers, **key}).status == 200

    def test_it_is_said_without_asking_for_anything(self):
        run = maintenance()
        assert "web and API: maintenance" in run.output
        assert "all queues are paused" in run.output
        assert run.total("changed") == 0

    def test_once_more_changes_nothing(self):
        assert maintenance("-e", json.dumps({"state": "on", "message": MESSAGE})).total("changed") == 0


def test_a_browser_gets_the_answers_of_a_droplet_whose_api_is_down(ask):
    droplet = lab.connect("litefarmapp")
    droplet.check_output("docker stop api")
    try:
        assert ask(API, "/user", method="OPTIONS", headers=PREFLIGHT).status == 204
        answer = ask(API, "/user", headers={"Origin": f"https://{APP}"})
        assert answer.status == 503
        assert json.loads(answer.text)["retry_after"] == int(answer.getheader("Retry-After"))
        assert answer.getheader("Access-Control-Allow-Origin") == f"https://{APP}"
        assert "Retry-After" in answer.getheader("Access-Control-Expose-Headers").split(", ")
        assert ask(API, STREAM, headers={"Accept": "text/event-stream"}).text.startswith("retry: ")
        assert ask(API, STREAM).status == 503
    finally:
        droplet.check_output("docker start api")
    for _ in range(60):
        if ask(API).status == 200:
            break
        time.sleep(0.5)
    assert ask(API).status == 200


def test_an_export_that_is_asked_for_meanwhile_waits_also_over_a_restart_and_arrives_afterwards(ask):
    farm = Farm("production")
    earlier = farm.exports()
    try:
        assert maintenance("-e", "state=on").total("changed") == 2
        assert request_export() == 200
        scheduler = lab.connect("litefarm-imaginary")
        scheduler.check_output("docker restart export_scheduler")
        scheduler.check_output("systemctl restart nginx")
        lab.connect("litefarmapp").check_output("systemctl restart nginx")
        time.sleep(10)
        assert farm.exports() == earlier
        assert ask(APP).status == 503
    finally:
        opened = maintenance("-e", "state=off")
    assert opened.total("changed") == 2
    farm.wait_for_exports(earlier, 1, seconds=420)
    assert ask(APP).status == ask(API).status == 200
    assert maintenance("-e", "state=off").total("changed") == 0
    assert "all queues work" in maintenance().output


def test_site_yml_leaves_maintenance_as_it_is(ask):
    try:
        maintenance("-e", "state=on")
        run = lab.playbook("site.yml")
        assert run.status == 0, run.reasons
        assert run.total("changed") == 0, run.reasons
        assert ask(API).status == 503
    finally:
        maintenance("-e", "state=off")
    assert ask(API).status == 200
