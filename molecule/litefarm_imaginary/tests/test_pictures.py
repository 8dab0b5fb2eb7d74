# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures made smaller under image.litefarm.org: for whom, and what happens to what is none."""

from __future__ import annotations

import secrets

import pytest

from tests.support import lab
from tests.support.pictures import form, png, webp_width

NAME = "image.litefarm.org"
SMALLER = "/thumbnail?width=300&type=webp"


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
