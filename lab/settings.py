# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is settled before anything is made: names, addresses, places."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError

FOLDER = Path(__file__).resolve().parent
CHECKOUT = FOLDER.parent

LABEL = "litefarm.lab"

# The release of Debian of services, of stand-ins, and of droplets that name no other one.
DEBIAN = "trixie"

# The last part of an address says what it belongs to, in both networks and in every lab.
REGISTRY, MIRROR, ACME, GIT, STORAGE, BUILDER = 2, 3, 4, 5, 6, 9


@dataclass(frozen=True)
class Droplet:
    name: str
    number: int
    host_names: tuple[str, ...] = ()
    debian: str = DEBIAN


# Not "builder", which is the name of its group.
BUILDER_DROPLET = Droplet("builder1", BUILDER)
DROPLETS = {
    "production": (
        Droplet("litefarmapp", 11, ("app.litefarm.org", "api.app.litefarm.org")),
        Droplet("litefarm-imaginary", 12, ("image.litefarm.org",)),
    ),
    "beta": (
        Droplet("liteformbeta", 21, ("beta.litefarm.org", "api.beta.litefarm.org")),
        # The older Debian that the roles support. Its nginx, Docker engine and restic are older, too.
        Droplet("export-beta", 22, ("image.beta.litefarm.org",), debian="bookworm"),
    ),
    # Runs only when it is asked for. The names of the API stay those of the droplet in front.
    "scaled": (Droplet("litefarmapi", 13),),
}
# Environments that are another one with more droplets, as molecule/<name>/inventory says: the same secrets, buckets and endpoints.
VARIATIONS = {"scaled": "production"}

# The object storage has one name in the world, and one for each bucket.
SPACES = "nyc3.digitaloceanspaces.com"
BUCKETS = {
    "production": ("litefarm-app-secret", "litefarmapp", "litefarm-production-backups"),
    "beta": ("litefarm-beta-secret", "litefarmbeta", "litefarm-beta-backups"),
}
# For tests, which may do with them what they like with either environment's key.
SPARE_BUCKETS = ("litefarm-lab-private", "litefarm-lab-public")
# Further keys for tests: one that may only read an environment's buckets, and one that opens no bucket of an environment.
READ_ONLY_KEYS = {environment: f"{environment}-read-only" for environment in BUCKETS}
SPARE_KEY = "spare"

# What storage-fault can have the object storage do.
FAULTS = ("none", "refuse", "hang", "slow_down", "forbid_put", "truncate", "clock")


def environment_of(droplet: Droplet) -> str | None:
    """None for the builder, which belongs to all of them."""
    return next((name for name, droplets in DROPLETS.items() if droplet in droplets), None)


def main_of(environment: str) -> str:
    """The environment of which this one is a variation, or itself."""
    return VARIATIONS.get(environment, environment)


def members_of(environment: str) -> list[Droplet]:
    """All droplets of an environment: those of the one that it is a variation of come first."""
    return [droplet for name in dict.fromkeys([main_of(environment), environment]) for droplet in DROPLETS[name]]


def find_droplet(name: str) -> Droplet:
    known = [BUILDER_DROPLET, *(droplet for droplets in DROPLETS.values() for droplet in droplets)]
    for droplet in known:
        if droplet.name == name:
            return droplet
    raise LabError(f"There is no droplet {name!r}. The lab knows: {', '.join(droplet.name for droplet in known)}.")


@dataclass(frozen=True)
class Settings:
    lab: str
    public: ipaddress.IPv4Network
    private: ipaddress.IPv4Network
    checkout: Path = CHECKOUT
    # Another repository than the sample application: a URL, or a folder of this machine.
    repository: str | None = None
    version: str | None = None
    # Where Debian's packages come from, if the machine's own apt does not say.
    debian_mirror: str | None = None

    @property
    def state(self) -> Path:
        return self.checkout / ".lab" / self.lab

    @property
    def labels(self) -> dict[str, str]:
        return {LABEL: self.lab}

    def inventories(self, environment: str) -> list[Path]:
        """The folders of the checkout that an environment's inventory consists of."""
        folders = [self.checkout / "inventories" / main_of(environment)]
        if environment in VARIATIONS:
            folders.append(self.checkout / "molecule" / environment / "inventory")
        return folders

    def name(self, part: str) -> str:
        return f"{self.lab}-{part}"

    def public_address(self, number: int) -> str:
        return str(self.public[number])

    def private_address(self, number: int) -> str:
        return str(self.private[number])


def settings_from(environment: Mapping[str, str] = os.environ) -> Settings:
    lab = environment.get("LITEFARM_LAB") or "litefarm"
    if not re.fullmatch(r"[a-z][a-z0-9]{0,19}", lab):
        raise LabError(f"LITEFARM_LAB is {lab!r}: it must be a short word of lower-case letters and digits.")
    public = _subnet(environment, "LITEFARM_LAB_NET", "10.89.10.0/24")
    private = _subnet(environment, "LITEFARM_LAB_PRIVATE_NET", "10.89.20.0/24")
    if public.overlaps(private):
        raise LabError(f"LITEFARM_LAB_NET ({public}) and LITEFARM_LAB_PRIVATE_NET ({private}) overlap: choose two networks.")
    return Settings(
        lab=lab,
        public=public,
        private=private,
        repository=environment.get("LITEFARM_REPO") or None,
        version=environment.get("LITEFARM_VERSION") or None,
        debian_mirror=environment.get("LITEFARM_DEBIAN_MIRROR") or None,
    )


def _subnet(environment: Mapping[str, str], variable: str, default: str) -> ipaddress.IPv4Network:
    text = environment.get(variable) or default
    try:
        subnet = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise LabError(f"{variable} is {text!r}: it must be a network such as {default} ({error}).") from error
    if subnet.prefixlen != 24:
        raise LabError(f"{variable} is {text!r}: the lab needs a network of 256 addresses (/24).")
    return subnet
