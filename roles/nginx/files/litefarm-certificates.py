# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One certificate per site of this droplet's nginx: obtained by certbot, linked, loaded.

Reads /etc/litefarm/nginx/certificates.json. A site's files are /etc/litefarm/tls/<site>/{fullchain,privkey}.pem, where
<site> is a link: to the placeholder until there is a certificate, then to certbot's live folder. One link holds both
files, so certificate and key change together.

  (no option)   obtain what is missing or does not fit, link, reload; prints a line "changed: ..." for each change
  --check       only print what would change; reads the settings from standard input, as the file may be of yesterday
  --validate    make the placeholder and links that nginx needs to start at all, then have nginx check its configuration
  --reload      after a renewal: link, reload
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

SETTINGS = "/etc/litefarm/nginx/certificates.json"
LETSENCRYPT = "/etc/letsencrypt"


class Trouble(Exception):
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


class Certificates:
    def __init__(self, settings, letsencrypt=LETSENCRYPT, check=False):
        self.settings = settings
        self.sites = settings["sites"]
        self.tls = pathlib.Path(settings["tls_directory"])
        self.letsencrypt = pathlib.Path(letsencrypt)
        self.check = check
        self.loaded = self.tls / ".loaded.json"

    def live(self, site):
        return self.letsencrypt / "live" / site

    def say(self, text):
        print("changed: " + text)

    # -- what is there -------------------------------------------------------------------------------------------

    def unfit(self, site):
        """Why a site needs a new certificate, or nothing."""
        if not (self.live(site) / "fullchain.pem").exists():
            return "it has none yet"
        code, text = run(["openssl", "x509", "-in", str(self.live(site) / "fullchain.pem"), "-noout", "-ext", "subjectAltName", "-checkend", "86400"])
        if "will not expire" not in text:
            return "the present one has expired or cannot be read"
        names = re.findall(r"DNS:([^,\s]+)", text)
        if sorted(names) != sorted(self.sites[site]):
            return "the present one is for %s" % ", ".join(names)
        if self.authority(site) != self.settings["directory"]:
            return "the present one comes from %s" % self.authority(site)
        return None

    def authority(self, site):
        """The directory URL that certbot renews a certificate at."""
        text = (self.letsencrypt / "renewal" / (site + ".conf")).read_text(encoding="utf-8")
        found = re.search(r"^server\s*=\s*(\S+)", text, re.MULTILINE)
        return found.group(1) if found else "an unknown authority"

    def wanted_target(self, site):
        return str(self.live(site)) if (self.live(site) / "fullchain.pem").exists() else "placeholder"

    def fingerprints(self):
        found = {}
        for site in sorted(self.sites):
            found[site] = hashlib.sha256((self.tls / site / "fullchain.pem").read_bytes()).hexdigest()
        return found

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
            raise Trouble("The placeholder certificate could not be made: %s" % text)
        (draft / "privkey.pem").chmod(0o600)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
        return True

    def link(self):
        """Point every site at its certificate, or at the placeholder; returns the former targets of what changed."""
        former = {}
        for site in self.sites:
            path, target = self.tls / site, self.wanted_target(site)
            present = os.readlink(path) if path.is_symlink() else None
            if present != target:
                self.point(site, target)
                former[site] = present
        return former

    def point(self, site, target):
        draft = self.tls / (site + ".new")
        draft.unlink(missing_ok=True)
        draft.symlink_to(target)
        draft.rename(self.tls / site)

    def unlink(self, former):
        for site, target in former.items():
            if target is None:
                (self.tls / site).unlink()
            else:
                self.point(site, target)

    def remember(self):
        draft = self.tls / ".loaded.json.new"
        draft.write_text(json.dumps(self.fingerprints(), indent=1), encoding="utf-8")
        draft.rename(self.loaded)

    def load(self):
        """Nginx serves what is linked, also if a run died between linking and reloading."""
        former = self.link()
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
            self.unlink(former)
            raise Trouble("Nginx refuses the new certificates, and goes on with those it has: %s" % text)
        self.remember()
        self.say("nginx has loaded the certificates")

    def obtain(self, site):
        names = self.sites[site]
        command = ["certbot", "certonly", "--non-interactive", "--agree-tos", "--webroot", "-w", self.settings["webroot"]]
        command += ["--server", self.settings["directory"], "--cert-name", site, "--key-type", "ecdsa"]
        command += ["--force-renewal", "--renew-with-new-domains"]
        command += ["-m", self.settings["email"]] if self.settings["email"] else ["--register-unsafely-without-email"]
        for name in names:
            command += ["-d", name]
        ca_file = self.settings["ca_file"]
        code, text = run(command, **({"REQUESTS_CA_BUNDLE": ca_file} if ca_file else {}))
        if code != 0:
            meanwhile = "its previous" if (self.live(site) / "fullchain.pem").exists() else "the untrusted placeholder"
            raise Trouble(
                "No certificate for %s (site %s) from %s. Meanwhile the site is served with %s certificate. The authority must reach "
                "http://<name>/.well-known/acme-challenge/ of each of these names on this droplet: check their DNS records and port 80, "
                "then run the playbook again.\n%s" % (", ".join(names), site, self.settings["directory"], meanwhile, said(text))
            )

    def forget(self):
        """What is no longer declared is no longer renewed."""
        for path in sorted(self.tls.iterdir()) if self.tls.is_dir() else []:
            if path.is_symlink() and path.name not in self.sites:
                self.say("%s is no longer a site, its certificate is not renewed any more" % path.name)
                if not self.check:
                    if self.live(path.name).exists():
                        run(["certbot", "delete", "--non-interactive", "--cert-name", path.name])
                    path.unlink()

    # -- the four commands ---------------------------------------------------------------------------------------

    def apply(self):
        troubles = []
        for site in sorted(self.sites):
            reason = self.unfit(site)
            if reason is None:
                continue
            if self.check:
                self.say("a certificate would be obtained for %s (%s)" % (", ".join(self.sites[site]), reason))
                continue
            try:
                self.obtain(site)
                self.say("certificate obtained for %s (%s)" % (", ".join(self.sites[site]), reason))
            except Trouble as trouble:
                troubles.append(str(trouble))
        self.forget()
        if not self.check:
            self.reload()
        if troubles:
            raise Trouble("\n\n".join(troubles))

    def reload(self):
        self.make_placeholder()
        self.load()

    def validate(self):
        made, former = self.make_placeholder(), self.link()
        code, text = run(["nginx", "-t"])
        # For nginx this is a warning, but it means that one of two sites is never seen.
        clash = re.search(r"conflicting server name .*", text)
        if code == 0 and clash is None:
            return
        self.unlink(former)
        if made:
            shutil.rmtree(self.tls / "placeholder")
        if code == 0:
            raise Trouble("Two sites declare the same host name: %s" % clash.group(0))
        raise Trouble(text.replace("nginx: configuration file /etc/nginx/nginx.conf test failed", "").strip())


def said(text):
    """The part of certbot's output that says what went wrong."""
    noise = ("Saving debug log", "Ask for help", "Some challenges have failed", "- - - -", "Account registered", "Requesting a certificate")
    return "\n".join(line for line in text.splitlines() if line.strip() and not line.startswith(noise))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_mutually_exclusive_group()
    for option in ("check", "validate", "reload"):
        group.add_argument("--" + option, action="store_true")
    options = parser.parse_args()
    settings = sys.stdin.read() if options.check else pathlib.Path(SETTINGS).read_text(encoding="utf-8")
    certificates = Certificates(json.loads(settings), check=options.check)
    try:
        if options.validate:
            certificates.validate()
        elif options.reload:
            certificates.reload()
        else:
            certificates.apply()
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
