# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long certificates are still good: those that nginx serves, and whether certbot renews them."""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import subprocess
import time

from ansible_collections.litefarm.platform.plugins.module_utils._verification.rows import reason_of

UNIT, TIMER = "certbot.service", "certbot.timer"
# certbot renews when a third of the lifetime is left. Of a certificate that a person makes for years, a month is enough.
LEAST_PART, LEAST_SECONDS = 4, 30 * 86400
TIMEOUT = 5  # seconds
JOURNAL_LINES = 30
# PostgreSQL's message SSLRequest.
TLS_REQUEST = struct.pack(">II", 8, 80877103)


def validity(begin, end, now=None):
    """Seconds left and in all, of the dates as OpenSSL writes them."""
    begin, end = ssl.cert_time_to_seconds(begin), ssl.cert_time_to_seconds(end)
    return {"left": int(end - (time.time() if now is None else now)), "lifetime": int(end - begin)}


def least(lifetime):
    """Seconds below which a certificate should have been renewed."""
    return min(lifetime // LEAST_PART, LEAST_SECONDS)


def run(command, text=""):
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr or done.stdout


def served(name, address="127.0.0.1", port=443):
    """The certificate, in PEM format, that this machine serves under a name, trusted or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((address, port), timeout=TIMEOUT) as plain:
        with context.wrap_socket(plain, server_hostname=name) as secure:
            return ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True))


def dates(pem, now=None, name=""):
    code, text = run(["openssl", "x509", "-noout", "-dates", "-subject", *(["-ext", "subjectAltName"] if name else [])], pem)
    fields = dict(line.partition("=")[::2] for line in text.splitlines())
    if code or "notAfter" not in fields:
        return {"problem": "it cannot be read: %s" % " ".join(text.split())}
    found = validity(fields["notBefore"], fields["notAfter"], now)
    # The subject's spaces are of the version of OpenSSL.
    if fields.get("subject", "").replace(" ", "") == "CN=placeholder":
        found["problem"] = "it has none yet, and is served with a placeholder that nobody trusts"
    elif name:
        names = [each.lower() for each in re.findall(r"DNS:([^,\s]+)", text)]
        # A wildcard stands for one label.
        if not {name.lower(), "*." + name.lower().partition(".")[2]} & set(names):
            found["problem"] = "it has none yet, and is served with the one of %s" % (", ".join(names) or "no name")
    return found


def look(settings, address="127.0.0.1", port=443, now=None):
    """What nginx serves for each name of its settings, and whether certbot's last run failed; None on a droplet without such sites."""
    try:
        with open(settings, encoding="utf-8") as file:
            sites = json.load(file)["sites"]
    except (OSError, ValueError, KeyError):
        return None
    found = []
    for name in [name for names in sites.values() for name in names]:
        try:
            found.append(dict({"name": name}, **dates(served(name, address, port), now, name)))
        except OSError as error:
            found.append({"name": name, "problem": "nginx does not serve it: %s" % reason_of(error)})
    return {"names": found, "renewal": last_run(UNIT, TIMER)} if found else None


def last_run(unit, timer=""):
    """How the last run of a systemd unit ended, and whether its timer starts the next one."""
    command = ["systemctl", "show", "--property=Id,LoadState,ActiveState,Result,InactiveEnterTimestampMonotonic"]
    code, text = run([*command, unit, *([timer] if timer else [])])
    if code:
        return {"problem": "systemd does not answer: %s" % " ".join(text.split())}
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in text.strip().split("\n\n")]
    known = {block.get("Id"): block for block in blocks}
    service = known.get(unit) or {}
    if service.get("LoadState") != "loaded":
        return {"problem": "there is no unit %s" % unit}
    ended = int(service.get("InactiveEnterTimestampMonotonic") or 0)
    found = {"failed": service["ActiveState"] == "failed", "age": int(time.monotonic() - ended / 1000000) if ended else None}
    if found["failed"]:
        found["message"] = complaint(unit) or "its result is %s" % service.get("Result")
    if timer and (known.get(timer) or {}).get("ActiveState") != "active":
        found["problem"] = "%s is not active, so nothing starts it: run site.yml" % timer
    return found


def complaint(unit):
    """The first line of the program's last words that speaks of an error, or the last one of all."""
    code, text = run(["journalctl", "--quiet", "--no-pager", "--output=cat", "--lines=%d" % JOURNAL_LINES, "_SYSTEMD_UNIT=%s" % unit])
    lines = [line.strip() for line in text.splitlines() if line.strip()] if code == 0 else []
    return next((line for line in lines if "rror" in line or "ailed" in line), lines[-1] if lines else "")


def of_postgres(address, name, ca_pem, timeout):
    """The dates of the certificate that PostgreSQL shows to its clients, after they have verified it."""
    host, _separator, port = address.rpartition(":")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=ca_pem)
        with socket.create_connection((host, int(port)), timeout=timeout) as plain:
            plain.sendall(TLS_REQUEST)
            if plain.recv(1) != b"S":
                return {"error": "it speaks no TLS"}
            with context.wrap_socket(plain, server_hostname=name) as secure:
                certificate = secure.getpeercert()
    except (OSError, ValueError) as error:
        return {"error": reason_of(error)}
    return validity(certificate["notBefore"], certificate["notAfter"])
