# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two droplets serve one API under one name, and both the same release."""

from __future__ import annotations

import json

import pytest

from tests.support import lab
from tests.support.https import Connection

API = "api.app.litefarm.org"


def instance_on(droplet):
    """What the API's container on a droplet calls itself."""
    return lab.connect(droplet).check_output("docker inspect -f '{{.Config.Hostname}}' api")


def test_both_droplets_answer_under_the_one_name(ask):
    answers = [ask(API, "/version") for _ in range(20)]
    assert {answer.status for answer in answers} == {200}
    assert {json.loads(answer.text)["instance"] for answer in answers} == {instance_on(droplet) for droplet in lab.hosts("scaled")["api"]}


def test_both_run_the_same_image():
    images = {lab.connect(droplet).check_output("docker inspect -f '{{.Image}}' api") for droplet in lab.hosts("scaled")["api"]}
    assert len(images) == 1


def test_the_droplet_behind_serves_no_public_name(ask, ca_file):
    assert ask(API).status == 200
    behind = lab.status()["droplets"]["litefarmapi"]
    assert behind["host_names"] == []
    # Whoever asks it directly gets no certificate, and so no answer.
    connection = Connection(API, behind["public_address"], ca_file)
    with pytest.raises(OSError):
        connection.request("GET", "/")
        connection.getresponse()
