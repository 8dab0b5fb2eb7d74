# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a droplet, and what it has room for. Nothing is changed."""

from __future__ import annotations

import os

from .engine import Engine, EngineMissing
from .host import Clock, Host
from .model import LABEL, reference
from .release import by_retirement
from .staged import staged

ENGINE_DIRECTORY = "/var/lib/docker"


def running(services, images, probe, state_directory):
    """As M(litefarm.platform.release_info) returns it. A droplet without an engine has nothing."""
    engine = Engine()
    answer = {"services": {}, "missing_images": [], "engine": True, "memory_available_mb": memory_available(), "disk_free_mb": disk_free()}
    try:
        found = {name: look(name, engine, state_directory, probe) for name in services}
        answer["services"] = {name: seen for name, seen in found.items() if seen}
        answer["missing_images"] = [image for image in images if engine.image_id(reference(image)) is None]
    except EngineMissing:
        answer.update(engine=False, missing_images=images)
    return answer


def look(name, engine, state_directory, probe):
    """What is there of a service, or nothing."""
    containers = engine.containers(name)
    current = next((c for c in containers if c.name == name), None)
    if current is None:
        return None
    details = engine.inspect(current.id)
    retained = by_retirement([c for c in containers if c.name.startswith(name + ".previous.")], engine)
    declaration = Host(name, state_directory).declaration(current.spec) or {}
    answers = ask(name, current, engine, state_directory) if probe and current.running and declaration else []
    return {
        "image": current.image,
        "spec": current.spec,
        "number": current.number,
        "state": current.state,
        "since": details.started_at[:19] + "Z",
        "restarts": details.restarts,
        "port": int(current.labels.get(LABEL + "port", "0")),
        "healthy": all(answer.good for answer in answers) if answers else None if current.running else False,
        "probes": [str(answer) for answer in answers],
        "memory_mb": declaration.get("memory_mb") or 0,
        "update": declaration.get("update") or "",
        "previous": [container.image for container in retained],
        "under_way": any(c.name == name + ".next" or (c in retained and c.running) for c in containers),
    }


def ask(name, current, engine, state_directory):
    release = staged(name, current.spec, "settle", engine, Clock(), None, state_directory)
    return release.prober.check(current)


def memory_available():
    with open("/proc/meminfo", encoding="ascii") as file:
        sizes = {key: int(value.split()[0]) for key, _colon, value in (line.partition(":") for line in file)}
    return (sizes["MemAvailable"] + sizes["SwapFree"]) // 1024


def disk_free():
    place = ENGINE_DIRECTORY if os.path.exists(ENGINE_DIRECTORY) else "/"
    usage = os.statvfs(place)
    return usage.f_frsize * usage.f_bavail // 2**20
