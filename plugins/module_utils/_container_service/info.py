# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a droplet, and what it has room for. Nothing is changed."""

from __future__ import annotations

import os
import time

from .._restarts import recent
from .engine import Engine, EngineMissing
from .host import Clock, Host
from .model import reference, upstream_ports
from .release import by_retirement
from .staged import staged

ENGINE_DIRECTORY = "/var/lib/docker"
STAMP = "%Y-%m-%dT%H:%M:%SZ"


def running(services, images, probe, state_directory):
    """As M(litefarm.platform.release_info) returns it. A droplet without an engine has nothing."""
    engine = Engine()
    answer = {
        "services": {},
        "missing_images": [],
        "engine": True,
        "memory_available_mb": memory_available(),
        "disk_free_mb": disk_free(),
        "now": time.strftime(STAMP, time.gmtime()),
    }
    try:
        found = {name: look(name, engine, state_directory, probe) for name in services}
        answer["services"] = {name: seen for name, seen in found.items() if seen}
        answer["missing_images"] = [image for image in images if engine.image_id(reference(image)) is None]
    except EngineMissing:
        answer.update(engine=False, missing_images=images)
    return answer


def look(name, engine, state_directory, probe):
    """What is there of a service: the container that serves, and which release is committed. Nothing if none of it serves or is committed."""
    containers = engine.containers(name)
    by_name = {c.name: c for c in containers}
    current, incoming = by_name.get(name), by_name.get(name + ".next")
    retained = by_retirement([c for c in containers if c.name.startswith(name + ".previous.")], engine)
    # A retained release that runs is on its way back.
    there = [c for c in (current, incoming, *(c for c in retained if c.running)) if c is not None]
    host = Host(name, state_directory)
    declarations = {c.id: host.declaration(c.spec) or {} for c in there}
    upstream = next((each["upstream"] for each in declarations.values() if each.get("upstream")), None)
    host = Host(name, state_directory, upstream)
    content = host.read_upstream() if upstream else None
    seen = serving(there, current, upstream_ports(content)) if upstream else next((c for c in there if c.running), current)
    if seen is None:
        return None
    details, declaration = engine.inspect(seen.id), declarations[seen.id]
    answers = ask(name, seen, engine, state_directory) if probe and seen.running and declaration else []
    return {
        "image": seen.image,
        "spec": seen.spec,
        "number": seen.number,
        "state": seen.state,
        "since": details.started_at[:19] + "Z",
        "restarts": details.restarts,
        **recent(seen.id, details.restarts),
        "port": seen.port,
        "healthy": all(answer.good for answer in answers) if answers else None if seen.running else False,
        "probes": [str(answer) for answer in answers],
        "memory_mb": declaration.get("memory_mb") or 0,
        "update": declaration.get("update") or "",
        "committed_image": current.image if current else "",
        "beside": next((c.image for c in there if c is not seen), ""),
        "copies": sum(c.running for c in there),
        "upstream_read": content is None or host.upstream_since() is not None,
        "previous": [container.image for container in retained],
        "under_way": any(c is not current for c in there),
    }


def serving(there, current, ports):
    """The container that nginx asks by its upstream file, whose ports end with the backup's; the current one if the file names none of them."""
    named = [c for port in ports for c in there if c.port == port]
    return next((c for c in named if c.running), named[0] if named else current)


def ask(name, container, engine, state_directory):
    release = staged(name, container.spec, "settle", engine, Clock(), None, state_directory)
    return release.prober.check(container)


def memory_available():
    with open("/proc/meminfo", encoding="ascii") as file:
        sizes = {key: int(value.split()[0]) for key, _colon, value in (line.partition(":") for line in file)}
    return (sizes["MemAvailable"] + sizes["SwapFree"]) // 1024


def disk_free():
    place = ENGINE_DIRECTORY if os.path.exists(ENGINE_DIRECTORY) else "/"
    usage = os.statvfs(place)
    return usage.f_frsize * usage.f_bavail // 2**20
