# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was declared, and what the engine has to be told to make it run. No input or output here."""

from __future__ import annotations

import hashlib
import json
import re
from urllib.parse import unquote

LABEL = "litefarm.platform."
# The label of containers of init_commands. Not renamed with the option: an interrupted run of an earlier version may have left one.
INIT_COMMAND = "one_shot"
# Part of every hash: raise it when the hardening below changes, so that running containers are replaced.
SCHEMA = 1
# The engine keeps labels in memory; a declaration larger than this is not kept for the diff.
PUBLIC_LIMIT = 32768
NETWORK = "litefarm"
LOG_FILES, LOG_MAX_MB = 3, 10
UPSTREAMS = "/etc/nginx/upstreams.d"
# `nginx.service` of the role nginx fails a reload that does not take effect; nginx itself says nothing of it.
NGINX = {
    "validate": ["nginx", "-t"],
    "reload": ["systemctl", "reload", "nginx"],
    "explain": ["journalctl", "--unit=nginx.service", "--lines=10", "--output=cat", "--no-pager"],
}
SECRET_MIN = 6

NAME = re.compile(r"^[a-z][a-z0-9_]*$")
USER = re.compile(r"^[0-9]+(:[0-9]+)?$")


class ServiceError(Exception):
    """What a person reads: one sentence first, then the evidence."""

    def __init__(self, message, **details):
        super().__init__(message)
        self.message = message
        self.details = details

    def report(self):
        """The sentence, and the container's own words below it."""
        lines = [self.message]
        if self.details.get("exit"):
            lines.append("Exit: %s" % self.details["exit"])
        lines += ["Probe %s" % answer for answer in self.details.get("probes", [])]
        if self.details.get("log"):
            lines += ["Last lines of its log:"] + ["  " + line for line in self.details["log"]]
        return "\n".join(lines)


def text(value):
    """An environment value as a process sees it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def reference(image):
    """`name:tag@digest` is what people write, but only `name@digest` is found again among local images."""
    name, at, digest = image.partition("@")
    if not at:
        last = name.rsplit("/", 1)[-1]
        return name if ":" in last or re.fullmatch(r"(sha256:)?[0-9a-f]{64}", name) else name + ":latest"
    head, slash, last = name.rpartition("/")
    return head + slash + last.split(":", 1)[0] + "@" + digest


def repository(image):
    """The name of an image without tag and digest."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.split(":", 1)[0]


class Masker:
    """Hides secret values in everything that leaves the module: containers print what they are given."""

    def __init__(self, values=()):
        found = set()
        for value in values:
            value = text(value)
            found.update((value, value.strip()))
            for line in value.splitlines():
                line = line.strip()
                found.add(line)
                found.update(part.strip().strip("'\"") for part in re.split(r"[=:]\s*", line, maxsplit=1)[1:])
            for password in re.findall(r"://[^/@\s:]*:([^@\s]+)@", value):
                found.update((password, unquote(password)))
        self.values = sorted((v for v in found if len(v) >= SECRET_MIN), key=len, reverse=True)

    def __call__(self, data):
        if isinstance(data, str):
            for value in self.values:
                data = data.replace(value, "********")
            return data
        if isinstance(data, dict):
            return {key: self(value) for key, value in data.items()}
        if isinstance(data, (list, tuple)):
            return [self(value) for value in data]
        return data


class Service:
    """One declaration."""

    def __init__(self, params):
        self.params = params
        self.name = params["name"]
        self.rolling = params["update"] == "rolling"
        self.upstream = params["upstream"] if self.rolling or params["state"] == "absent" else None
        self.reference = reference(params["image"]) if params["image"] else None
        # A release that was staged by an older version of this module was declared without it.
        self.recipe = params.get("image_recipe") or ""
        # The image that the recipe builds on; `reference` is the built one as soon as that is known.
        self.base = self.reference if self.recipe else None
        self.secret_env = {key: text(value) for key, value in (params["secret_env"] or {}).items()}
        self.masker = Masker(list(self.secret_env.values()) + [f["content"] for f in params["secret_files"] or []])

    def problems(self):
        """Everything that is wrong with the declaration and can be known without looking at the droplet."""
        p = self.params
        found = []
        if not NAME.match(self.name):
            found.append("name '%s' has to be lower case letters, digits and '_', and begin with a letter" % self.name)
        if p["state"] == "absent":
            return found
        if not self.reference:
            found.append("image is missing")
        if not USER.match(p["user"] or ""):
            found.append("user has to be numeric, as in '1000:1000' ('0:0' if it really has to be root)")
        for both in sorted(set(p["env"] or {}) & set(self.secret_env)):
            found.append("%s stands in env and in secret_env" % both)
        slots = 2 if self.rolling else 1
        for port in p["ports"] or []:
            if len(port["host"]) != slots:
                found.append("port %d has %d host ports, update: %s takes %d" % (port["container"], len(port["host"]), p["update"], slots))
        if self.rolling and not p["ports"]:
            found.append("update: rolling needs a port")
        if self.rolling and not self.upstream:
            found.append("update: rolling needs upstream")
        published = {port["container"] for port in p["ports"] or []}
        for probe in p["probes"] or []:
            if probe["kind"] == "exec" and not probe["command"]:
                found.append("probe %s of kind exec needs a command" % probe["name"])
            if probe["kind"] != "exec" and not probe["port"]:
                found.append("probe %s of kind %s needs a port" % (probe["name"], probe["kind"]))
            if self.rolling and probe["kind"] != "exec" and probe["port"] and probe["port"] not in published:
                found.append("probe %s asks for port %d, which is not in ports" % (probe["name"], probe["port"]))
        for command in p["reconcile"] or []:
            if not command["command"]:
                found.append("reconcile %s needs a command" % command["name"])
        if self.rolling and (p.get("before_stop") or p.get("after_start")):
            found.append("before_stop and after_start need update: recreate")
        if bool(p.get("before_stop")) != bool(p.get("after_start")):
            found.append("before_stop and after_start belong together")
        targets = [f["path"] for f in (p["config_files"] or []) + (p["secret_files"] or [])] + [m["target"] for m in p["mounts"] or []]
        for target in sorted({t for t in targets if targets.count(t) > 1}):
            found.append("%s is mounted twice" % target)
        return found

    @property
    def moving_tag(self):
        """The tag that is asked for anew, or None: a digest or an id always means the same image."""
        wanted = self.base or self.reference
        return wanted if self.params.get("pull") == "always" and "@" not in wanted and not re.fullmatch(r"(sha256:)?[0-9a-f]{64}", wanted) else None

    def dockerfile(self):
        return "FROM %s\n%s" % (self.base, self.recipe.rstrip("\n") + "\n")

    def built_labels(self):
        """By these a built image is found again, also after its base image was removed from the host."""
        return {LABEL + "base": self.base, LABEL + "recipe": _digest(self.recipe)}

    def built_name(self, base_id):
        """A name that no registry has: what it is made of decides its tag."""
        return "litefarm.local/%s:%s" % (repository(self.base).rpartition("/")[2], _digest(base_id + self.recipe)[:12])

    def declaration(self):
        """All of it but what may be secret: enough to carry a staged release through the phases that are left."""
        left_out = ("secret_env", "secret_files", "reconcile", "config_files", "env", "init_commands", "pull")
        kept = {key: value for key, value in self.params.items() if key not in left_out}
        kept["reconcile_left"] = bool(self.params["reconcile"])
        # Earlier versions of this module read these, and another operator may still have one.
        kept["probes"] = [dict(probe, headers={}) for probe in kept["probes"] or []]
        kept["healthy_after"] = kept.pop("success_threshold")
        if kept["upstream"]:
            kept["upstream"] = dict(kept["upstream"], directory=UPSTREAMS, **NGINX)
        return kept

    @property
    def files(self):
        return [dict(f, secret=False) for f in self.params["config_files"] or []] + [dict(f, secret=True) for f in self.params["secret_files"] or []]

    def owner(self):
        uid, colon, gid = self.params["user"].partition(":")
        return int(uid), int(gid or uid)

    def public(self, image_id):
        """The declaration without any secret: kept in a label, so that the next diff has a before."""
        p = self.params
        return {
            "image": self.reference,
            "image_id": image_id,
            "command": p["command"],
            "entrypoint": p["entrypoint"],
            "user": p["user"],
            "workdir": p["workdir"],
            "env": {key: text(value) for key, value in (p["env"] or {}).items()},
            "secret_env": sorted(self.secret_env),
            "config_files": {f["path"]: f["mode"] for f in p["config_files"] or []},
            "secret_files": {f["path"]: f["mode"] for f in p["secret_files"] or []},
            "mounts": {m["target"]: m["source"] + (":ro" if m["read_only"] else "") for m in p["mounts"] or []},
            "tmpfs": {key: text(value) for key, value in (p["tmpfs"] or {}).items()},
            "ports": ["%s:%s->%d" % (port["address"], "|".join(str(h) for h in port["host"]), port["container"]) for port in p["ports"] or []],
            "memory_mb": p["memory_mb"],
            "cpus": p["cpus"],
            "pids_limit": p["pids_limit"],
            "shm_mb": p["shm_mb"],
            # Options of earlier versions, and part of their hashes: without them every container would be replaced.
            "capabilities": [],
            "labels": {},
            "network": NETWORK,
            "log": "%d files of %d MB" % (LOG_FILES, LOG_MAX_MB),
            "read_only": True,
            "extra_hosts": p["extra_hosts"] or {},
            "stop_timeout": p["stop_timeout"],
            "update": p["update"],
        }

    def spec(self, image_id):
        """The hash of all that makes a container different. The name an image goes by does not."""
        whole = dict(self.public(image_id), schema=SCHEMA)
        del whole["image"]
        whole["secret_env"] = self.secret_env
        whole["files"] = [[f["path"], f["mode"], f["content"]] for f in self.files]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32]

    def port(self, slot):
        """The host port by which the release in this slot is known."""
        ports = self.params["ports"]
        return ports[0]["host"][slot] if ports else 0

    def free_slot(self, taken_port):
        if not self.rolling:
            return 0
        return 1 if taken_port == self.port(0) else 0

    def labels(self, image_id, number, slot):
        labels = {
            LABEL + "service": self.name,
            LABEL + "spec": self.spec(image_id),
            LABEL + "release": str(number),
            LABEL + "port": str(self.port(slot)),
            LABEL + "image": self.reference,
        }
        public = json.dumps(self.public(image_id), sort_keys=True)
        if len(public) <= PUBLIC_LIMIT:
            labels[LABEL + "public"] = public
        return labels

    def body(self, image_id, number, slot, folder):
        """What the engine's `POST /containers/create` takes for a release."""
        p = self.params
        host = self._host_config(folder, p["mounts"] or [])
        host["PortBindings"] = {
            "%d/tcp" % port["container"]: [{"HostIp": port["address"], "HostPort": str(port["host"][slot])}] for port in p["ports"] or []
        }
        if p["shm_mb"]:
            host["ShmSize"] = p["shm_mb"] << 20
        body = self._process(p["command"], p["entrypoint"], p["user"], p["workdir"], {})
        body["Labels"] = self.labels(image_id, number, slot)
        body["ExposedPorts"] = {key: {} for key in host["PortBindings"]}
        body["StopTimeout"] = p["stop_timeout"]
        body["HostConfig"] = host
        # A rolling service is reached through its upstream only: two containers would share the alias.
        endpoint = {} if self.rolling else {"Aliases": [self.name]}
        body["NetworkingConfig"] = {"EndpointsConfig": {NETWORK: endpoint}}
        return body

    def init_command_body(self, command, image_id, folder):
        p = self.params
        body = self._process(command["command"], p["entrypoint"], p["user"], p["workdir"], command["env"] or {})
        body["Labels"] = {LABEL + INIT_COMMAND: self.name, LABEL + "spec": self.spec(image_id)}
        body["HostConfig"] = self._host_config(folder, command["mounts"] or [])
        body["NetworkingConfig"] = {"EndpointsConfig": {NETWORK: {}}}
        return body

    def _process(self, command, entrypoint, user, workdir, more_env):
        env = {key: text(value) for key, value in (self.params["env"] or {}).items()}
        env.update(self.secret_env)
        env.update((key, text(value)) for key, value in more_env.items())
        body = {"Image": self.reference, "User": user, "Env": ["%s=%s" % pair for pair in sorted(env.items())]}
        if command:
            body["Cmd"] = list(command)
        if entrypoint:
            body["Entrypoint"] = list(entrypoint)
        if workdir:
            body["WorkingDir"] = workdir
        return body

    def _host_config(self, folder, mounts):
        p = self.params
        binds = [{"Type": "bind", "Source": m["source"], "Target": m["target"], "ReadOnly": m["read_only"]} for m in mounts]
        binds += [{"Type": "bind", "Source": folder + "/" + filename(f["path"]), "Target": f["path"], "ReadOnly": True} for f in self.files]
        host = {
            "RestartPolicy": {"Name": "no"},
            "NetworkMode": NETWORK,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "Init": True,
            "PidsLimit": p["pids_limit"],
            "Tmpfs": {key: text(value) for key, value in (p["tmpfs"] or {}).items()},
            "Mounts": binds,
            "ExtraHosts": ["%s:%s" % pair for pair in sorted((p["extra_hosts"] or {}).items())],
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "%dm" % LOG_MAX_MB, "max-file": str(LOG_FILES)}},
        }
        if p["memory_mb"]:
            host["Memory"] = host["MemorySwap"] = p["memory_mb"] << 20
        if p["cpus"]:
            host["NanoCpus"] = int(p["cpus"] * 1000000000)
        return host


def _digest(content):
    return hashlib.sha256(content.encode()).hexdigest()


def filename(path):
    """The name of a mounted file in its release's folder."""
    return path.strip("/").replace("_", "_-").replace("/", "__")


def upstream_text(name, port, address="127.0.0.1", backup=None, backup_address=None):
    """The servers of an nginx upstream; nginx asks the backup only where the first one fails."""
    lines = ["# The release of %s that serves; written by litefarm.platform.container_service, not by hand." % name]
    lines.append("server %s:%d max_fails=0;" % (address, port))
    if backup:
        lines.append("server %s:%d backup;" % (backup_address or address, backup))
    return "\n".join(lines) + "\n"


def upstream_ports(content):
    """The ports of an upstream file, the backup last."""
    return [int(port) for port in re.findall(r"^\s*server\s+\S+:([0-9]+)[\s;]", content or "", re.MULTILINE)]


def upstream_port(content):
    return next(iter(upstream_ports(content)), None)
