# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures made smaller under image.litefarm.org: for whom, and what happens to what is none."""

from __future__ import annotations

import concurrent.futures
import json
import re
import secrets
import time

import pytest

from tests.support import lab
from tests.support.deployment import variables
from tests.support.https import Connection
from tests.support.pictures import form, plain_png, png, webp_width

pytestmark = pytest.mark.group("imaginary")

NAME = "image.litefarm.org"
SMALLER = "/thumbnail?width=300&type=webp"
IMAGE = "h2non/imaginary:1.2.4"
USED = "docker inspect -f '{{.Image}}' imaginary"


@pytest.fixture(scope="module")
def keys():
    vault = lab.vault("production")
    return {"production": vault["vault_imaginary_token"], "beta": vault["vault_imaginary_token_beta"]}


@pytest.fixture
def post(ask):
    """Sends a file to be made smaller."""

    def send(content, path=SMALLER, **headers):
        kind, body = form(content, "picture.png")
        return ask(NAME, path, method="POST", body=body, headers={**kind, **headers})

    return send


@pytest.mark.parametrize("environment_name", ["production", "beta"])
def test_each_environment_has_a_key(post, keys, environment_name):
    for answer in (post(png(), **{"API-Key": keys[environment_name]}), post(png(), f"{SMALLER}&key={keys[environment_name]}")):
        assert answer.status == 200, answer.text
        assert webp_width(answer.content) == 300


def test_other_keys_are_refused(post, keys):
    assert post(png()).status == 401
    for wrong in ("not-a-key-of-anybody-at-all", keys["production"].swapcase(), keys["production"][:-1], keys["production"] + "x"):
        assert post(png(), **{"API-Key": wrong}).status == 401
        assert post(png(), f"{SMALLER}&key={wrong}").status == 401


def test_a_picture_that_is_none_is_refused(post, keys):
    answer = post(b"this is no picture, whatever its name says", **{"API-Key": keys["production"]})
    assert 400 <= answer.status < 500
    assert post(png(), **{"API-Key": keys["production"]}).status == 200


def test_a_picture_of_25_mb_is_refused(post, keys):
    assert post(b"x" * 25 * 1024 * 1024, **{"API-Key": keys["production"]}).status == 413


@pytest.mark.parametrize("path", ["/thumbnail?width=10&url=http://127.0.0.1:8081/nginx-status", "/watermarkimage?image=http://127.0.0.1:8081/", "/form", "/health"])
def test_nothing_is_fetched_for_anybody(ask, keys, path):
    assert ask(NAME, path, headers={"API-Key": keys["production"]}).status >= 400


def test_a_key_is_revoked_without_a_restart(droplet, ask, post, keys):
    started = "docker inspect -f '{{.State.StartedAt}}' imaginary; systemctl show nginx -p MainPID"
    before = droplet.check_output(started)
    run = lab.playbook("site.yml", "-e", f"vault_imaginary_token_beta={secrets.token_hex(32)}")
    assert run.status == 0, run.reasons
    assert post(png(), **{"API-Key": keys["beta"]}).status == 401
    assert post(png(), **{"API-Key": keys["production"]}).status == 200
    assert lab.playbook("site.yml").status == 0
    assert post(png(), **{"API-Key": keys["beta"]}).status == 200
    assert droplet.check_output(started) == before


def test_no_log_has_a_key_and_each_line_has_its_name(droplet, post, keys):
    post(png(), f"{SMALLER}&key={keys['beta']}")
    log = droplet.check_output("cat /var/log/nginx/access.log")
    assert '"key":"beta"' in log.splitlines()[-1]
    assert "width=300" not in log


@pytest.fixture
def flood(names, ca_file):
    """flood(key, 8): pictures of 30 megapixels at once, as a future for each that gives the answer and the seconds it took."""
    kind, body = form(plain_png(), "large.png")
    pools = []

    def one(key):
        began, connection = time.monotonic(), Connection(NAME, names[NAME], ca_file, timeout=120)
        connection.request("POST", SMALLER, body=body, headers={**kind, "API-Key": key})
        answer = connection.getresponse()
        answer.content, answer.seconds = answer.read(), time.monotonic() - began
        return answer

    def send(key, count):
        pools.append(concurrent.futures.ThreadPoolExecutor(count))
        return [pools[-1].submit(one, key) for _ in range(count)]

    yield send
    for pool in pools:
        pool.shutdown()


def started(droplet):
    return droplet.check_output("docker inspect -f '{{.State.StartedAt}} {{.RestartCount}}' imaginary")


def test_eight_pictures_of_30_megapixels_at_once_are_all_made_smaller(droplet, flood, keys, record_property):
    before = started(droplet)
    answers = [each.result() for each in flood(keys["production"], 8)]
    record_property("eight pictures of 30 megapixels", f"{[answer.status for answer in answers]}, {max(answer.seconds for answer in answers):.1f} s")
    assert [answer.status for answer in answers] == [200] * 8
    assert {webp_width(answer.content) for answer in answers} == {300}
    assert started(droplet) == before


def test_one_callers_flood_delays_another_caller_by_one_picture(droplet, flood, keys, record_property):
    before = started(droplet)
    beta = flood(keys["beta"], 24)
    time.sleep(1)
    (production,) = flood(keys["production"], 1)
    answer = production.result()
    left = sum(not each.done() for each in beta)
    slowest = max(each.result().seconds for each in beta)
    record_property("production beside a flood of beta", f"{answer.seconds:.1f} s, {left} of 24 of beta's were still waiting, the slowest for {slowest:.1f} s")
    assert answer.status == 200
    # Without turns it would have been the last one.
    assert left >= 8
    assert {each.result().status for each in beta} <= {200, 503}
    assert started(droplet) == before


@pytest.mark.nightly
def test_a_picture_that_has_waited_for_too_long_is_to_come_again(droplet, flood, keys):
    before = started(droplet)
    site(*variables(nginx_queue_timeout=1, litefarm_concurrent_pictures=1))
    try:
        answers = [each.result() for each in flood(keys["production"], 12)]
        told = " ".join(lab.playbook("playbooks/status.yml").output.split())
    finally:
        site()
    refused = [answer for answer in answers if answer.status != 200]
    assert refused and len(refused) < 12
    # Those of an earlier test may be among them.
    assert int(re.search(r"(\d+) requests to imaginary were refused in the last hour", told)[1]) >= len(refused)
    for answer in refused:
        assert (answer.status, json.loads(answer.content)["error"]) == (503, "busy")
        assert int(answer.headers["Retry-After"]) > 0
    assert started(droplet) == before
    assert site().total("changed") == 0


@pytest.mark.nightly
def test_pictures_are_made_without_haproxy_too(droplet, post, keys):
    droplet.check_output("systemctl stop haproxy")
    try:
        assert post(png(), **{"API-Key": keys["production"]}).status == 200
        assert "HAProxy does not answer" in lab.playbook("playbooks/status.yml").output
    finally:
        # Declared means live.
        assert site().total("changed") == 1
    assert droplet.check_output("systemctl is-active haproxy") == "active"
    assert post(png(), **{"API-Key": keys["production"]}).status == 200


def test_only_nginx_reaches_haproxy(droplet):
    listening = droplet.check_output("ss -Hltnp")
    assert "haproxy" not in listening
    assert [line for line in listening.splitlines() if ":15098 " in line and "127.0.0.1:15098 " not in line] == []


def site(*arguments):
    run = lab.playbook("site.yml", *arguments)
    assert run.status == 0, run.reasons
    return run


def test_the_registry_is_asked_through_the_engine(droplet):
    output = lab.playbook("playbooks/status.yml").output
    assert "imaginary:1.2.4 " in output and f"Whether there is a newer {IMAGE} is not known" not in output


@pytest.mark.nightly
def test_what_the_registry_has_replaces_what_was_pulled_once(droplet):
    ours = droplet.check_output(USED)
    droplet.check_output(f"printf 'FROM {IMAGE}\\nLABEL test=older\\n' | docker build -q -t {IMAGE} -")
    site()
    older = droplet.check_output(USED)
    assert older != ours
    # Without the option nobody asks.
    assert site().total("changed") == 0
    assert site("-e", "litefarm_pull_images=true", "--check").total("changed") == 1
    site("-e", "litefarm_pull_images=true")
    assert droplet.check_output(USED) == ours
    assert site("-e", "litefarm_pull_images=true").total("changed") == 0
