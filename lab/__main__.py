# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the lab on this machine's Docker engine, and takes it down again. See `python -m lab --help`."""

from __future__ import annotations

import argparse
import json
import sys

from . import engine
from .commands import Lab
from .errors import LabError
from .settings import DROPLETS, FAULTS, settings_from


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description="The lab: droplets, registry, image mirror, object storage, ACME authority and git server on this machine's Docker engine.",
        epilog="Environment: LITEFARM_LAB (name, default litefarm), LITEFARM_LAB_NET and LITEFARM_LAB_PRIVATE_NET (networks), "
        "LITEFARM_REPO and LITEFARM_VERSION (another application than the sample), LITEFARM_DEBIAN_MIRROR.",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    up = commands.add_parser("up", help="make what is missing, start what has stopped")
    up.add_argument("--droplet", action="append", default=[], metavar="NAME", help="default: all of the environments")
    up.add_argument(
        "--environment", action="append", default=[], choices=sorted(DROPLETS), dest="environments",
        help="more than one if given again; ansible.env names the first one; scaled is production with a second droplet for the API; "
        "default: those of the droplets, else production",
    )
    _flavour(up)

    recreate = commands.add_parser("recreate", help="replace a droplet with a fresh one")
    recreate.add_argument("--droplet", required=True, metavar="NAME")
    _flavour(recreate)

    down = commands.add_parser("down", help="remove everything that up made")
    down.add_argument("--images", action="store_true", help="images and the mirror's content too, which all labs of this machine share")

    commands.add_parser("status", help="what runs, where, and where its files are, as JSON")
    commands.add_parser("engine", help="install and start a Docker engine if none answers")

    hosts = commands.add_parser("hosts", help="public host names and their addresses")
    hosts.add_argument("--chromium", action="store_true", help="as a value for --host-resolver-rules")

    release = commands.add_parser("sample-release", help="add a release to the sample application's repository")
    release.add_argument("--tag", required=True)
    release.add_argument("--set", action="append", default=[], metavar="[api.|webapp.]KEY=VALUE", dest="settings")

    fault = commands.add_parser("storage-fault", help="have the object storage fail, until it is told otherwise; none lifts the fault")
    fault.add_argument("fault", choices=FAULTS, metavar="FAULT", help=", ".join(FAULTS))
    fault.add_argument("--bucket", default="", metavar="PREFIX", help="only for buckets whose names begin so; default: all")
    return parser


def _flavour(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--bare", dest="flavour", action="store_const", const="bare", help="new droplets have no package of the roles")
    group.add_argument("--baked", dest="flavour", action="store_const", const="baked", help="new droplets have them all (default)")
    parser.set_defaults(flavour="baked")


def run(options: argparse.Namespace) -> None:
    lab = Lab(settings_from())
    match options.command:
        case "up":
            lab.up(options.environments, options.droplet, options.flavour)
        case "recreate":
            lab.recreate(options.droplet, options.flavour)
        case "down":
            lab.down(options.images)
        case "status":
            print(json.dumps(lab.status(), indent=2))
        case "engine":
            print(engine.ensure().version()["Version"])
        case "hosts":
            rules = lab.names()
            if options.chromium:
                print(", ".join(f"MAP {name} {address}" for name, address in rules.items()))
            else:
                print("".join(f"{address} {name}\n" for name, address in rules.items()), end="")
        case "sample-release":
            print(lab.sample_release(options.tag, options.settings))
        case "storage-fault":
            print(lab.storage_fault(options.fault, options.bucket))


def main() -> int:
    try:
        run(arguments().parse_args())
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
