#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: droplet_info
short_description: The few facts about a droplet that the platform decides by
version_added: 0.1.0
description:
  - Returns the handful of facts that the roles and the preflight play use, under the names that M(ansible.builtin.setup)
    gives them, at the cost of one light module call (C(setup) costs about five times as much).
  - Adds what C(setup) does not say, in C(litefarm_droplet).
  - Changes nothing.
options:
  paths:
    description:
      - Folders whose file system's size and free space are returned.
      - For a folder that does not exist yet, the nearest existing parent is measured.
    type: list
    elements: path
    default: [/, /srv, /var/lib/docker]
  database:
    description: The data folder of PostgreSQL, of which it is returned whether it has a database.
    type: path
    default: /srv/litefarm/postgres/pgdata
  services:
    description: Services of which it is returned what runs; none are looked for by default.
    type: list
    elements: str
    default: []
  images:
    description: Images of which it is returned whether the droplet has them, together with O(services).
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - litefarm.platform.attributes.asks_on_droplet
  - ansible.builtin.action_common_attributes.facts
attributes:
  facts:
    support: full
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: ansible.builtin.setup
  - module: litefarm.platform.release_info
"""

EXAMPLES = r"""
- name: The droplet is known
  litefarm.platform.droplet_info:

- name: The droplet has room for a release
  ansible.builtin.assert:
    that: ansible_facts['litefarm_droplet'].disk['/var/lib/docker'].free_mb > 4096
"""

RETURN = r"""
running:
  description: What M(litefarm.platform.release_info) returns of O(services) and O(images), without asking them how they are.
  returned: with O(services)
  type: dict
ansible_facts:
  description: The facts. All but C(litefarm_droplet) are named and measured as by M(ansible.builtin.setup).
  returned: always
  type: dict
  contains:
    architecture:
      description: Machine type of the kernel.
      type: str
      returned: always
      sample: x86_64
    distribution:
      description: Name of the distribution.
      type: str
      returned: always
      sample: Debian
    distribution_major_version:
      description: The version up to its first dot.
      type: str
      returned: always
      sample: "13"
    distribution_release:
      description: Code name of the distribution's release.
      type: str
      returned: always
      sample: trixie
    distribution_version:
      description: Version with the point release.
      type: str
      returned: always
      sample: "13.1"
    memtotal_mb:
      description: Memory in MiB.
      type: int
      returned: always
      sample: 1967
    processor_nproc:
      description: Processors that a process may use.
      type: int
      returned: always
      sample: 2
    swaptotal_mb:
      description: Swap space in MiB.
      type: int
      returned: always
      sample: 2048
    litefarm_droplet:
      description: What C(setup) does not say, or says at a price.
      type: dict
      returned: always
      contains:
        addresses:
          description: All addresses of all interfaces, without prefix length, loopback and link-local ones included.
          type: list
          elements: str
          returned: always
          sample: [127.0.0.1, 203.0.113.7, 10.10.0.5]
        container:
          description: Whether the droplet is itself a container, as in the lab.
          type: bool
          returned: always
        database:
          description: Whether O(database) has the files of a PostgreSQL server.
          type: bool
          returned: always
          sample: true
        default_interface:
          description: Interface of the default route; empty strings and 0 where there is none.
          type: dict
          returned: always
          sample: {name: eth0, mtu: 1500}
        deployed_with:
          description:
            - By what the vault is recognised that the droplet was deployed from.
            - C(environment) is what the role C(base) keeps of it, or nothing. C(files) are hashes of what the role
              C(postgres) has made of two secrets. C(backup_key) is the ID of the key that encrypts the database's backups, or nothing.
          type: dict
          returned: always
          sample: {environment: "", files: [], backup_key: ""}
        disk:
          description: Size of each of O(paths), and the space that a process without privileges may use, in MiB.
          type: dict
          returned: always
          sample: {/: {total_mb: 49000, free_mb: 38000}}
        docker:
          description: Whether an engine is installed, and the version of the one that answers (empty if none does).
          type: dict
          returned: always
          sample: {installed: true, version: 26.1.5}
        python_version:
          description: Version of the Python that runs modules.
          type: str
          returned: always
          sample: 3.13.5
        systemd:
          description: Whether systemd is the running init.
          type: bool
          returned: always
        uid:
          description: User id with which modules run after privilege escalation.
          type: int
          returned: always
          sample: 0
"""

import glob
import http.client
import json
import os
import platform
import re
import shutil
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.info import running
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils._engine_socket import SOCKET, Connection
from ansible_collections.litefarm.platform.plugins.module_utils._fingerprint import fingerprint

# Made by the roles base and postgres: the environment's hash, the verifier of the database's password, and its certificate.
ENVIRONMENT_FILE = "/etc/litefarm/environment_id"
SECRET_FILES = ("/etc/litefarm/postgres/application.verifier", "/var/lib/litefarm/services/postgres/*/etc__litefarm__server.crt")
# The place of the backups in their bucket, of which the last part is the ID of their key.
BACKUP_FILE = "/etc/litefarm/postgres/pgbackrest"
NAMES = {"debian": "Debian", "ubuntu": "Ubuntu"}


def read(path: str) -> str:
    """Nothing also of a file of zeroes, as a power cut may leave one: site.yml writes it anew."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            content = file.read()
    except OSError:
        return ""
    return "" if "\0" in content else content


def distribution_facts(os_release: str, debian_version: str) -> dict[str, str]:
    """The distribution from the contents of /etc/os-release and /etc/debian_version."""
    release = {}
    for line in os_release.splitlines():
        key, separator, value = line.partition("=")
        if separator:
            release[key.strip()] = value.strip().strip("\"'")
    ident = release.get("ID", "")
    version = release.get("VERSION_ID", "")
    # os-release of Debian lacks the point release; testing and unstable say "forky/sid" in the other file.
    if ident == "debian" and "." in debian_version:
        version = debian_version.strip()
    return {
        "distribution": NAMES.get(ident, ident.capitalize() or "OtherLinux"),
        "distribution_release": release.get("VERSION_CODENAME", "NA"),
        "distribution_version": version,
        "distribution_major_version": version.split(".", maxsplit=1)[0],
    }


def memory_facts(meminfo: str) -> dict[str, int]:
    sizes = {}
    for line in meminfo.splitlines():
        key, _separator, value = line.partition(":")
        if key in ("MemTotal", "SwapTotal"):
            sizes[f"{key.lower()}_mb"] = int(value.split()[0]) // 1024
    return sizes


def network_facts(interfaces: list[dict], routes: list[dict]) -> dict[str, t.Any]:
    """Addresses and default interface from the output of ip -json (address, and route show default)."""
    mtus = {interface["ifname"]: interface["mtu"] for interface in interfaces if "ifname" in interface}
    name = next((route["dev"] for route in sorted(routes, key=lambda route: route.get("metric", 0)) if "dev" in route), "")
    return {
        "addresses": [
            address["local"]
            for interface in interfaces
            for address in interface.get("addr_info", [])
            if "local" in address
        ],
        "default_interface": {"name": name, "mtu": mtus.get(name, 0)},
    }


def disk_facts(paths: list[str]) -> dict[str, dict[str, int]]:
    disks = {}
    for path in paths:
        existing = os.path.abspath(path)
        while not os.path.exists(existing):
            existing = os.path.dirname(existing)
        usage = os.statvfs(existing)
        disks[path] = {
            "total_mb": usage.f_frsize * usage.f_blocks // 2**20,
            "free_mb": usage.f_frsize * usage.f_bavail // 2**20,
        }
    return disks


def has_database(folder: str) -> bool:
    # The file that initdb writes first, and that the server looks for. Also a damaged one is a sign of data.
    try:
        with open(os.path.join(folder, "PG_VERSION"), "rb") as file:
            return file.read().strip() != b""
    except OSError:
        return False


def deployed_with(root: str = "") -> dict[str, t.Any]:
    paths = [path for pattern in SECRET_FILES for path in sorted(glob.glob(root + pattern))]
    backup_key = re.search(r"^place=.*/([0-9a-f]{8})$", read(root + BACKUP_FILE), re.MULTILINE)
    return {
        "environment": read(root + ENVIRONMENT_FILE).strip(),
        "files": [fingerprint(text) for text in map(read, paths) if text],
        "backup_key": backup_key[1] if backup_key else "",
    }


def docker_facts(path: str) -> dict[str, t.Any]:
    connection = Connection(path, 2)
    try:
        connection.request("GET", "/version")
        version = json.loads(connection.getresponse().read())["Version"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        version = ""
    finally:
        connection.close()
    return {"installed": shutil.which("dockerd", path="/usr/bin:/usr/sbin:/usr/local/bin") is not None, "version": version}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "path", "default": ["/", "/srv", "/var/lib/docker"]},
            "database": {"type": "path", "default": "/srv/litefarm/postgres/pgdata"},
            "services": {"type": "list", "elements": "str", "default": []},
            "images": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )

    ip = module.get_bin_path("ip", required=True, opt_dirs=["/usr/sbin", "/sbin"])

    def ask(*arguments: str) -> list[dict]:
        return json.loads(module.run_command([ip, "-json", *arguments], check_rc=True)[1] or "[]")

    routes = ask("route", "show", "default") or ask("-6", "route", "show", "default")
    facts: dict[str, t.Any] = {
        "architecture": platform.machine(),
        "processor_nproc": len(os.sched_getaffinity(0)),
        **distribution_facts(read("/etc/os-release") or read("/usr/lib/os-release"), read("/etc/debian_version")),
        **memory_facts(read("/proc/meminfo")),
        "litefarm_droplet": {
            **network_facts(ask("address", "show"), routes),
            "container": os.path.exists("/run/systemd/container"),
            "database": has_database(module.params["database"]),
            "deployed_with": deployed_with(),
            "disk": disk_facts(module.params["paths"]),
            "docker": docker_facts(SOCKET),
            "python_version": platform.python_version(),
            "systemd": os.path.isdir("/run/systemd/system"),
            "uid": os.geteuid(),
        },
    }
    result: dict[str, t.Any] = {"ansible_facts": facts}
    if module.params["services"]:
        try:
            result["running"] = running(module.params["services"], module.params["images"], probe=False, state_directory="/var/lib/litefarm")
        except ServiceError as error:
            module.fail_json(msg=error.report())
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
