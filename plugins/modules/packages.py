#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Debian packages are installed
version_added: 0.1.0
description:
  - Installs those of the named packages that are not installed yet, all in one run of C(apt-get).
  - Unlike M(ansible.builtin.apt) it needs no C(python3-apt), so check mode works on a droplet that has nothing yet; it asks C(dpkg)
    instead of opening apt's cache, so an unchanged droplet costs a fraction; and it first finishes what an interrupted
    C(dpkg) left half configured.
  - Package lists are fetched only if something has to be installed.
options:
  name:
    description: Names of the packages.
    type: list
    elements: str
    required: true
  start_services:
    description:
      - Whether services of newly installed packages start at once, as the distribution does it.
      - With V(false) they stay stopped until something starts them, for services that must not run with the distribution's
        configuration. They are enabled for the next boot in either case.
    type: bool
    default: true
  lock_timeout:
    description: Seconds to wait for another apt (unattended upgrades, cloud-init) to finish.
    type: int
    default: 300
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - litefarm.platform.run_number
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  platform:
    platforms: debian, ubuntu
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: ansible.builtin.apt
"""

EXAMPLES = r"""
- name: Nginx is installed
  litefarm.platform.packages:
    name: [nginx, certbot]
    start_services: false
"""

RETURN = r"""
installed:
  description: Names of the packages that were, or in check mode would be, installed.
  type: list
  elements: str
  returned: always
  sample: [nginx]
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import run_number

POLICY = "/usr/sbin/policy-rc.d"
POLICY_TEXT = "#!/bin/sh\n# litefarm.platform.packages: services stay stopped while their packages are installed.\nexit 101\n"
# Nobody answers questions, and configuration files that somebody changed stay as they are.
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "LC_ALL": "C.UTF-8"}
OPTIONS = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]


def statuses(listing: str) -> dict[str, str]:
    """Package names and their status from lines of dpkg-query."""
    found = {}
    for line in listing.splitlines():
        name, _separator, status = line.partition("\t")
        # With two architectures a package is listed twice: one that is installed is enough.
        if found.get(name) != "installed":
            found[name] = status
    return found


class Packages:
    def __init__(self, module: AnsibleModule) -> None:
        self.module = module

    def run(self, *command: str) -> str:
        code, output, errors = self.module.run_command(list(command), environ_update=ENVIRONMENT)
        if code != 0:
            lines = (errors.strip() or output.strip()).splitlines()
            self.module.fail_json(msg="%s failed: %s" % (" ".join(command), "\n".join(lines[-15:])), rc=code, stdout=output, stderr=errors)
        return output

    def missing(self, names: list[str]) -> list[str]:
        # dpkg-query exits with 1 if it knows nothing about one of them, which is the very question here.
        command = ["dpkg-query", "--show", "--showformat", "${Package}\\t${db:Status-Status}\\n", *names]
        found = statuses(self.module.run_command(command, environ_update=ENVIRONMENT)[1])
        return [name for name in names if found.get(name) != "installed"]

    def install(self, names: list[str]) -> None:
        apt_get = ["apt-get", "-o", "DPkg::Lock::Timeout=%d" % self.module.params["lock_timeout"]]
        if self.run("dpkg", "--audit").strip():
            self.run("dpkg", "--configure", "-a", "--force-confdef", "--force-confold")
        self.run(*apt_get, "-qq", "update")
        self.run(*apt_get, *OPTIONS, "-qq", "--yes", "install", "--no-install-recommends", *names)

    def hold_services(self) -> bool:
        """Keep services of new packages from starting; False where somebody else's policy is in force."""
        draft = f"{POLICY}.litefarm"
        with open(draft, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o755)
            file.write(POLICY_TEXT)
        try:
            os.link(draft, POLICY)
        except FileExistsError:
            return False
        finally:
            os.unlink(draft)
        return True


def release_services() -> None:
    try:
        with open(POLICY, encoding="utf-8") as file:
            ours = file.read() == POLICY_TEXT
    except OSError:
        return
    if ours:
        os.unlink(POLICY)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "list", "elements": "str", "required": True},
            "start_services": {"type": "bool", "default": True},
            "lock_timeout": {"type": "int", "default": 300},
            **run_number.OPTION,
        },
        supports_check_mode=True,
    )
    try:
        run_number.require(module.params["run_number"], module.check_mode)
    except run_number.RunRefused as error:
        module.fail_json(msg=str(error))
    packages = Packages(module)
    names = sorted(set(module.params["name"]))
    missing = packages.missing(names) if names else []
    result: dict[str, t.Any] = {"changed": bool(missing), "installed": missing}
    if missing:
        result["diff"] = {
            "before": "",
            "after": "".join(f"{name}\n" for name in missing),
            "before_header": "installed packages",
            "after_header": "installed packages",
        }
    if not module.check_mode:
        # A module that was killed while it held services back must not hold them back for ever.
        release_services()
        if missing:
            if not module.params["start_services"]:
                packages.hold_services()
            try:
                packages.install(missing)
            finally:
                release_services()
            still = packages.missing(names)
            if still:
                module.fail_json(msg="apt-get reports success, but these packages are not installed: %s" % ", ".join(still), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
