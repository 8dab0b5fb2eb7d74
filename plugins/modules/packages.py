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
  - Package lists are fetched only if something has to be installed. If one source of packages fails, as one that is not signed does,
    the packages are installed from the other sources, and the failure is a warning.
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
    description: Seconds to wait in all for another apt or dpkg (unattended upgrades, cloud-init, a person) to release its locks.
    type: int
    default: 300
extends_documentation_fragment:
  - litefarm.platform.attributes.changes_with_diff
  - litefarm.platform.run_number
attributes:
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
import re
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import _run_number as run_number

POLICY = "/usr/sbin/policy-rc.d"
POLICY_TEXT = "#!/bin/sh\n# litefarm.platform.packages: services stay stopped while their packages are installed.\nexit 101\n"
# Nobody answers questions, and configuration files that somebody changed stay as they are.
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "LC_ALL": "C.UTF-8"}
# What dpkg had begun and not written into its database when it was interrupted. apt-get refuses to install as long as something is here.
UPDATES = "/var/lib/dpkg/updates"
# What apt-get and dpkg say if another process has one of their locks. Apt's own DPkg::Lock::Timeout does not wait for the locks of lists and
# archives, and dpkg waits for none.
LOCKED = re.compile(r"Could not get lock|locked by another process|is another process using it")
PAUSE = 2.0
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
        self.deadline = time.monotonic() + module.params["lock_timeout"]

    def ask(self, *command: str) -> tuple[int, str, str]:
        """Exit status, output and errors of a command, which is started again as long as another process has a lock that it needs."""
        while True:
            code, output, errors = self.module.run_command(list(command), environ_update=ENVIRONMENT)
            locked = [line for line in errors.splitlines() if LOCKED.search(line)]
            if code == 0 or not locked:
                return code, output, errors
            if time.monotonic() >= self.deadline:
                self.module.fail_json(
                    msg="Another apt or dpkg has kept its lock for %d s (%s): wait until it has ended, or end it on the droplet, then run this again."
                    % (self.module.params["lock_timeout"], locked[0].strip()),
                    rc=code,
                    stdout=output,
                    stderr=errors,
                )
            time.sleep(PAUSE)

    def run(self, *command: str, before: str = "") -> str:
        """The output of a command that must succeed. `before` is what has failed on the way to it."""
        code, output, errors = self.ask(*command)
        if code != 0:
            reason = before + "%s failed: %s" % (" ".join(command), last_lines(errors or output))
            self.module.fail_json(msg=reason, rc=code, stdout=output, stderr=errors)
        return output

    def missing(self, names: list[str]) -> list[str]:
        # dpkg-query exits with 1 if it knows nothing about one of them, which is the very question here.
        command = ["dpkg-query", "--show", "--showformat", "${Package}\\t${db:Status-Status}\\n", *names]
        found = statuses(self.module.run_command(command, environ_update=ENVIRONMENT)[1])
        return [name for name in names if found.get(name) != "installed"]

    def install(self, names: list[str]) -> None:
        self.finish_interrupted()
        code, output, errors = self.ask("apt-get", "-qq", "update")
        failure = "" if code == 0 else "apt-get update failed: %s\n" % last_lines(errors or output)
        # Whether the sources that did answer suffice is known only after this.
        self.run("apt-get", *OPTIONS, "-qq", "--yes", "install", "--no-install-recommends", *names, before=failure)
        if failure:
            self.module.warn("%sAll packages were installed from the other sources: correct or remove that source in /etc/apt." % failure)

    def finish_interrupted(self) -> None:
        """Configure what an interrupted dpkg has left. One that still runs looks like it, and has its lock."""
        if self.run("dpkg", "--audit").strip() or (os.path.isdir(UPDATES) and os.listdir(UPDATES)):
            self.run("dpkg", "--configure", "-a", "--force-confdef", "--force-confold")

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


def last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-15:])


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
