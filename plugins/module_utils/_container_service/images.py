# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How old third-party images of services are, and whether their registry has newer ones under the same tags."""

from __future__ import annotations

import calendar
import concurrent.futures
import contextlib
import json
import os
import time

from .._atomic_files import write_atomically
from .model import LABEL, ServiceError

# Registries count questions as pulls, and allow some tens of them in an hour.
CACHE, CACHED_FOR = "/run/litefarm/registry.json", 3600  # path, seconds
# Images that were built for reproducibility have this or an even earlier time.
NO_TIME = "1981"


def third_party(services, engine, cache=CACHE, now=None):
    """Service to C(image), C(age) in seconds and C(newer), each null if it is not known, and C(problem), why."""
    now = time.time() if now is None else now
    running = {name: container for name in services for container in engine.containers(name) if container.name == name}
    found = {name: look(container, engine, now) for name, container in running.items()}
    tags = sorted({each["image"] for each in found.values() if "@" not in each["image"]})
    digests, problems = ask_registries(tags, engine, cache, now)
    for each in found.values():
        pulled = each.pop("digests")
        if "@" in each["image"]:
            each["problem"] = "its digest is fixed"
        elif each["image"] in problems:
            each["problem"] = problems[each["image"]]
        elif not pulled:
            each["problem"] = "it was not pulled from a registry, or was removed"
        else:
            each["newer"] = digests[each["image"]] not in pulled
    return found


def look(container, engine, now):
    """What the droplet itself knows of a container's image; of one that was built here, of the image that it is built on."""
    document, name = engine.image(container.image_id) or {}, container.image
    base = ((document.get("Config") or {}).get("Labels") or {}).get(LABEL + "base")
    if base:
        document, name = engine.image(base) or {}, base
    created = document.get("Created") or ""
    age = int(now - calendar.timegm(time.strptime(created[:19], "%Y-%m-%dT%H:%M:%S"))) if created > NO_TIME else None
    digests = [each.partition("@")[2] for each in document.get("RepoDigests") or []]
    return {"image": name, "age": age, "newer": None, "problem": "", "digests": digests}


def ask_registries(tags, engine, cache, now):
    """Tag to digest, and tag to why there is none."""
    known = {tag: each for tag, each in read(cache).items() if now - CACHED_FOR < each["time"] <= now}
    digests, problems = {tag: known[tag]["digest"] for tag in tags if tag in known}, {}
    missing = [tag for tag in tags if tag not in known]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = {tag: pool.submit(engine.registry_digest, tag) for tag in missing}
        for tag, answer in asked.items():
            try:
                digests[tag] = answer.result()
                known[tag] = {"digest": digests[tag], "time": now}
            except ServiceError as error:
                problems[tag] = str(error)
    if set(missing) - set(problems):
        # What cannot be kept is asked again.
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(cache), exist_ok=True)
            write_atomically(cache, json.dumps(known), 0o644)
    return digests, problems


def read(cache):
    try:
        with open(cache, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def has_newer(reference, engine):
    """Whether pulling the tag would bring another image than the droplet has."""
    document = engine.image(reference)
    if document is None:
        return True
    digest = engine.registry_digest(reference)
    return not any(each.endswith("@" + digest) for each in document.get("RepoDigests") or [])
