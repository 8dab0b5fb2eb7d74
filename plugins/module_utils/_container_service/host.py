# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The droplet around the engine: folders of releases, the upstream file, connections, the lock."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import socket
import struct
import subprocess
import time

from .._atomic_files import sync_folder, write_atomically
from .._locking import wait_for_lock
from . import model
from .model import ServiceError, filename

STATE_DIRECTORY = "/var/lib/litefarm"
# Seconds. A module whose controller was killed goes on: it may wait for jobs (60), stop the old container (30) and start the new one (60).
LOCK_TIMEOUT = 180
ESTABLISHED = "01"
OUTPUTS = "/var/log/litefarm"
OUTPUTS_KEPT = 50  # files of one init command
WANTED_FOR = 3600  # seconds; as long as the deploy lock lasts


class Clock:
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


def explained(method):
    """A full disk is a reason to refuse a release, not a traceback."""

    @functools.wraps(method)
    def wrapper(*args, **kwargs):
        try:
            return method(*args, **kwargs)
        except OSError as error:
            raise ServiceError("Writing %s failed: %s." % (error.filename or "to the droplet's disk", error.strerror or error)) from error

    return wrapper


class Lock:
    """Held by this process until it ends, however it ends."""

    def __init__(self, path, timeout, clock):
        self.path = path
        self.timeout = timeout
        self.clock = clock
        self.file = None

    def __enter__(self):
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        self.file = open(self.path, "a+", encoding="utf-8")
        if not wait_for_lock(self.file, self.timeout, 0.2, self.clock):
            raise ServiceError(self.holder())
        self.file.truncate(0)
        self.file.write(json.dumps({"pid": os.getpid(), "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.clock.now()))}))
        self.file.flush()
        return self

    def holder(self):
        self.file.seek(0)
        try:
            holder = json.loads(self.file.read())
            who = "process %d holds it since %s" % (holder["pid"], holder["since"])
        except (ValueError, KeyError):
            who = "another process has just taken it"
        return "Another release of this service is under way on the droplet: %s (%s, waited %d s). Wait for it to end, or end it; then run again." % (
            who,
            self.path,
            self.timeout,
        )

    def __exit__(self, *unused):
        self.file.close()


class Host:
    def __init__(self, name, state_directory, upstream=None):
        self.name = name
        self.root = state_directory
        self.services = "%s/services/%s" % (state_directory, name)
        self.wanted = "%s/images_wanted" % state_directory
        self.lock_path = "%s/container_service/%s.lock" % (state_directory, name)
        self.due_path = "%s/container_service/%s.after_start_due" % (state_directory, name)
        self.upstream_path = "%s/%s.conf" % (model.UPSTREAMS, upstream["name"]) if upstream else None

    # -- folders of releases ---------------------------------------------------------------------------------------------------

    def folder(self, spec):
        return "%s/%s" % (self.services, spec)

    @explained
    def write_release(self, spec, image_id, declaration, files, owner):
        os.makedirs(self.root, mode=0o755, exist_ok=True)
        for path in ("%s/services" % self.root, self.services, self.folder(spec)):
            os.makedirs(path, mode=0o711, exist_ok=True)
            os.chmod(path, 0o711)
        # First, so that a run killed after it still finds the image to prune.
        write_atomically(self.folder(spec) + "/release.json", json.dumps({"image_id": image_id, "declaration": declaration}), 0o600)
        for file in files:
            write_atomically("%s/%s" % (self.folder(spec), filename(file["path"])), file["content"], int(file["mode"], 8), owner)

    def damaged(self, spec, files):
        """Paths of a release's files that do not say what they were given, and `release.json` if it cannot be read: after a fault of the disk, or by hand."""
        found = [] if self.declaration(spec) else ["release.json"]
        return found + [file["path"] for file in files if _content("%s/%s" % (self.folder(spec), filename(file["path"]))) != file["content"].encode()]

    @explained
    def repair(self, spec, image_id, declaration, files, owner):
        """The files of a release say again what they were given. A running container has them mounted, so they are written where they are."""
        damaged = self.damaged(spec, files)
        for file in files:
            path = "%s/%s" % (self.folder(spec), filename(file["path"]))
            if file["path"] in damaged and os.path.isfile(path):
                with open(path, "r+b") as there:
                    there.truncate(0)
                    there.write(file["content"].encode())
                    there.flush()
                    os.fsync(there.fileno())
        # Those that are missing, and release.json.
        left = [file for file in files if file["path"] in self.damaged(spec, files)]
        if left or "release.json" in damaged:
            self.write_release(spec, image_id, declaration, left, owner)

    def read_file(self, spec, path):
        """What a release was given at this path, for the diff."""
        try:
            with open("%s/%s" % (self.folder(spec), filename(path)), encoding="utf-8") as file:
                return file.read()
        except OSError:
            return None

    def releases(self):
        """Spec and image of every release that has a folder."""
        specs = sorted(os.listdir(self.services)) if os.path.isdir(self.services) else []
        return {spec: self._release(spec).get("image_id") for spec in specs}

    def declaration(self, spec):
        """What a release was declared as, without its secrets; None if it has no folder here."""
        return self._release(spec).get("declaration")

    def _release(self, spec):
        try:
            with open("%s/release.json" % self.folder(spec), encoding="utf-8") as file:
                found = json.load(file)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @explained
    def keep_output(self, name, lines, now):
        """The whole output of an init command, for whoever asks later; the newest ones are kept. Returns the file."""
        os.makedirs(OUTPUTS, mode=0o750, exist_ok=True)
        path = "%s/%s.%s.log" % (OUTPUTS, name, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)))
        write_atomically(path, "".join(line + "\n" for line in lines), 0o640)
        kept = sorted(entry for entry in os.listdir(OUTPUTS) if entry.startswith(name + ".") and entry.endswith(".log"))
        for entry in kept[:-OUTPUTS_KEPT]:
            os.unlink("%s/%s" % (OUTPUTS, entry))
        return path

    @explained
    def forget_secrets(self, spec):
        """A discarded release keeps no files; only its image is still known, for the next pruning."""
        folder = self.folder(spec)
        if os.path.isdir(folder):
            for entry in os.listdir(folder):
                if entry != "release.json":
                    os.unlink("%s/%s" % (folder, entry))

    @explained
    def remove_release(self, spec):
        shutil.rmtree(self.folder(spec))

    @explained
    def remove_all(self):
        if os.path.isdir(self.services):
            shutil.rmtree(self.services)
            return True
        return False

    # -- images that a run has pulled and not started yet ----------------------------------------------------------------------

    @explained
    def want_image(self, reference):
        """A run is going to need this image: no other run removes it for WANTED_FOR seconds."""
        os.makedirs(self.wanted, mode=0o755, exist_ok=True)
        write_atomically(self._wanted_path(reference), reference, 0o600)

    @explained
    def wanted_images(self, now):
        """Their references. Older ones are forgotten: their run has ended, or waits for a lock that has expired."""
        found = []
        for entry in os.listdir(self.wanted) if os.path.isdir(self.wanted) else []:
            path = "%s/%s" % (self.wanted, entry)
            # Another service may be forgetting the same one.
            with contextlib.suppress(FileNotFoundError):
                if now - os.stat(path).st_mtime > WANTED_FOR:
                    os.unlink(path)
                elif not entry.startswith("."):
                    with open(path, encoding="utf-8", errors="replace") as file:
                        found.append(file.read())
        # A damaged file names no image.
        return [reference for reference in found if reference and "\0" not in reference]

    @explained
    def forget_wanted_image(self, reference):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._wanted_path(reference))

    def _wanted_path(self, reference):
        return "%s/%s" % (self.wanted, hashlib.sha256(reference.encode()).hexdigest())

    @explained
    def mount_changes(self, mounts, apply):
        """Sources that are missing or owned wrongly; those without an owner have to be there."""
        changed = []
        for mount in mounts:
            source = mount["source"]
            if not mount["owner"]:
                if apply and not os.path.lexists(source):
                    raise ServiceError(
                        "The mount source %s does not exist on the droplet: create it first, or give the mount an owner to have it created." % source
                    )
                continue
            uid, colon, gid = mount["owner"].partition(":")
            owner, mode = (int(uid), int(gid or uid)), int(mount["mode"], 8)
            if os.path.exists(source):
                seen = os.stat(source)
                if (seen.st_uid, seen.st_gid) == owner and seen.st_mode & 0o7777 == mode:
                    continue
            changed.append(source)
            if apply:
                os.makedirs(source, mode=0o755, exist_ok=True)
                os.chown(source, *owner)
                os.chmod(source, mode)
        return changed

    # -- commands around a stop ------------------------------------------------------------------------------------------------

    def after_start_due(self):
        """Whether `before_stop` may have run, and `after_start` has not since."""
        return os.path.exists(self.due_path)

    @explained
    def set_after_start_due(self, due):
        if due:
            write_atomically(self.due_path, "", 0o644)
        elif os.path.exists(self.due_path):
            os.unlink(self.due_path)
            sync_folder(os.path.dirname(self.due_path))

    # -- upstream --------------------------------------------------------------------------------------------------------------

    def read_upstream(self):
        try:
            with open(self.upstream_path, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def upstream_since(self):
        """Since when nginx is known to serve by the file, as its time of modification says; None: it may not have read it yet."""
        try:
            return os.stat(self.upstream_path).st_mtime or None
        except FileNotFoundError:
            return None

    @explained
    def upstream_loaded(self):
        """Nginx has read the file just now."""
        if os.path.exists(self.upstream_path):
            os.utime(self.upstream_path)

    @explained
    def write_upstream(self, content, since=None):
        if content is None:
            if os.path.exists(self.upstream_path):
                os.unlink(self.upstream_path)
                sync_folder(model.UPSTREAMS)
            return
        if not os.path.isdir(model.UPSTREAMS):
            raise ServiceError("The upstream directory %s does not exist: the role nginx creates it." % model.UPSTREAMS)
        write_atomically(self.upstream_path, content, 0o644, modified=since or 0)

    def run(self, command, timeout=60):
        """Exit status and output of a command of the droplet."""
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return 127, str(error)
        return done.returncode, done.stdout.decode(errors="replace").strip()

    # -- network ---------------------------------------------------------------------------------------------------------------

    def connections(self, address, port, besides=None):
        """Established connections to a published port, seen from the side that opened them or from docker-proxy.

        Those that come from the address `besides` are not counted.
        """
        return count_established([_read("/proc/net/tcp"), _read("/proc/net/tcp6")], address, port, besides)

    def uplink_mtu(self):
        for line in _read("/proc/net/route").splitlines()[1:]:
            fields = line.split()
            if fields[1] == "00000000":
                return int(_read("/sys/class/net/%s/mtu" % fields[0]) or 1500)
        return 1500


def count_established(tables, address, port, besides=None):
    known = {"%s%04X" % (form, port) for form in written(address)}
    left_out = written(besides) if besides else ()
    found = set()
    for table in tables:
        for line in table.splitlines()[1:]:
            fields = line.split()
            ends = fields[1:3]
            if fields[3] == ESTABLISHED and known & set(ends) and not any(end.startswith(left_out) for end in ends):
                # Both ends of a connection are in the table when both are on the droplet.
                found.add(frozenset(end[-13:] for end in ends))
    return len(found)


def written(address):
    """An IPv4 address as the kernel's tables of connections write it, for both families."""
    v4 = "%08X" % struct.unpack("=I", socket.inet_aton(address))[0]
    return v4 + ":", "0000000000000000FFFF0000" + v4 + ":"


def _content(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _read(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""
