# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is of the services of the matrix, as JSON. It runs with a bare Python on the droplet."""

from __future__ import annotations

import json
import os
import re
import subprocess

PREFIX = "litefarm.platform."


def command(*words):
    return subprocess.run(words, stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout


def containers():
    """Every container of the matrix. One may go between the list and the question, so what is missing is no error."""
    ids = command("docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", "name=^km_").split()
    shown = subprocess.run(["docker", "inspect", *ids], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, universal_newlines=True).stdout
    return json.loads(shown) if ids else []


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def with_secrets(folder):
    """The releases of whose files anything is left but the note about the image."""
    specs = os.listdir(folder) if os.path.isdir(folder) else []
    return [spec for spec in specs if os.path.isdir(os.path.join(folder, spec)) and set(os.listdir(os.path.join(folder, spec))) - {"release.json"}]


def main():
    found = {}

    def of(service):
        return found.setdefault(service, {"containers": [], "init_commands": []})

    for one in containers():
        labels = one["Config"]["Labels"]
        env = dict(pair.partition("=")[::2] for pair in one["Config"]["Env"])
        seen = {
            "id": one["Id"],
            "name": one["Name"].lstrip("/"),
            "state": one["State"]["Status"],
            "policy": one["HostConfig"]["RestartPolicy"]["Name"] or "no",
            "version": env["VERSION"],
            "spec": labels[PREFIX + "spec"],
            "port": int(labels.get(PREFIX + "port", 0)),
            "number": int(labels.get(PREFIX + "release", 0)),
        }
        if PREFIX + "service" in labels:
            of(labels[PREFIX + "service"])["containers"].append(seen)
        else:
            of(labels[PREFIX + "one_shot"])["init_commands"].append(seen["name"])
    for service, one in found.items():
        one["upstream"] = [int(port) for port in re.findall(r"server [0-9.]+:(\d+)", read("/etc/nginx/upstreams.d/%s.conf" % service))]
        one["with_secrets"] = with_secrets("/var/lib/litefarm/services/" + service)
        one["paused"] = os.path.exists("/srv/kill_matrix/%s/paused" % service)
        one["due"] = os.path.exists("/var/lib/litefarm/container_service/%s.after_start_due" % service)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
