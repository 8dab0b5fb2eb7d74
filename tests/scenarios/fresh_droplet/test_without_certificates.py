# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A droplet is prepared whose names do not lead to it yet. Runs after the other tests of this folder; the scenario goes on from what it leaves behind."""

from __future__ import annotations

import socket
import ssl

import pytest

from tests.support import lab
from tests.support.deployment import variables

APP = lab.settings("production")["litefarm_app_host_name"]
# Names that nobody knows: one beside a good one, and one alone.
NOWHERE = "nowhere.app.litefarm.org"
SITES = {"webapp": {"host_names": [APP, "nowhere.litefarm.org"]}, "api": {"host_names": [NOWHERE]}}


@pytest.fixture(scope="module")
def first_run():
    return lab.playbook("site.yml", *variables(litefarm_site_options=SITES))


def test_the_run_fails_as_its_last_task_and_says_for_which_names(first_run):
    assert first_run.status != 0
    end = " ".join(first_run.output[first_run.output.rindex("TASK [Report names without a certificate]") :].split())
    assert f"No certificate for {APP}, nowhere.litefarm.org (site webapp), which is served with one for {APP} meanwhile: " in end, end
    assert f"No certificate for {NOWHERE} (site api), which is served with a placeholder that nobody trusts meanwhile: " in end, end
    assert "Correct the DNS records (A and AAAA) and port 80 of this droplet" in end, end
    assert end.count("fatal: ") == 1, end


def test_everything_else_is_made_and_released(first_run, droplet, ask, names):
    running = droplet.check_output("docker ps --format '{{.Names}}'").split()
    assert {"postgres", "api", "webapp"} <= set(running), first_run.reasons
    assert "production runs" in first_run.output
    assert "<html" in ask(APP).text
    # The API, under a name without a certificate.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((names[APP], 443), timeout=10) as plain, context.wrap_socket(plain, server_hostname=NOWHERE) as secure:
        secure.sendall(f"GET / HTTP/1.1\r\nHost: {NOWHERE}\r\nConnection: close\r\n\r\n".encode())
        assert secure.recv(100).startswith(b"HTTP/1.1 200 ")


def test_the_droplet_asks_again_by_itself(first_run, droplet):
    assert droplet.check_output("systemctl is-active litefarm-certificates.timer") == "active"
    assert droplet.file("/etc/litefarm/tls/.waiting.json").exists
    # Not at once: the names lead nowhere.
    before = droplet.check_output("stat -c %Y /var/log/letsencrypt/letsencrypt.log")
    droplet.check_output("systemctl start litefarm-certificates.service")
    assert droplet.check_output("stat -c %Y /var/log/letsencrypt/letsencrypt.log") == before
