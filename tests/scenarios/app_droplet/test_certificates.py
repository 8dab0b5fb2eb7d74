# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate that cannot be had takes none from another name, and the droplet asks again by itself."""

from __future__ import annotations

import datetime
import json
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import lab
from tests.support.deployment import variables
from tests.support.load import Load

SETTINGS = lab.settings("production")
APP, API = SETTINGS["litefarm_app_host_name"], SETTINGS["litefarm_api_host_name"]
NOWHERE = "nowhere.litefarm.org"
PROGRAM = "/usr/local/sbin/litefarm-certificates"


def year_long(name):
    """A certificate that ends later than certbot's, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=365))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {"certificate": builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode(), "key": private.decode()}


def served(name, address):
    """The certificate that a client gets, trusted or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((address, 443), timeout=10) as plain, context.wrap_socket(plain, server_hostname=name) as secure:
        return ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True))


def test_a_changed_name_without_a_certificate_and_an_imported_certificate(droplet, ask, names, ca_file):
    """In one run, because each takes its time: the API gets a name that nobody knows, and the webapp a certificate from elsewhere."""
    imported = year_long(APP)
    change = {"litefarm_site_options": {"api": {"host_names": [NOWHERE]}}, "nginx_imported_certificates": {"webapp": imported}}
    with Load([f"https://{API}/version"], names, ca_file, rate=20) as load:
        run = lab.playbook("site.yml", *variables(force=True, **change))
        report = load.stop()
    end = " ".join(run.output[run.output.rindex("TASK [Report names without a certificate]") :].split())
    assert run.status != 0
    assert f"No certificate for {NOWHERE} (site api), which is served with its previous one meanwhile, and so is {API}: " in end, end
    # The former name goes on as if nothing had happened, and droplets behind nginx know the new one.
    assert not report.failures, report
    assert json.loads(ask(API, "/echo_headers").text)["host"] == NOWHERE
    for origin, allowed in ((f"https://{API}", f"https://{API}"), (f"https://{APP}", f"https://{APP}"), ("https://evil.example.org", f"https://{APP}")):
        assert ask(API, headers={"Origin": origin}).getheader("Access-Control-Allow-Origin") == allowed
    status = " ".join(lab.playbook("playbooks/status.yml").output.split())
    assert f"{NOWHERE} has no good certificate: it has none yet, and is served with the one of {API}." in status, status
    # The imported certificate.
    assert served(APP, names[APP]).split() == imported["certificate"].split()
    assert droplet.check_output("stat -c '%a %U' /etc/litefarm/nginx/imported/webapp.pem") == "600 root"
    assert imported["key"].splitlines()[1] not in run.output
    # And back.
    run = lab.playbook("site.yml", *variables(force=True))
    assert run.status == 0, run.reasons
    assert ask(API).text == "OK" and "<html" in ask(APP).text
    assert json.loads(ask(API, "/echo_headers").text)["host"] == API
    assert droplet.check_output("ls /etc/nginx/former_names.d /etc/litefarm/nginx/imported | grep -v : | tr -d '\\n'") == ""
    assert not droplet.file("/etc/litefarm/tls/.waiting.json").exists


@pytest.fixture(name="lost")
def fixture_lost(droplet, authority, names):
    """The API's site has no certificate, and the authority cannot be reached. The droplet knows its own name, which only the lab's authority does."""
    authority.cut_off()
    droplet.check_output("cp -a /etc/letsencrypt /root/letsencrypt.test && cp /etc/hosts /root/hosts.test")
    droplet.check_output("echo %s %s >> /etc/hosts", names[API], API)
    droplet.check_output("cd /etc/letsencrypt && rm -r live/api archive/api renewal/api.conf")
    yield
    # The engine of the lab holds this file, so that it can be written, and not replaced.
    droplet.check_output("cat /root/hosts.test > /etc/hosts")
    authority.bring_back()
    droplet.check_output("rm -rf /etc/letsencrypt && mv /root/letsencrypt.test /etc/letsencrypt")
    droplet.check_output(PROGRAM)


def test_the_timer_obtains_what_could_not_be_had(droplet, ask, authority, lost):
    waiting = "/etc/litefarm/tls/.waiting.json"
    said = droplet.check_output(PROGRAM)
    assert f"problem: No certificate for {API} (site api), which is served with a placeholder that nobody trusts meanwhile: " in said, said
    assert "The droplet asks again by itself" in said, said
    with pytest.raises(ssl.SSLError):
        ask(API)
    failures = json.loads(droplet.check_output(f"cat {waiting}"))
    # The name leads to this droplet, so the pause is a quarter of an hour.
    assert [(failure["validated"], failure["here"]) for failure in failures[API]] == [(False, True)]
    authority.bring_back()
    droplet.check_output("systemctl start litefarm-certificates.service")
    assert not droplet.file("/etc/letsencrypt/live/api").exists
    older = f"import json; p = '{waiting}'; d = json.load(open(p)); [f.update(at=f['at'] - 901) for v in d.values() for f in v]; json.dump(d, open(p, 'w'))"
    droplet.check_output("python3 -c %s", older)
    droplet.check_output("systemctl start litefarm-certificates.service")
    assert ask(API).text == "OK", droplet.check_output("journalctl -u litefarm-certificates -n 20 --no-pager")
    assert not droplet.file(waiting).exists
