# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this machine gets Debian packages from: the lab uses the same mirror, with the same settings."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .host import as_root

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# Options of this machine's apt that decide whether its mirror can be reached and is believed.
_CARRIED = re.compile(r'^(Acquire::(?:https?::Proxy|Check-Valid-Until|Check-Date)) "(.*)";$', re.MULTILINE)


@dataclass(frozen=True)
class Mirror:
    main: str
    security: str | None

    def sources(self, debian: str) -> str:
        """For the release of Debian with this name."""
        stanza = "Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        text = stanza.format(uri=self.main, suites=f"{debian} {debian}-updates")
        if self.security:
            text += "\n" + stanza.format(uri=self.security, suites=f"{debian}-security")
        return text


def mirror_from_targets(targets: str) -> Mirror | None:
    """Reads `origin|suite|uri` lines of `apt-get indextargets`; origin is empty before the first `apt-get update`."""
    main = security = None
    for line in targets.splitlines():
        origin, suite, uri = line.split("|", 2)
        if origin not in ("Debian", "") or not _is_debian_suite(suite) or not uri.startswith(("http://", "https://")):
            continue
        if suite.endswith("-security"):
            security = security or uri.rstrip("/")
        elif "-" not in suite:
            main = main or uri.rstrip("/")
    return Mirror(main, security) if main else None


def _is_debian_suite(suite: str) -> bool:
    return suite.split("-")[0] in ("bullseye", "bookworm", "trixie", "forky", "sid", "stable", "oldstable", "testing", "unstable")


def find_mirror(override: str | None = None) -> Mirror | None:
    if override:
        return Mirror(override.rstrip("/"), None)
    if not shutil.which("apt-get"):
        return None
    found = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(RELEASE)|$(REPO_URI)", "Created-By: Packages"],
        capture_output=True, text=True, check=True,
    )
    return mirror_from_targets(found.stdout)


def carried_options(dump: str) -> dict[str, str]:
    return dict(_CARRIED.findall(dump))


def find_options() -> dict[str, str]:
    if not shutil.which("apt-config"):
        return {}
    return carried_options(subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout)


def options_as_configuration(options: dict[str, str]) -> str:
    return "".join(f'{name} "{value}";\n' for name, value in sorted(options.items()))


def can_bootstrap() -> bool:
    return shutil.which("mmdebstrap") is not None and _KEYRING.exists()


def bootstrap_command(debian: str, mirror: Mirror, options: dict[str, str], tarball: Path) -> list[str]:
    """The smallest Debian that HTTPS and apt work in."""
    return as_root([
        "mmdebstrap", "--variant=minbase", "--include=ca-certificates", f"--keyring={_KEYRING}",
        *(f'--aptopt={name} "{value}"' for name, value in sorted(options.items())),
        debian, str(tarball), f"deb {mirror.main} {debian} main",
    ])
