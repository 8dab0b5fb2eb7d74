# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong for weeks without a user who notices: certificates that are not renewed, and a container that crashes now and then."""

from __future__ import annotations

import datetime
import json
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import lab
from tests.support.deployment import variables

DROP_IN = "/run/systemd/system/certbot.service.d/test.conf"
FAILS = "[Service]\nExecStart=\nExecStart=/bin/sh -c 'echo Failed to renew certificate app with error: no such host; exit 1'\n"


@pytest.fixture
def failing_renewal(droplet):
    """certbot's unit fails as it does when an authority refuses a name."""
    droplet.check_output("mkdir -p %s", DROP_IN.rpartition("/")[0])
    droplet.check_output("printf '%%s' %s > %s && systemctl daemon-reload", FAILS, DROP_IN)
    assert droplet.run("systemctl start certbot.service").rc != 0
    yield
    droplet.check_output("rm %s && systemctl daemon-reload && systemctl reset-failed certbot.service", DROP_IN)


@pytest.mark.nightly
def test_a_renewal_that_failed_is_told(droplet, failing_renewal):
    run = lab.playbook("playbooks/verify.yml")
    assert run.status != 0
    assert "Failed to renew certificate app with error: no such host" in run.output
    assert "Failed to renew certificate app with error: no such host" in lab.playbook("playbooks/status.yml").output


def test_status_says_how_long_certificates_are_good(droplet):
    output = lab.playbook("playbooks/status.yml").output
    assert "Certificates: " in output and " days left" in output


def short_certificate(names):
    """Key and certificate that expire within the day, in PEM format."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=89))
    builder = builder.not_valid_after(now + datetime.timedelta(hours=20))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private.decode(), builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
def last_day(droplet, authority):
    """A site whose certificate is about to expire, while the authority cannot be reached; its live folder."""
    settings = json.loads(droplet.check_output("cat /etc/litefarm/nginx/certificates.json"))
    site, names = next(iter(settings["sites"].items()))
    live = f"/etc/letsencrypt/live/{site}"
    key, certificate = short_certificate(names)
    authority.cut_off()
    droplet.check_output("cp -a /etc/letsencrypt /root/letsencrypt.test")
    droplet.check_output("printf '%%s' %s > %s && printf '%%s' %s > %s", key, f"{live}/privkey.pem", certificate, f"{live}/fullchain.pem")
    droplet.check_output("/usr/local/sbin/litefarm-certificates --reload")
    yield names[0]
    droplet.check_output("rm -rf /etc/letsencrypt && mv /root/letsencrypt.test /etc/letsencrypt")
    droplet.check_output("/usr/local/sbin/litefarm-certificates --reload")


@pytest.mark.nightly
def test_a_certificate_on_its_last_day_stops_no_release(droplet, last_day):
    run = lab.playbook("site.yml", *variables(force=True))
    assert run.status == 0, run.reasons
    # Ansible wraps what it shows.
    output = " ".join(run.output.split())
    assert f"The certificate of {last_day}" in output and "is not renewed" in output, output
    assert f"The certificate of {last_day} is not renewed" in lab.playbook("playbooks/status.yml").output


@pytest.mark.nightly
def test_a_container_that_crashed_twice_in_an_hour_is_told(droplet):
    def restarts():
        return droplet.check_output("docker inspect -f '{{.RestartCount}} {{.State.Running}}' webapp")

    droplet.check_output("docker restart webapp")
    for count in (1, 2):
        droplet.check_output("kill -9 $(docker inspect -f '{{.State.Pid}}' webapp)")
        deadline = time.monotonic() + 60
        while restarts() != f"{count} true":
            assert time.monotonic() < deadline
            time.sleep(0.2)
    run = lab.playbook("playbooks/verify.yml")
    assert run.status != 0
    assert "2 restarts, 2 in the last hour: docker logs --since 1h webapp says why" in run.output
    assert "webapp on litefarmapp was restarted 2 times in the last hour" in lab.playbook("playbooks/status.yml").output
    # The engine counts anew.
    droplet.check_output("docker restart webapp")
    assert "in the last hour" not in lab.playbook("playbooks/verify.yml").output
