# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run would do, and what it changes, in words that hold no secret."""

from __future__ import annotations

import json

from .engine import EngineMissing
from .images import has_newer
from .model import LABEL, upstream_port

UNKNOWN = "(known when it is pulled)"


class Before:
    """The current release as it is before anything is done; all empty on a fresh droplet."""

    def __init__(self, release):
        self.public = {}
        self.files = {}
        self.env = {}
        self.state = "absent"
        self.upstream = None
        self.port = None
        if release is None or release.current is None:
            return
        current = release.current
        self.public = json.loads(current.labels.get(LABEL + "public", "{}")) or {"image": current.image, "image_id": current.image_id}
        for path in list(self.public.get("config_files", {})) + list(self.public.get("secret_files", {})):
            self.files[path] = release.host.read_file(current.spec, path)
        self.env = release.engine.inspect(current.id).env
        self.state = current.state
        self.port = current.port
        self.upstream = upstream_port(release.upstream)


def would_change(release):
    """Check mode. A fresh droplet, where neither engine nor SDK is installed yet, is no error."""
    state = release.params["state"]
    try:
        release.observe()
        if state != "absent":
            release.resolve(pull=False)
    except EngineMissing:
        return state not in ("absent", "revert"), None
    spec, current, incoming = release.spec, release.current, release.incoming
    done = current is not None and current.spec == spec and incoming is None
    if state == "run":
        return bool(release.params["init_commands"]), release
    if state == "absent":
        return bool(release.containers or release.host.releases() or release.upstream), release
    if state == "present":
        if release.service.moving_tag and has_newer(release.service.moving_tag, release.engine):
            return True, release
        return spec is None or not release.unchanged(), release
    if state == "stage":
        staged = incoming is not None and incoming.spec == spec and (release.kept(incoming) or not release.service.rolling)
        return not (staged or (done and release.unchanged())), release
    if state == "revert":
        return spec is not None and spec in {c.spec for c in (current, incoming) if c is not None}, release
    switched = incoming is not None and incoming.spec == spec and release.serves(incoming) and release.kept(incoming)
    return not (done or (state == "switch" and switched)), release


def would_reconcile(release, engine_there):
    """In check mode the caller's input has the commands only describe. A container that is about to be replaced may lack what they need."""
    if release.params["state"] not in ("present", "commit"):
        return
    asked = engine_there and release.current is not None and release.current.state == "running"
    for command in release.params["reconcile"] or []:
        changes, error = release.reconcile_one(command) if asked else ([], None)
        if error and not release.changed:
            raise error
        if error or not asked:
            changes = ["changed: %s would be reconciled" % command["name"]]
        release.reconciled.append({"name": command["name"], "changes": changes})


def difference(service, before, image_id, absent=False):
    """Ansible's diff: the declaration as it is and as it will be."""
    name = service.name
    return {
        "before_header": "container %s" % name,
        "after_header": "container %s" % name,
        "before": _text(before.public, _marked_before(before), before.state, before.upstream),
        "after": "" if absent else _after(service, before, image_id),
    }


def _after(service, before, image_id):
    public = service.public(image_id or UNKNOWN)
    marks = {}
    for file in service.files:
        old = before.files.get(file["path"])
        if not file["secret"]:
            marks[file["path"]] = file["content"]
        elif old is None:
            marks[file["path"]] = _sized("secret", file["content"])
        else:
            marks[file["path"]] = _sized("secret" if old == file["content"] else "secret, content changed", file["content"])
    for key, value in service.secret_env.items():
        marks[key] = "(secret, content changed)" if key in before.env and before.env[key] != value else "(secret)"
    port = None
    if service.rolling:
        changes = public != before.public or any("content changed" in str(mark) for mark in marks.values()) or _config_changed(service, before)
        port = service.port(service.free_slot(before.port)) if changes else before.port
    return _text(public, marks, "running", port)


def _config_changed(service, before):
    return any(before.files.get(f["path"]) != f["content"] for f in service.files)


def _marked_before(before):
    marks = {path: content for path, content in before.files.items() if path in before.public.get("config_files", {})}
    for path in before.public.get("secret_files", {}):
        marks[path] = _sized("secret", before.files.get(path) or "")
    marks.update((key, "(secret)") for key in before.public.get("secret_env", []))
    return marks


def _sized(what, content):
    return "(%s, %d bytes)" % (what, len(content.encode()))


def _text(public, marks, state, port):
    if not public:
        return ""
    shown = dict(public, state=state)
    if port:
        shown["upstream"] = port
    shown["secret_env"] = {key: marks.get(key) for key in public.get("secret_env", [])}
    for kind in ("config_files", "secret_files"):
        shown[kind] = {
            path: {"mode": mode, "content": (marks.get(path) or "").splitlines()} for path, mode in public.get(kind, {}).items()
        }
    return json.dumps(shown, indent=2, sort_keys=True) + "\n"
