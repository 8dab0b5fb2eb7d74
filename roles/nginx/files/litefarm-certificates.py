# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One certificate per site of this droplet's nginx: obtained by certbot, linked, loaded.

Reads /etc/litefarm/nginx/certificates.json. A site's files are /etc/litefarm/tls/<site>/{fullchain,privkey}.pem, where
<site> is a link: to the placeholder until there is a certificate, then to certbot's live folder or to an imported one. One
link holds both files, so certificate and key change together. Names that a site had before are in
/etc/nginx/former_names.d until the site has a certificate for its new ones.

  (no option)   obtain what is missing or does not fit, link, reload; prints a line "changed: ..." for each change, "problem: ..." for each site
                without a certificate for all of its names, and "warning: ..." for one that is served well but could not be renewed
  --retry       the same for what failed before, if it is time to ask again; run by litefarm-certificates.timer
  --check       only print what would change; reads the settings from standard input, as the file may be of yesterday
  --validate    make the placeholder and links that nginx needs to start at all, then have nginx check its configuration
  --reload      after a renewal: link, reload
"""

from __future__ import annotations

import argparse
import collections
import fcntl
import hashlib
import http.client
import json
import os
import pathlib
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import time

SETTINGS = "/etc/litefarm/nginx/certificates.json"
LETSENCRYPT = "/etc/letsencrypt"
LOCK = "/run/litefarm-certificates.lock"
CHALLENGES = ".well-known/acme-challenge"
EXPIRES = "the present one has expired, or does so within a day"
DAY = 86400  # seconds
# certbot renews when a third of the lifetime is left. It takes over from an imported certificate then, or a month before its end.
RENEWED_PART, RENEWED_SECONDS = 3, 30 * DAY

# Let's Encrypt refuses a name for the rest of the hour after five failed validations. One of them is left for certbot's own renewals.
VALIDATIONS_PER_HOUR = 4
# The timer's pause after a failure, doubled with each, while the name leads to this droplet, and the one while it does not.
FIRST_PAUSE, LONGEST_PAUSE, PAUSE_ELSEWHERE = 900, 6 * 3600, 12 * 3600
REMEMBERED = DAY
ANSWER_TIMEOUT = 5  # seconds


class Error(Exception):
    """Told to the person who runs the playbook."""


def run(command, **environment):
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=dict(os.environ, LC_ALL="C.UTF-8", **environment),
        check=False,
    )
    return done.returncode, done.stdout.strip()


def resolve(name):
    """Every address of a name, A and AAAA: an authority may ask any of them, and prefers AAAA."""
    return sorted({answer[4][0] for answer in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)})


def fetch(address, name, path):
    """What an address answers under a name on port 80."""
    connection = http.client.HTTPConnection(address, 80, timeout=ANSWER_TIMEOUT)
    try:
        connection.request("GET", path, headers={"Host": name})
        return connection.getresponse().read(200).decode(errors="replace")
    finally:
        connection.close()


class Certificate(collections.namedtuple("Certificate", "names begin end")):
    """What a file has: names in small letters, and the seconds at which it begins and ends."""

    def covers(self, name):
        # A wildcard stands for one label.
        return name.lower() in self.names or "*." + name.lower().partition(".")[2] in self.names


def certificate_in(path):
    """The first certificate in a file; None if there is none that can be read."""
    _code, text = run(["openssl", "x509", "-in", str(path), "-noout", "-dates", "-ext", "subjectAltName"])
    dates = dict(re.findall(r"^(notBefore|notAfter)=(.+)$", text, re.MULTILINE))
    if len(dates) != 2:
        return None
    begin, end = (ssl.cert_time_to_seconds(dates[field].strip()) for field in ("notBefore", "notAfter"))
    return Certificate(tuple(name.lower() for name in re.findall(r"DNS:([^,\s]+)", text)), begin, end)


def has_its_key(path):
    """Whether a file with certificate and key has the key of the certificate."""
    code, wanted = run(["openssl", "x509", "-in", str(path), "-noout", "-pubkey"])
    other_code, found = run(["openssl", "pkey", "-in", str(path), "-pubout"])
    return code == other_code == 0 and wanted == found


class Certificates:
    def __init__(self, settings, letsencrypt=LETSENCRYPT, check=False, now=None):
        self.settings = settings
        self.sites = settings["sites"]
        self.tls = pathlib.Path(settings["tls_directory"])
        self.letsencrypt = pathlib.Path(letsencrypt)
        self.check = check
        self.loaded = self.tls / ".loaded.json"
        self.waiting = self.tls / ".waiting.json"
        self.former_names = pathlib.Path(settings["former_names_directory"])
        self.now = time.time() if now is None else now
        self.certificates = {}

    def live(self, site):
        return self.letsencrypt / "live" / site

    def imported_file(self, site):
        return pathlib.Path(self.settings["imported_directory"]) / (site + ".pem")

    def imported_folder(self, site):
        """What a site's link leads to: the one file under the names of two."""
        return self.tls / ".imported" / site

    def say(self, text):
        print("changed: " + text)

    # -- what is there -------------------------------------------------------------------------------------------

    def read(self, path):
        if path not in self.certificates:
            self.certificates[path] = certificate_in(path) if path.exists() else None
        return self.certificates[path]

    def own(self, site):
        return self.read(self.live(site) / "fullchain.pem")

    def imported(self, site):
        """The imported certificate of a site, if nginx can use it."""
        path = self.imported_file(site)
        found = self.read(path)
        if found and (path, "key") not in self.certificates:
            self.certificates[path, "key"] = has_its_key(path)
        return found if found and self.certificates[path, "key"] else None

    def covered(self, site, certificate):
        """How many names of a site a certificate is good for."""
        return sum(map(certificate.covers, self.sites[site])) if certificate and certificate.end > self.now else 0

    def complete(self, site, certificate):
        return self.covered(site, certificate) == len(self.sites[site])

    def choice(self, site):
        """Where a site's link leads, and the certificate there: of those that are good for most of its names the one that ends last."""
        options = [(str(self.live(site)), self.own(site))] if (self.live(site) / "fullchain.pem").exists() else []
        imported = self.imported(site)
        if self.covered(site, imported):
            options.append((str(self.imported_folder(site)), imported))
        if not any(self.complete(site, certificate) for _target, certificate in options):
            # Of a site that had another name, or was joined with this one.
            others = [(path, self.read(path)) for path in sorted(self.letsencrypt.glob("live/*/fullchain.pem")) if path.parent != self.live(site)]
            options += [(str(path.parent), certificate) for path, certificate in others if self.complete(site, certificate)]
        return max(options, key=lambda each: (self.covered(site, each[1]), each[1].end if each[1] else 0), default=("placeholder", None))

    def unfit(self, site):
        """Why a site needs a new certificate from the authority, or nothing."""
        imported = self.imported(site)
        left = imported.end - self.now if self.complete(site, imported) else 0
        if left and left > min((imported.end - imported.begin) / RENEWED_PART, RENEWED_SECONDS):
            return None
        if not (self.live(site) / "fullchain.pem").exists():
            return "the imported one ends in %d days" % (left / DAY) if left else "it has none yet"
        own = self.own(site)
        if own is None:
            return "the present one cannot be read"
        if own.end - self.now < DAY:
            return EXPIRES
        if sorted(own.names) != sorted(name.lower() for name in self.sites[site]):
            return "the present one is for %s" % ", ".join(own.names)
        if self.authority(site) != self.settings["directory"]:
            return "the present one comes from %s" % self.authority(site)
        return None

    def good(self, site):
        """Whether browsers accept a site under each of its names, whatever has to be renewed."""
        target, certificate = self.choice(site)
        return self.complete(site, certificate) and (target != str(self.live(site)) or self.authority(site) == self.settings["directory"])

    def authority(self, site):
        """The directory URL that certbot renews a certificate at."""
        text = (self.letsencrypt / "renewal" / (site + ".conf")).read_text(encoding="utf-8")
        found = re.search(r"^server\s*=\s*(\S+)", text, re.MULTILINE)
        return found.group(1) if found else "an unknown authority"

    def former(self):
        """Names by site that it had before: they keep their certificate until there is one for all of its new names."""
        taken = {name.lower() for names in self.sites.values() for name in names}
        found = {}
        for site in sorted(self.sites):
            target, certificate = self.choice(site)
            names = []
            if target == str(self.live(site)) and certificate and certificate.end > self.now and not self.complete(site, certificate):
                names = [name for name in certificate.names if name not in taken and not name.startswith("*")]
            taken.update(names)
            found[site] = names
        return found

    def fingerprints(self):
        found = {}
        for site in sorted(self.sites):
            parts = [self.tls / site / "fullchain.pem", *(path for path in self.name_files(site) if path.exists())]
            found[site] = hashlib.sha256(b"".join(path.read_bytes() for path in parts)).hexdigest()
        return found

    def name_files(self, site, names=()):
        """Files of nginx about a site's former names, with their lines: names of the server, the name that droplets behind it know, and origins of its
        pages."""
        return {
            self.former_names / (site + ".conf"): ["server_name %s;" % name for name in names],
            self.former_names / (site + ".origins"): ['"https://%s" "https://%s";' % (name, name) for name in names],
            self.former_names / (site + ".hosts"): ["%s %s;" % (name, self.sites[site][0]) for name in names] if site in self.sites else [],
        }

    # -- making it so --------------------------------------------------------------------------------------------

    def make_placeholder(self):
        """A certificate that nobody trusts, so that nginx can start and answer the authority's question."""
        folder = self.tls / "placeholder"
        if (folder / "privkey.pem").exists():
            return False
        draft = self.tls / "placeholder.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650"]
        command += ["-subj", "/CN=placeholder", "-keyout", str(draft / "privkey.pem"), "-out", str(draft / "fullchain.pem")]
        code, text = run(command)
        if code != 0:
            raise Error("The placeholder certificate could not be made: %s" % text)
        (draft / "privkey.pem").chmod(0o600)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
        return True

    def link(self):
        """Point every site at its certificate, or at the placeholder, and name its former names; returns what was there before, by path."""
        before, former = {}, self.former()
        for site in self.sites:
            target = self.choice(site)[0]
            if target == str(self.imported_folder(site)):
                self.imported_folder(site).mkdir(mode=0o700, parents=True, exist_ok=True)
                for name in ("fullchain.pem", "privkey.pem"):
                    self.put(self.imported_folder(site) / name, self.imported_file(site))
            self.replace(before, self.tls / site, target)
            for path, lines in self.name_files(site, former[site]).items():
                self.replace(before, path, "".join(line + "\n" for line in lines).encode() or None)
        for path in sorted(self.former_names.glob("*")):
            if path.stem not in self.sites:
                self.replace(before, path, None)
        return before

    def replace(self, before, path, content):
        """Make a path a link (text), a file (bytes) or nothing (None), and note what it was."""
        present = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.exists() else None
        if present != content:
            self.put(path, content)
            before[path] = present

    @staticmethod
    def put(path, content):
        if content is None:
            path.unlink(missing_ok=True)
            return
        draft = path.with_name(path.name + ".new")
        draft.unlink(missing_ok=True)
        if isinstance(content, bytes):
            path.parent.mkdir(exist_ok=True)
            draft.write_bytes(content)
        else:
            draft.symlink_to(content)
        draft.rename(path)

    def unlink(self, before):
        for path, content in before.items():
            self.put(path, content)

    def remember(self):
        draft = self.tls / ".loaded.json.new"
        draft.write_text(json.dumps(self.fingerprints(), indent=1), encoding="utf-8")
        draft.rename(self.loaded)

    def load(self):
        """Nginx serves what is linked, also if a run died between linking and reloading."""
        before = self.link()
        try:
            known = json.loads(self.loaded.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            known = None
        if known == self.fingerprints():
            return
        code, text = run(["nginx", "-t", "-q"])
        if code == 0:
            code, text = run(["systemctl", "reload", "nginx.service"])
            if code != 0:
                # systemctl only says that it failed; why is in the journal.
                text += "\n" + run(["journalctl", "--unit=nginx.service", "--lines=10", "--output=cat", "--no-pager"])[1]
        if code != 0:
            self.unlink(before)
            raise Error("Nginx refuses the new certificates, and goes on with those it has: %s" % text)
        self.remember()
        self.say("nginx has loaded the certificates")

    def obtain(self, site, names=None):
        """Have certbot get a certificate; raises what it prints."""
        command = ["certbot", "certonly", "--non-interactive", "--agree-tos", "--webroot", "-w", self.settings["webroot"]]
        command += ["--server", self.settings["directory"], "--cert-name", site, "--key-type", "ecdsa"]
        command += ["--force-renewal", "--renew-with-new-domains"]
        command += ["-m", self.settings["email"]] if self.settings["email"] else ["--register-unsafely-without-email"]
        for name in names or self.sites[site]:
            command += ["-d", name]
        ca_file = self.settings["ca_file"]
        code, text = run(command, **({"REQUESTS_CA_BUNDLE": ca_file} if ca_file else {}))
        self.certificates.clear()
        if code != 0:
            raise Error(text)

    def attempt(self, site, reason):
        """Ask the authority, unless it would refuse to look. What fails is printed, and remembered for the next time."""
        names = self.sites[site]
        again = self.refused_until(names)
        if again:
            moment = time.strftime("%H:%M", time.gmtime(again))
            objection = "refused one of these names %d times within an hour, and is not asked again before %s UTC" % (VALIDATIONS_PER_HOUR, moment)
            self.complain(site, reason, objection, advice("Detail:"))
            return
        try:
            self.obtain(site)
        except Error as error:
            text = str(error)
            refused = [name for name in names if name in re.findall(r"^\s*Domain: (\S+)$", text, re.MULTILINE)]
            self.note_failure(refused or names, validated=bool(refused) or "Detail:" in text)
            self.obtain_for_others(site, refused)
            self.complain(site, reason, "says: %s" % said(text), advice(text))
        else:
            self.say("certificate obtained for %s (%s)" % (", ".join(names), reason))

    def obtain_for_others(self, site, refused):
        """One name that is refused does not keep the others of its site without a certificate, unless another name would lose its own."""
        names = [name for name in self.sites[site] if name not in refused]
        own = self.own(site)
        kept = own.names if own and own.end > self.now else ()
        if not refused or not names or not set(kept) <= {name.lower() for name in names} or all(name.lower() in kept for name in names):
            return
        try:
            self.obtain(site, names)
            self.say("certificate obtained for %s" % ", ".join(names))
        except Error as error:
            print("warning: No certificate for %s either: %s" % (", ".join(names), said(str(error))))

    def complain(self, site, reason, objection, cure):
        _target, certificate = self.choice(site)
        names = ", ".join(self.sites[site])
        former = self.former()[site]
        if certificate is None:
            meanwhile = "a placeholder that nobody trusts"
        elif self.covered(site, certificate):
            meanwhile = "one for %s" % ", ".join(certificate.names)
        else:
            meanwhile = "its previous one"
        # Users see no difference yet: verify.yml fails, this does not.
        late = self.good(site)
        print(
            "%sNo certificate for %s (site %s), which is served with %s meanwhile%s: %s %s. %s"
            % (
                "warning: The certificate of %s is not renewed (%s). " % (names, reason) if late else "problem: ",
                names,
                site,
                meanwhile,
                ", and so is %s" % ", ".join(former) if former else "",
                self.settings["directory"],
                objection,
                cure,
            )
        )

    # -- asking again ----------------------------------------------------------------------------------------------

    def failures(self, names):
        """Failures of these names, the oldest first: when (at), whether the authority had looked (validated), whether it could (here)."""
        try:
            known = json.loads(self.waiting.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            known = {}
        # A failure in the future was noted while the clock was wrong.
        found = [failure for name in names for failure in known.get(name, []) if self.now - REMEMBERED < failure["at"] <= self.now]
        return sorted(found, key=lambda failure: failure["at"])

    def note_failure(self, names, validated):
        # Each name by itself, as the authority counts.
        known = {name: self.failures([name]) for every in self.sites.values() for name in every}
        for name in names:
            known[name].append({"at": self.now, "validated": validated, "here": self.leads_here(name)})
        self.write_waiting(known)

    def write_waiting(self, known):
        self.tls.mkdir(parents=True, exist_ok=True)
        draft = self.tls / ".waiting.json.new"
        draft.write_text(json.dumps({name: failures for name, failures in known.items() if failures}, indent=1), encoding="utf-8")
        draft.rename(self.waiting)

    def keep_waiting(self):
        """The timer runs while this file is there: what is missing or imported is asked for again, and what is obtained is forgotten."""
        waits = [site for site in self.sites if self.unfit(site) or self.imported_file(site).exists()]
        if waits:
            self.write_waiting({name: self.failures([name]) for site in waits for name in self.sites[site]})
        else:
            self.waiting.unlink(missing_ok=True)

    def refused_until(self, names):
        """When the authority looks again, if it has looked at one of these names too often; or nothing."""
        moments = []
        for name in names:
            recent = [failure["at"] for failure in self.failures([name]) if failure["validated"] and self.now - failure["at"] < 3600]
            if len(recent) >= VALIDATIONS_PER_HOUR:
                moments.append(recent[-VALIDATIONS_PER_HOUR] + 3600)
        return max(moments, default=None)

    def leads_here(self, name):
        """Whether questions for this name on port 80 reach this droplet at each of its addresses, as the authority's must."""
        folder = pathlib.Path(self.settings["webroot"]) / CHALLENGES
        path = folder / ("litefarm-" + secrets.token_urlsafe(16))
        try:
            path.write_text(path.name, encoding="utf-8")
            return all(fetch(address, name, "/%s/%s" % (CHALLENGES, path.name)) == path.name for address in resolve(name))
        except (OSError, UnicodeError, http.client.HTTPException):
            return False
        finally:
            path.unlink(missing_ok=True)

    def due(self, site):
        """Whether the timer asks the authority now: soon once all names lead here, and seldom before."""
        names = self.sites[site]
        if self.refused_until(names):
            return False
        failures = self.failures(names)
        here = all(self.leads_here(name) for name in names)
        if here:
            # Failures from when the name led elsewhere do not count.
            failures = [failure for failure in failures if failure["here"]]
        if not failures:
            return True
        # Names of one site fail together.
        times = len({failure["at"] for failure in failures})
        pause = min(FIRST_PAUSE * 2 ** (times - 1), LONGEST_PAUSE) if here else PAUSE_ELSEWHERE
        return self.now - failures[-1]["at"] >= pause

    def forget(self):
        """What is no longer declared is no longer renewed."""
        used = {self.choice(site)[0] for site in self.sites}
        for path in sorted(self.tls.iterdir()) if self.tls.is_dir() else []:
            # Another site is still served with its certificate.
            if path.is_symlink() and path.name not in self.sites and str(self.live(path.name)) not in used:
                self.say("%s is no longer a site, its certificate is not renewed any more" % path.name)
                if not self.check:
                    if self.live(path.name).exists():
                        run(["certbot", "delete", "--non-interactive", "--cert-name", path.name])
                        self.certificates.clear()
                    path.unlink()

    # -- the commands ---------------------------------------------------------------------------------------

    def apply(self, only_due=False):
        for site in sorted(self.sites):
            reason = self.unfit(site)
            if self.imported_file(site).exists() and not self.imported(site):
                print("warning: The imported certificate of the site %s cannot be read, or has another key: correct nginx_imported_certificates." % site)
            if reason is None or (only_due and not self.due(site)):
                continue
            if self.check:
                self.say("a certificate would be obtained for %s (%s)" % (", ".join(self.sites[site]), reason))
            else:
                self.attempt(site, reason)
        self.forget()
        if not self.check:
            self.reload()
            self.keep_waiting()

    def reload(self):
        self.make_placeholder()
        self.load()

    def validate(self):
        made, before = self.make_placeholder(), self.link()
        code, text = run(["nginx", "-t"])
        # For nginx this is a warning, but it means that one of two sites is never seen.
        clash = re.search(r"conflicting server name .*", text)
        if code == 0 and clash is None:
            return
        self.unlink(before)
        if made:
            shutil.rmtree(self.tls / "placeholder")
        if code == 0:
            raise Error("Two sites declare the same host name: %s" % clash.group(0))
        raise Error(text.replace("nginx: configuration file /etc/nginx/nginx.conf test failed", "").strip())


def said(text):
    """What the authority objects to, or why it could not be asked, out of certbot's output."""
    details = list(dict.fromkeys(" ".join(detail.split()) for detail in re.findall(r"^\s*Detail:(.+)$", text, re.MULTILINE)))
    noise = ("Saving debug log", "Ask for help", "Some challenges", "- - - -", "Account registered", "Requesting a certificate", "An unexpected error")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(noise)]
    return ("; ".join(details) or (lines or ["nothing"])[-1]).rstrip(".")


def advice(text):
    """What to do, which for a refused name is something else than for an authority that does not answer."""
    if re.search(r"^\s*Detail:", text, re.MULTILINE):
        return "Correct the DNS records (A and AAAA) and port 80 of this droplet; it asks again by itself, and site.yml asks at once."
    return "The droplet asks again by itself; /var/log/letsencrypt/letsencrypt.log on it says more."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_mutually_exclusive_group()
    for option in ("retry", "check", "validate", "reload"):
        group.add_argument("--" + option, action="store_true")
    options = parser.parse_args()
    settings = sys.stdin.read() if options.check else pathlib.Path(SETTINGS).read_text(encoding="utf-8")
    try:
        if options.validate:
            Certificates(json.loads(settings)).validate()
        elif options.reload:
            Certificates(json.loads(settings)).reload()
        elif options.check:
            Certificates(json.loads(settings), check=True).apply()
        else:
            # Runs of the timer and of site.yml would both ask certbot. Certbot itself calls --reload, which must not wait.
            with open(LOCK, "w", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                Certificates(json.loads(settings)).apply(only_due=options.retry)
    except Error as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
