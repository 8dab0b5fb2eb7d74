# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A droplet that exists only in memory: engine, nginx, files and time."""

from __future__ import annotations

import re

from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import Container, Details
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.host import WANTED_FOR
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import LABEL, NGINX, Service, ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.probes import Answer
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.release import Release

DEFAULTS = {
    "name": "web",
    "state": "present",
    "image_recipe": "",
    "command": None,
    "entrypoint": None,
    "user": "1000:1000",
    "workdir": None,
    "env": {},
    "secret_env": {},
    "config_files": [],
    "secret_files": [],
    "mounts": [],
    "tmpfs": {},
    "ports": [],
    "memory_mb": 512,
    "cpus": 0,
    "pids_limit": 256,
    "shm_mb": 0,
    "extra_hosts": {},
    "probes": [],
    "success_threshold": 3,
    "probe_interval": 1,
    "start_timeout": 20,
    "settle": 3,
    "stop_timeout": 10,
    "drain_timeout": 30,
    "drain_quiet": 0.4,
    "init_commands": [],
    "reconcile": [],
    "before_stop": None,
    "after_start": None,
    "upstream": None,
    "retain": 1,
}


def parameters(update, image, **more):
    """The module's parameters, as Ansible hands them over."""
    params = dict(DEFAULTS, update=update, image=image)
    params["ports"] = [{"container": 80, "address": "127.0.0.1", "host": [15000, 15001] if update == "rolling" else [5432]}]
    params["init_commands"] = [{"name": "migrate", "command": ["migrate"], "env": {}, "mounts": [], "timeout": 600, "keep_output": False}]
    params["reconcile"] = [{"name": "roles", "command": ["roles"], "stdin": "SELECT"}]
    if update == "rolling":
        params["upstream"] = {"name": "web", "stream_source": None}
    params.update(more)
    return params


def ports_of(content):
    """The ports of an upstream file, the backup last."""
    return [int(port) for port in re.findall(r"^server 127\.0\.0\.1:(\d+) (?:max_fails=0|backup);$", content or "", re.MULTILINE)]


class Killed(BaseException):
    """SIGKILL: nothing of the program runs after it."""


class Clock:
    def __init__(self):
        self.seconds = 1000.0
        self.at_sleep = []

    def monotonic(self):
        return self.seconds

    now = monotonic

    def sleep(self, seconds):
        self.seconds += seconds
        for watcher in self.at_sleep:
            watcher()


class One:
    """A container."""

    def __init__(self, number, name, body, created, image_id):
        self.id = "id%d" % number
        # A tag may move to another image, and leaves the container its own.
        self.image_id = image_id
        self.created = created
        self.name = name
        self.body = body
        self.state = "created"
        self.policy = "no"
        self.stopped_by_hand = False
        self.exit_code = 0
        self.restarts = 0
        self.finished_at = ""
        # Exit codes that restarts have left behind, and whether memory ran out.
        self.deaths = ([], False)

    def run_out_of_memory(self):
        """The kernel kills it; the engine is going to start it again."""
        self.state, self.restarts = "restarting", self.restarts + 1
        self.deaths = ([*self.deaths[0], 137], True)


class Droplet:
    """Engine, nginx and disk. Images listed in `broken` make containers that exit, those in `unwell` answer badly.

    `says` is what a command in a container ends with: exit code, standard output, standard error.
    """

    def __init__(self, rolling):
        self.rolling = rolling
        self.clock = Clock()
        self.images = {}
        self.containers = {}
        self.broken = set()
        self.unwell = set()
        self.failing_shots = set()
        self.ran_shots = []
        self.asked = []
        self.says = (0, "", "")
        self.file = None
        self.loaded = []
        self.refuses = set()
        self.folders = {}
        # Files of releases that do not say what they were given.
        self.damaged = []
        self.count = 0
        self.log = []
        self.overlap = False
        self.removed_images = []
        self.networks = set()
        self.kept = []
        self.read_at = None
        self.connected = {}
        self.left_out = None
        self.judged = []
        self.wanted = {}
        self.built = []
        self.built_labels = {}
        # Whether `after_start` is due, and what to do with a command in a container instead of answering `says`.
        self.due = False
        self.stopped = []
        self.obey = None
        # What pulling a tag brings, if that is another image than the droplet has.
        self.registry = {}

    def image(self, reference):
        return self.images.setdefault(reference, "sha256:%s" % reference)

    def named(self, name):
        return next((c for c in self.containers.values() if c.name == name), None)

    def serving(self):
        """The image that answers a request now."""
        if self.rolling:
            answers = [c for port in self.loaded for c in self.containers.values() if c.state == "running" and port_of(c) == port]
        else:
            answers = [c for c in self.containers.values() if c.state == "running" and LABEL + "service" in c.body["Labels"]]
        return answers[0].body["Image"] if answers else "nobody"

    def reboot(self):
        """All processes end; what comes back is decided by restart policies and by the upstream file."""
        for container in self.containers.values():
            was_up = container.state == "running"
            if was_up:
                container.state, container.exit_code = "exited", 255
            back = container.policy == "always" or (container.policy == "unless-stopped" and not container.stopped_by_hand)
            if back and container.finished_at + container.state != "created":
                container.state = "running"
        self.loaded = ports_of(self.file)

    def running(self):
        return [c.name for c in self.containers.values() if c.state == "running"]


def port_of(container):
    return int(container.body["Labels"].get(LABEL + "port", "0"))


class Engine:
    def __init__(self, droplet):
        self.droplet = droplet

    def _containers(self):
        return self.droplet.containers

    def containers(self, name, label="service"):
        found = [c for c in self._containers().values() if c.body["Labels"].get(LABEL + label) == name]
        return [
            Container(
                {
                    "Id": c.id,
                    "Names": ["/" + c.name],
                    "State": c.state,
                    "ImageID": c.image_id,
                    "Created": int(c.created),
                    "Labels": c.body["Labels"],
                }
            )
            for c in found
        ]

    def inspect(self, container_id):
        c = self._containers()[container_id]
        return Details(
            {
                "State": {
                    "Running": c.state == "running",
                    "Status": c.state,
                    "ExitCode": c.exit_code,
                    "OOMKilled": False,
                    "Error": "",
                    "StartedAt": "",
                    "FinishedAt": c.finished_at,
                },
                "RestartCount": c.restarts,
                "HostConfig": {"RestartPolicy": {"Name": c.policy}, "PortBindings": c.body.get("HostConfig", {}).get("PortBindings")},
                "Config": {"StopTimeout": 10, "Env": c.body["Env"]},
                "Image": c.image_id,
            }
        )

    def image_id(self, reference):
        return self.droplet.images.get(reference)

    def image(self, reference):
        image_id = self.droplet.images.get(reference)
        return {"Id": image_id, "RepoDigests": ["name@%s" % image_id]} if image_id else None

    def registry_digest(self, reference):
        return self.droplet.registry.get(reference) or self.droplet.image(reference)

    def pull(self, reference):
        self.droplet.images.update({reference: self.droplet.registry[reference]} if reference in self.droplet.registry else {})
        return self.droplet.image(reference)

    def tag(self, image_id, reference):
        self.droplet.images[reference] = image_id

    def build(self, tag, recipe, labels):
        self.droplet.built.append((tag, recipe))
        self.droplet.built_labels[tag] = labels
        return self.droplet.image(tag)

    def labelled_image(self, labels):
        found = [(self.droplet.images[tag], tag) for tag, own in self.droplet.built_labels.items() if own == labels and tag in self.droplet.images]
        return found[-1] if found else None

    def images(self):
        return {image_id: [reference] for reference, image_id in self.droplet.images.items()}

    def image_in_use(self, image_id):
        return any(c.image_id == image_id for c in self._containers().values())

    def remove_image(self, image_id):
        self.droplet.removed_images.append(image_id)
        self.droplet.images = {reference: other for reference, other in self.droplet.images.items() if other != image_id}

    def network(self, name):
        return name in self.droplet.networks or None

    def create_network(self, name, mtu):
        self.droplet.networks.add(name)

    def default_mtu(self):
        return 1500

    def deaths(self, container_id, since):
        return self._containers()[container_id].deaths

    def create(self, name, body):
        if self.droplet.named(name):
            raise ServiceError("The name %s is taken" % name)
        self.droplet.count += 1
        container = One(self.droplet.count, name, body, self.droplet.clock.seconds, self.droplet.image(body["Image"]))
        self._containers()[container.id] = container
        return container.id

    def start(self, container_id):
        c = self._containers()[container_id]
        c.stopped_by_hand = False
        c.restarts = 0
        if LABEL + "one_shot" in c.body["Labels"]:
            self.droplet.ran_shots.append(c.body["Image"])
            c.state = "exited"
            c.exit_code = 1 if c.body["Image"] in self.droplet.failing_shots else 0
            return
        taken = [o for o in self._containers().values() if o.state == "running" and port_of(o) == port_of(c) and o is not c]
        if taken:
            raise ServiceError("port is already allocated")
        broken = bool({c.body["Image"], c.image_id} & self.droplet.broken)
        c.state, c.exit_code = ("exited", 3) if broken else ("running", 0)
        c.finished_at = "%09.1f" % self.droplet.clock.seconds if broken else c.finished_at

    def stop(self, container_id, timeout):
        c = self._containers()[container_id]
        self.droplet.stopped.append((c.body["Image"], self.droplet.clock.seconds))
        c.state, c.exit_code, c.stopped_by_hand = "exited", 143, True
        self.droplet.clock.seconds += 1
        c.finished_at = "%09.1f" % self.droplet.clock.seconds

    def remove(self, container_id):
        del self._containers()[container_id]

    def rename(self, container_id, name):
        if self.droplet.named(name):
            raise ServiceError("The name %s is taken" % name)
        self._containers()[container_id].name = name

    def set_policy(self, container_id, policy):
        self._containers()[container_id].policy = policy

    def execute(self, container_id, command, timeout, user=None, stdin=None):
        c = self._containers()[container_id]
        if c.state != "running":
            raise ServiceError("Container %s is not running" % c.name)
        self.droplet.asked.append((c.body["Image"], command, stdin))
        return (self.droplet.obey and self.droplet.obey(c, command)) or self.droplet.says

    def wait(self, container_id, timeout):
        c = self._containers()[container_id]
        if c.state == "running":
            c.state = "exited"
        return c.exit_code

    def logs(self, container_id, lines):
        return ["the log of %s" % self._containers()[container_id].body["Image"]]


class Host:
    def __init__(self, droplet):
        self.droplet = droplet

    def folder(self, spec):
        return "/state/%s" % spec

    def write_release(self, spec, image_id, declaration, files, owner):
        self.droplet.folders[spec] = {"image_id": image_id, "declaration": declaration, "files": [f["path"] for f in files]}

    def releases(self):
        return {spec: folder["image_id"] for spec, folder in self.droplet.folders.items()}

    def declaration(self, spec):
        return self.droplet.folders.get(spec, {}).get("declaration")

    def keep_output(self, name, lines, now):
        self.droplet.kept.append((name, lines))
        return "/outputs/%s" % name

    def forget_secrets(self, spec):
        if spec in self.droplet.folders:
            self.droplet.folders[spec]["files"] = []

    def remove_release(self, spec):
        del self.droplet.folders[spec]

    def remove_all(self):
        gone, self.droplet.folders = bool(self.droplet.folders), {}
        return gone

    def want_image(self, reference):
        self.droplet.wanted[reference] = self.droplet.clock.seconds

    def wanted_images(self, now):
        return [reference for reference, since in self.droplet.wanted.items() if now - since <= WANTED_FOR]

    def forget_wanted_image(self, reference):
        self.droplet.wanted.pop(reference, None)

    def mount_changes(self, mounts, apply):
        return []

    def damaged(self, spec, files):
        return self.droplet.damaged

    def repair(self, spec, image_id, declaration, files, owner):
        self.droplet.damaged = []

    def read_file(self, spec, path):
        return None

    def after_start_due(self):
        return self.droplet.due

    def set_after_start_due(self, due):
        self.droplet.due = due

    def read_upstream(self):
        return self.droplet.file

    def upstream_since(self):
        return self.droplet.read_at

    def upstream_loaded(self):
        self.droplet.read_at = self.droplet.clock.seconds if self.droplet.file is not None else None

    def write_upstream(self, content, since=None):
        self.droplet.file = content
        self.droplet.read_at = since

    def run(self, command, timeout=60):
        which = next(which for which, known in NGINX.items() if known == command)
        if which in self.droplet.refuses:
            return 1, "%s says no" % which
        if which == "reload":
            self.droplet.loaded = ports_of(self.droplet.file)
        return 0, ""

    def connections(self, address, port, besides=None):
        self.droplet.left_out = besides
        return self.droplet.connected.get(port, 0)

    def uplink_mtu(self):
        return 1400


class Prober:
    def __init__(self, droplet):
        self.droplet = droplet

    def check(self, container, declaration=None):
        self.droplet.judged.append((container.name, declaration))
        seen = self.droplet.containers[container.id]
        good = seen.state == "running" and not {seen.body["Image"], seen.image_id} & self.droplet.unwell
        return [Answer("liveness", good, "fake")]


def release(droplet, update, image, fault=None, **more):
    """A run of the module that has not begun; it is killed right after the step `fault`."""

    def reached(step):
        droplet.log.append(step)
        if step == fault:
            raise Killed(step)

    droplet.log = []
    service = Service(parameters(update, image, **more))
    assert service.problems() == []
    if service.reference:
        droplet.image(service.reference)
    return Release(service, Engine(droplet), Host(droplet), Prober(droplet), droplet.clock, reached)


def run(droplet, update, image, operation="present", **more):
    made = release(droplet, update, image, **more)
    getattr(made, operation)()
    return made
