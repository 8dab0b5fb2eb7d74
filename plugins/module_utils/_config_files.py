# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a set of configuration files, and the units that read them, to a declared state: all of it or none of it.

The order of every change is: save what is there, write the journal, write the files, validate, run commands, act on
units, remove the journal. Whoever finds a journal knows that a run was interrupted: it puts the saved files back and
treats every file named in the journal as changed, so that no reload is lost.

"Unchanged" means what is live. A file with the declared content that was touched since its units read it, a unit that systemd runs by an
older file, and what the question C(live) of a unit or command finds different in the kernel count as changed as well (see _live.py).
"""

from __future__ import annotations

import errno
import fnmatch
import grp
import json
import os
import pwd
import re
import shlex
import stat
import subprocess
import time

from . import _live as live
from ._atomic_files import link_atomically, sync_folder, temporary_of, unlink, write_atomically
from ._locking import wait_for_lock

STATE_ROOT = "/var/lib/litefarm/config_files"
UNIT_FOLDERS = ("/etc/systemd/", "/usr/lib/systemd/", "/lib/systemd/", "/usr/local/lib/systemd/", "/run/systemd/")
UNIT_SUFFIXES = (".service", ".timer", ".socket", ".mount", ".path", ".target", ".slice")
RUNNING = live.RUNNING
NOT_ENABLEABLE = ("enabled", "static", "alias", "indirect", "generated", "transient")
COMMAND_TIMEOUT = 300
LOCK_TIMEOUT = 120
KINDS = ("content", "template", "link")


class ConfigFilesError(Exception):
    """The declared state cannot be reached; the message is for a person."""


class ValidationError(ConfigFilesError):
    """The declaration itself makes no sense; nothing was touched."""


def kind_of(entry):
    """What an entry declares: file, link, directory or absent."""
    given = [key for key in KINDS if entry.get(key) is not None]
    if entry.get("state") is not None:
        given.append("state: %s" % entry["state"])
    if len(given) != 1:
        raise ValidationError(
            "%s: declare exactly one of template, content, link, state: absent, state: directory (declared: %s)"
            % (entry.get("dest"), ", ".join(given) or "none")
        )
    if entry.get("state") is not None:
        if entry["state"] not in ("absent", "directory"):
            raise ValidationError("%s: state is %r, must be absent or directory" % (entry["dest"], entry["state"]))
        return entry["state"]
    return "link" if entry.get("link") is not None else "file"


def check_entries(files, secret_files):
    """Refuse what cannot be meant, before anything is rendered or touched."""
    seen = set()
    for entry in list(files) + list(secret_files):
        dest = entry.get("dest")
        if not isinstance(dest, str) or not dest.startswith("/") or os.path.normpath(dest) != dest or dest == "/":
            raise ValidationError("dest must be an absolute, normalised path of a file: %r" % (dest,))
        if dest in seen:
            raise ValidationError("%s is declared twice" % dest)
        seen.add(dest)
        kind_of(entry)
        mode = entry.get("mode")
        if mode is not None and not re.match(r"^[0-7]{4}$", str(mode)):
            raise ValidationError('%s: mode is %s; write it as four octal digits in quotes, such as "0644"' % (dest, mode))


def as_command(value):
    """A command as a list of words, from a list or a line."""
    if value is None or isinstance(value, (list, tuple)):
        return [str(word) for word in value] if value else None
    return shlex.split(str(value)) or None


def question_of(item):
    """What is asked to know whether a unit or command has taken over what is declared; None if nothing is."""
    question = {key: value for key, value in (item.get("live") or {}).items() if value is not None}
    if "command" in question:
        question["command"] = as_command(question["command"])
    return question or None


def words_of(secret):
    """What of a secret file must not be seen in the output of any command: its lines, and its longer words."""
    found = set()
    for line in secret.splitlines():
        for word in [line.strip()] + re.split(r"[\s\"'=:;,@/<>(){}\[\]]+", line) + re.split(r"[\s\"';]+", line):
            if len(word) >= 8:
                found.add(word)
    return found


class Node:
    """What is at a path: absent, file, link, directory or other."""

    def __init__(self, path):
        self.path = path
        self.kind, self.uid, self.gid, self.mode, self.size, self.target = "absent", None, None, None, 0, None
        try:
            info = os.lstat(path)
        except FileNotFoundError:
            return
        except NotADirectoryError:
            raise ConfigFilesError("%s: a parent of it is a file, not a directory" % path)
        self.uid, self.gid, self.mode, self.size = info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode), info.st_size
        if stat.S_ISREG(info.st_mode):
            self.kind = "file"
        elif stat.S_ISLNK(info.st_mode):
            self.kind, self.target = "link", os.readlink(path)
        elif stat.S_ISDIR(info.st_mode):
            self.kind = "directory"
        else:
            self.kind = "other"

    def read(self):
        with open(self.path, "rb") as handle:
            return handle.read()


def set_directory(path, uid, gid, mode):
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(handle, uid, gid)
        os.fchmod(handle, mode)
    finally:
        os.close(handle)


def resolve_id(name, lookup, what, missing_is_fine):
    """A number for a user's or group's name; None if it does not exist yet and that is no error (check mode)."""
    if re.match(r"^\d+$", str(name)):
        return int(name)
    try:
        return lookup(name)
    except KeyError:
        if missing_is_fine:
            return None
        raise ConfigFilesError("%s %s does not exist on this host" % (what, name))


def name_of(number, lookup):
    try:
        return lookup(number)[0]
    except KeyError:
        return str(number)


class Runner:
    """Runs commands; what they print is returned as one text."""

    def __call__(self, command):
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=COMMAND_TIMEOUT,
                env=dict(os.environ, LC_ALL="C.UTF-8", SYSTEMD_PAGER="", SYSTEMD_COLORS="0"),
                check=False,
            )
        except FileNotFoundError:
            return 127, "%s: not found on this host" % command[0]
        except PermissionError:
            return 126, "%s: cannot be executed" % command[0]
        except subprocess.TimeoutExpired:
            return 124, "no answer within %s seconds" % COMMAND_TIMEOUT
        return done.returncode, done.stdout.decode("utf-8", "replace").strip()


class Units:
    """The few things asked of systemd."""

    PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,StateChangeTimestampMonotonic"

    def __init__(self, run):
        self.run = run

    def show(self, names):
        """State of all units by one call, keyed by the name that was asked for; None where systemd does not answer."""
        if not names:
            return {}
        code, text = self.run(["systemctl", "show", "--no-pager", "--property=" + self.PROPERTIES, "--"] + list(names))
        blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")]
        if code != 0 or len(blocks) != len(names):
            return None
        return dict(zip(names, blocks))

    def do(self, *arguments):
        return self.run(["systemctl"] + list(arguments))

    def journal(self, name, since):
        code, text = self.run(["journalctl", "-u", name, "-n", "30", "-o", "cat", "--no-pager", "--since", "@%d" % since])
        return text if code == 0 else ""


def look(names, state_root=STATE_ROOT):
    """What of these sets is not live, for verify.yml and status.yml."""
    units = Units(Runner())
    return live.look(names, state_root, units.run, units.show)


class Journal:
    """What an interrupted run leaves for the next one."""

    def __init__(self, folder):
        self.folder = folder
        self.path = os.path.join(folder, "journal.json")
        self.backups = os.path.join(folder, "previous")

    def load(self, declared=()):
        """The journal. One that a fault of the disk has damaged says nothing of what was changed, so all that is declared counts as changed."""
        try:
            with open(self.path, encoding="utf-8") as handle:
                found = json.load(handle)
        except FileNotFoundError:
            return {"restore": [], "directories": [], "dests": []}
        except ValueError:
            found = None
        if isinstance(found, dict) and all(isinstance(found.get(key), list) for key in ("restore", "directories", "dests")):
            return found
        return {"restore": [], "directories": [], "dests": sorted(declared)}

    def store(self, state):
        write_atomically(self.path, json.dumps(state, indent=1), 0o600)

    def clear(self):
        unlink(self.path)
        sync_folder(self.folder)
        self.drop_backups()

    def drop_backups(self):
        try:
            names = os.listdir(self.backups)
        except FileNotFoundError:
            return
        for name in names:
            os.unlink(os.path.join(self.backups, name))

    def save(self, number, node):
        """The durable record of what was at a path."""
        record = {"path": node.path, "kind": node.kind, "uid": node.uid, "gid": node.gid, "mode": node.mode, "target": node.target}
        if node.kind == "file":
            os.makedirs(self.backups, 0o700, exist_ok=True)
            record["backup"] = str(number)
            write_atomically(os.path.join(self.backups, str(number)), node.read(), 0o600)
        return record

    def put_back(self, record):
        """Make a path again what its record says."""
        path, node = record["path"], Node(record["path"])
        if os.path.isdir(os.path.dirname(path)):
            unlink(temporary_of(path))
        if record["kind"] == "absent":
            if node.kind == "directory":
                remove_if_empty(path)
            elif node.kind != "absent":
                os.unlink(path)
                sync_folder(os.path.dirname(path))
            return
        if record["kind"] == "file":
            with open(os.path.join(self.backups, record["backup"]), "rb") as handle:
                content = handle.read()
            same = (node.kind, node.uid, node.gid, node.mode) == ("file", record["uid"], record["gid"], record["mode"])
            if not same or node.read() != content:
                write_atomically(path, content, record["mode"], (record["uid"], record["gid"]))
        elif record["kind"] == "link":
            if node.target != record["target"]:
                link_atomically(path, record["target"])
        elif record["kind"] == "directory":
            set_directory(path, record["uid"], record["gid"], record["mode"])


def remove_if_empty(path):
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise


class ConfigFiles:
    """One call of the module. Tests replace the runner, the state folder, and listen to steps."""

    def __init__(self, params, check_mode=False, state_root=STATE_ROOT, run=None, step=None, settle=0.5, allowed=None):
        self.params = params
        self.check_mode = check_mode
        self.run = run or Runner()
        self.units_of = Units(self.run)
        self.step = step or (lambda name: None)
        self.settle = settle
        # Asked once nobody else is at these files, and before any is touched; says no with an exception.
        self.allowed = allowed or (lambda: None)
        name = params["name"]
        if not re.match(r"^[a-z0-9][a-z0-9_.-]*$", name):
            raise ValidationError("name must consist of small letters, digits, '.', '_' and '-': %r" % name)
        self.folder = os.path.join(state_root, name)
        self.journal = Journal(self.folder)
        self.record = live.Record(self.folder)
        self.entries = [dict(entry, secret=False) for entry in params.get("files") or []]
        self.entries += [dict(entry, secret=True) for entry in params.get("secret_files") or []]
        check_entries(self.entries, [])
        self.units = [dict(unit, live=question_of(unit)) for unit in params.get("units") or []]
        self.commands = [dict(item, command=as_command(item["command"]), live=question_of(item)) for item in params.get("on_change") or []]
        self.validate = as_command(params.get("validate"))
        self.secrets = set()
        for entry in self.entries:
            if entry["secret"] and entry.get("content"):
                self.secrets |= words_of(entry["content"])
        self.changes = []
        self.diff = []
        self.recovered = False
        self.pending = []
        # Units and commands that act although no file was changed, and why: pairs of name and text.
        self.forced = set()
        self.outdated = []
        self.asked = set()
        self.not_loaded = set()
        self.loaded = None
        self.commands_run = []
        self.units_touched = []

    # -- the whole -----------------------------------------------------------------------------------------------

    def apply(self):
        """Reach the declared state; returns the module's result."""
        if not self.check_mode:
            os.makedirs(self.folder, 0o700, exist_ok=True)
            with open(os.path.join(self.folder, "lock"), "a", encoding="utf-8") as lock:
                if not wait_for_lock(lock, LOCK_TIMEOUT, 0.1):
                    raise ConfigFilesError("another run is applying the files of %r on this host; try again when it has ended" % self.params["name"])
                return self.apply_locked()
        return self.apply_locked()

    def apply_locked(self):
        self.allowed()
        self.recover()
        self.plan_files()
        names = self.unit_names()
        before = self.units_of.show(names)
        if before is None:
            if not self.check_mode:
                raise ConfigFilesError("systemd does not answer on this host, so these units cannot be managed: %s" % ", ".join(names))
            before = {}
        if not self.check_mode:
            self.refuse_unknown_units(before)
        dirty = sorted(set(change["dest"] for change in self.changes) | set(self.pending) | set(self.stale(before)))
        self.find_older_units(before)
        self.ask_what_is_live(dirty, before)
        commands = self.plan_commands(dirty)
        actions = self.plan_units(before, dirty)
        enabling = self.plan_enabling(before)
        if not self.check_mode:
            if dirty or commands or actions or enabling or self.outdated:
                commands, actions, enabling = self.execute(dirty, before)
            self.record.store(self.loaded or self.present())
        return self.result(dirty, commands, actions, enabling)

    def result(self, dirty, commands, actions, enabling):
        units = [{"name": name, "change": change} for change, name in actions + enabling]
        result = {
            "changed": bool(self.changes or dirty or units or self.outdated),
            "files": [{"dest": change["dest"], "change": change["change"]} for change in self.changes],
            "commands": [" ".join(command) for command in commands],
            "units": units,
            "outdated": ["%s: %s" % pair for pair in self.outdated],
            "recovered": self.recovered,
            "diff": self.diff,
        }
        result["diff"] += [{"prepared": self.mask("%s: %s\n" % pair)} for pair in self.outdated]
        if units or commands:
            lines = ["%s: %s\n" % (unit["name"], unit["change"]) for unit in units]
            lines += ["command: %s\n" % command for command in result["commands"]]
            result["diff"] += [{"before_header": "units", "after_header": "units", "before": "", "after": "".join(lines)}]
        return result

    # -- an earlier run ------------------------------------------------------------------------------------------

    def recover(self):
        """Put back what an interrupted run left half done; remember what it may already have shown to a unit."""
        state = self.journal.load(entry["dest"] for entry in self.entries)
        self.pending = state["dests"]
        self.forced |= set(state.get("units", []))
        self.recovered = bool(state["restore"])
        if self.check_mode or not os.path.exists(self.journal.path):
            if not self.check_mode:
                self.journal.drop_backups()
            return
        self.restore(state)

    def restore(self, state):
        for record in reversed(state["restore"]):
            self.journal.put_back(record)
            self.step("put back " + record["path"])
        for path in reversed(state["directories"]):
            remove_if_empty(path)
        state.update(restore=[], directories=[])
        self.journal.store(state)
        self.step("restored")

    # -- what is live ----------------------------------------------------------------------------------------------

    def unit_names(self):
        """Declared units, and those that the declared files belong to: systemd may run them by an older file."""
        names = [unit["name"] for unit in self.units]
        for entry in self.entries:
            if entry["dest"].startswith(UNIT_FOLDERS):
                parent = os.path.basename(os.path.dirname(entry["dest"]))
                name = parent[:-2] if parent.endswith(".d") else os.path.basename(entry["dest"])
                if name.endswith(UNIT_SUFFIXES) and "@." not in name and name not in names:
                    names.append(name)
        return names

    def watched(self):
        """Paths whose changes a unit or command may have missed: declared files and links, and the names in exclusive folders."""
        paths = {entry["dest"]: entry["dest"] for entry in self.entries if kind_of(entry) in ("file", "link")}
        for rule in self.params.get("exclusive") or []:
            # A folder that is shared with others changes without a change of these files.
            if not rule["path"].startswith(UNIT_FOLDERS) and not self.others_in(rule):
                paths[rule["path"]] = os.path.join(rule["path"], (rule.get("patterns") or ["*"])[0])
        return paths

    @staticmethod
    def others_in(rule):
        """Names in an exclusive folder that its rule does not concern."""
        try:
            names = os.listdir(rule["path"])
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [name for name in names if not any(fnmatch.fnmatchcase(name, pattern) for pattern in rule.get("patterns") or ["*"])]

    def readers(self, dest):
        """Names of units and commands that act on a change of this path."""
        units = [unit["name"] for unit in self.units if (unit.get("on_change") or "restart") != "none" and unit.get("state") != "stopped"]
        found = [name for name in units if self.concerned(self.declared(name), [dest])]
        return found + [" ".join(item["command"]) for item in self.commands if self.concerned(item, [dest])]

    def present(self):
        """The record of what is on disk now, for the time when it has been taken over."""
        return {
            "paths": {path: live.identity(path) for path in self.watched()},
            "readers": {path: readers for path, readers in ((path, self.readers(dest)) for path, dest in self.watched().items()) if readers},
            "units": self.unit_names(),
            "started": [unit["name"] for unit in self.units if unit.get("state") == "started"],
            "live": {self.name_of_item(item): item["live"] for item in self.units + self.commands if item["live"]},
        }

    def stale(self, states):
        """What of the declared paths was touched since its units read it. Without a record, the units' own times have to do."""
        record, written = self.record.load(), set(change["dest"] for change in self.changes)
        if record is None:
            self.find_older_processes(states)
            return []
        found = []
        for path, dest in self.watched().items():
            # A set that was declared otherwise has not recorded all of these.
            if path not in written and path in record["paths"] and live.identity(path) != record["paths"][path] and self.readers(dest):
                found.append(dest)
                self.not_loaded.add(path)
                self.outdated.append((path, "changed after %s read it" % live.names_of(self.readers(dest))))
        return found

    def find_older_processes(self, states):
        now, running = time.time(), time.monotonic()
        for unit in self.units:
            since = states.get(unit["name"], {}).get("StateChangeTimestampMonotonic") or "0"
            if since == "0" or not self.runs(unit, states):
                continue
            newest = max([(live.identity(path) or [0])[0] / 1e9 for path, dest in self.watched().items() if unit["name"] in self.readers(dest)] or [0])
            if newest > now - running + int(since) / 1e6:
                self.force(unit, "was neither started nor reloaded since its files were changed")

    def find_older_units(self, states):
        for name, state in states.items():
            if state.get("NeedDaemonReload") == "yes":
                self.outdated.append((name, "systemd runs it by an older unit file"))
                self.forced |= set(unit["name"] for unit in self.units if unit["name"] == name and self.runs(unit, states))

    def ask_what_is_live(self, dirty, states, written=False):
        """Ask what C(live) declares, but no command whose program is yet to be written."""
        changed = set() if written else set(change["dest"] for change in self.changes)
        for item in self.units + self.commands:
            name = self.name_of_item(item)
            if not item["live"] or name in self.asked or name in self.forced or self.concerned(item, dirty) or item["live"].get("command", [""])[0] in changed:
                continue
            if "command" not in item and not self.runs(item, states):
                continue
            self.asked.add(name)
            different = self.ask(item)
            if different:
                self.force(item, different)

    def ask(self, item):
        """What of a unit or command is not what is declared; nothing if all is."""
        try:
            return self.mask(live.ask(item["live"], self.run) or "")
        except live.kernel.CannotTell as error:
            raise ConfigFilesError("%s: %s" % (self.title(item), self.mask(str(error))))

    def prove(self, commands, actions):
        """What was loaded is live now."""
        acted = [" ".join(command) for command in commands] + [name for action, name in actions if action != "stop"]
        for item in self.units + self.commands:
            different = self.ask(item) if item["live"] and self.name_of_item(item) in acted else None
            if different:
                raise ConfigFilesError("%s has not taken over what is declared: %s" % (self.title(item), different))

    def force(self, item, text):
        self.forced.add(self.name_of_item(item))
        self.outdated.append((self.title(item), text))

    @staticmethod
    def name_of_item(item):
        return " ".join(item["command"]) if "command" in item else item["name"]

    def title(self, item):
        return live.title(self.name_of_item(item), item["live"] or {})

    @staticmethod
    def runs(unit, states):
        return states.get(unit["name"], {}).get("ActiveState") in RUNNING

    # -- files ---------------------------------------------------------------------------------------------------

    def plan_files(self):
        order = {"directory": 0, "file": 1, "link": 2, "absent": 3}
        entries = sorted(self.entries, key=lambda entry: (order[kind_of(entry)], len(entry["dest"]) if entry.get("state") == "directory" else 0))
        for entry in entries:
            if entry.get("template") is not None:
                raise ValidationError("%s: templates are rendered by the action plugin of the same name, which did not run" % entry["dest"])
            self.check_parents(entry["dest"])
            getattr(self, "plan_" + kind_of(entry))(entry, Node(entry["dest"]))
        self.plan_exclusive()

    def check_parents(self, dest):
        """A link that somebody else than root made must not redirect what is written here."""
        path = os.path.dirname(dest)
        while path != "/":
            try:
                info = os.lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                info = None
            if info and stat.S_ISLNK(info.st_mode) and info.st_uid not in (0, os.geteuid()):
                raise ConfigFilesError("%s: its parent %s is a link that belongs to user id %s; nothing is written through it" % (dest, path, info.st_uid))
            path = os.path.dirname(path)

    def ownership(self, entry, default_mode):
        uid = resolve_id(entry.get("owner") or "root", lambda name: pwd.getpwnam(name).pw_uid, "user", self.check_mode)
        gid = resolve_id(entry.get("group") or "root", lambda name: grp.getgrnam(name).gr_gid, "group", self.check_mode)
        return uid, gid, int(entry.get("mode") or default_mode, 8)

    def attribute_changes(self, entry, node, uid, gid, mode):
        """Words and diff lines for owner, group and mode."""
        before, after, words = [], [], []
        for word, have, want, shown, wanted in (
            ("owner", node.uid, uid, name_of(node.uid, pwd.getpwuid), entry.get("owner") or "root"),
            ("group", node.gid, gid, name_of(node.gid, grp.getgrgid), entry.get("group") or "root"),
            ("mode", node.mode, mode, "%04o" % node.mode, "%04o" % mode),
        ):
            if have != want:
                words.append(word)
                before.append("%s: %s\n" % (word, shown))
                after.append("%s: %s\n" % (word, wanted))
        return words, "".join(before), "".join(after)

    def plan_directory(self, entry, node):
        uid, gid, mode = self.ownership(entry, "0755")
        if node.kind == "absent":
            self.change(entry, node, "created", "", "directory, mode %04o\n" % mode, (set_directory, entry["dest"], uid, gid, mode))
        elif node.kind != "directory":
            raise ConfigFilesError("%s is declared as a directory but is a %s on this host; move it away first" % (entry["dest"], node.kind))
        else:
            words, before, after = self.attribute_changes(entry, node, uid, gid, mode)
            if words:
                self.change(entry, node, ", ".join(words), before, after, (set_directory, entry["dest"], uid, gid, mode))

    def plan_file(self, entry, node):
        uid, gid, mode = self.ownership(entry, "0600" if entry["secret"] else "0644")
        content = entry["content"].encode("utf-8", "surrogateescape")
        write = (write_atomically, entry["dest"], content, mode, (uid, gid))
        if node.kind in ("directory", "other"):
            raise ConfigFilesError("%s is declared as a file but is a %s on this host; move it away first" % (entry["dest"], node.kind))
        if node.kind == "link":
            self.change(entry, node, "link replaced by file", "link to %s\n" % node.target, self.shown(entry, content, mode), write)
            return
        if node.kind == "absent":
            self.change(entry, node, "created", "", self.shown(entry, content, mode), write)
            return
        words, before, after = self.attribute_changes(entry, node, uid, gid, mode)
        current = node.read()
        if entry["secret"]:
            self.secrets |= words_of(current.decode("utf-8", "replace"))
        if current != content:
            words.insert(0, "content")
            if self.hidden(entry, node.mode, mode):
                after = "content changed (old %s bytes, new %s bytes)\n" % (node.size, len(content)) + after
            else:
                before, after = before + readable(current), after + readable(content)
        if words:
            self.change(entry, node, ", ".join(words), before, after, write)

    def plan_link(self, entry, node):
        if node.kind in ("directory", "other"):
            raise ConfigFilesError("%s is declared as a link but is a %s on this host; move it away first" % (entry["dest"], node.kind))
        if node.kind == "link" and node.target == entry["link"]:
            return
        word = {"absent": "created", "link": "link"}.get(node.kind, "file replaced by link")
        before = "link to %s\n" % node.target if node.kind == "link" else self.shown_node(entry, node)
        self.change(entry, node, word, before, "link to %s\n" % entry["link"], (link_atomically, entry["dest"], entry["link"]))

    def plan_absent(self, entry, node):
        if node.kind == "absent":
            return
        if node.kind == "directory":
            if os.listdir(node.path):
                raise ConfigFilesError("%s is declared absent but is a directory with files in it; remove it by hand if nothing in it is needed" % node.path)
            self.change(entry, node, "removed", "directory\n", "", (os.rmdir, node.path))
        elif node.kind == "other":
            raise ConfigFilesError("%s is declared absent but is neither file, link nor directory; remove it by hand" % node.path)
        else:
            self.change(entry, node, "removed", self.shown_node(entry, node), "", (os.unlink, node.path))

    def plan_exclusive(self):
        declared = set(entry["dest"] for entry in self.entries)
        for rule in self.params.get("exclusive") or []:
            try:
                names = sorted(os.listdir(rule["path"]))
            except FileNotFoundError:
                continue
            for name in names:
                path = os.path.join(rule["path"], name)
                if path in declared or not any(fnmatch.fnmatchcase(name, pattern) for pattern in rule.get("patterns") or ["*"]):
                    continue
                node = Node(path)
                if node.kind in ("file", "link"):
                    self.plan_absent({"dest": path, "secret": False}, node)

    def hidden(self, entry, *modes):
        """What only some may read on the host is shown to nobody here."""
        return entry["secret"] or any(mode is not None and not mode & 0o004 for mode in modes)

    def shown(self, entry, content, mode):
        return "content of %s bytes\n" % len(content) if self.hidden(entry, mode) else readable(content)

    def shown_node(self, entry, node):
        if node.kind == "link":
            return "link to %s\n" % node.target
        return self.shown(entry, node.read(), node.mode) if node.kind == "file" else ""

    def change(self, entry, node, word, before, after, call):
        self.changes.append({"dest": entry["dest"], "change": word, "node": node, "call": call})
        self.diff.append({"before_header": entry["dest"], "after_header": "%s (%s)" % (entry["dest"], word), "before": before, "after": after})

    # -- units ---------------------------------------------------------------------------------------------------

    @staticmethod
    def concerned(item, dirty):
        patterns = item.get("only_for")
        return bool(dirty) and (not patterns or any(fnmatch.fnmatchcase(dest, pattern) for dest in dirty for pattern in patterns))

    def refuse_unknown_units(self, states):
        """Before anything is written: a unit that neither exists nor comes with these files is a mistake."""
        names = set(os.path.basename(entry["dest"]) for entry in self.entries if kind_of(entry) in ("file", "link"))
        for unit in self.units:
            own = {unit["name"], re.sub(r"@[^.]*\.", "@.", unit["name"])}
            if states[unit["name"]].get("LoadState") == "not-found" and not own & names and self.wanted(unit):
                raise ConfigFilesError("systemd on this host knows no unit %s, and none of the declared files is it; is its package installed?" % unit["name"])

    @staticmethod
    def wanted(unit):
        return unit.get("state") != "stopped" and unit.get("enabled") is not False

    def plan_commands(self, dirty):
        return [item["command"] for item in self.commands if self.concerned(item, dirty) or self.name_of_item(item) in self.forced]

    def plan_units(self, states, dirty):
        """Pairs of action and unit, in declared order."""
        actions = []
        for unit in self.units:
            active = states.get(unit["name"], {}).get("ActiveState", "inactive")
            action = self.unit_action(unit, active, self.concerned(unit, dirty) or unit["name"] in self.forced)
            if action:
                actions.append((action, unit["name"]))
        return actions

    @staticmethod
    def unit_action(unit, active, dirty):
        on_change = unit.get("on_change") or "restart"
        if unit.get("state") == "stopped":
            return "stop" if active in RUNNING else None
        if unit.get("state") == "started" and active not in RUNNING:
            return "start"
        if not dirty or on_change == "none" or (on_change == "reload" and active not in RUNNING):
            return None
        return on_change

    def plan_enabling(self, states):
        actions = []
        for unit in self.units:
            have = states.get(unit["name"], {}).get("UnitFileState", "")
            if unit.get("enabled") is True and have not in NOT_ENABLEABLE:
                actions.append(("enable", unit["name"]))
            elif unit.get("enabled") is False and have in ("enabled", "enabled-runtime", "linked", "linked-runtime"):
                actions.append(("disable", unit["name"]))
        return actions

    # -- doing it ------------------------------------------------------------------------------------------------

    def execute(self, dirty, before):
        state = self.save(dirty)
        started = time.time()
        try:
            self.write()
            self.run_validator()
            if any(dest.startswith(UNIT_FOLDERS) for dest in dirty) or any(unit.get("NeedDaemonReload") == "yes" for unit in before.values()):
                self.systemctl("daemon-reload")
                self.step("daemon-reload")
            self.loaded = self.present()
            self.ask_what_is_live(dirty, before, written=True)
            commands = self.plan_commands(dirty)
            self.run_commands(commands)
            names = [unit["name"] for unit in self.units]
            now = self.units_of.show(names) if dirty else before
            actions, enabling = self.plan_units(now, dirty), self.plan_enabling(now)
            self.unmask(actions + enabling, now)
            self.act(actions, now, started)
            self.prove(commands, actions)
            self.enable(enabling)
        except (ConfigFilesError, OSError) as error:
            raise ConfigFilesError(self.undo(state, error, before))
        self.record.store(self.loaded)
        self.step("recorded")
        self.journal.clear()
        self.step("journal removed")
        return commands, actions, enabling

    def save(self, dirty):
        """From here on an interruption is noticed."""
        records = [self.journal.save(number, change["node"]) for number, change in enumerate(self.changes)]
        self.step("saved")
        state = {"restore": records, "directories": self.missing_parents(), "dests": dirty, "units": sorted(self.forced - self.asked)}
        self.journal.store(state)
        self.step("journal written")
        return state

    def missing_parents(self):
        created = set(change["dest"] for change in self.changes if change["call"][0] is set_directory)
        missing = set()
        for change in self.changes:
            path = os.path.dirname(change["dest"])
            while not os.path.isdir(path) and path not in created:
                missing.add(path)
                path = os.path.dirname(path)
        return sorted(missing, key=len)

    def write(self):
        for change in self.changes:
            parent = os.path.dirname(change["dest"])
            if not os.path.isdir(parent):
                self.make_parents(parent)
            change["call"][0](*change["call"][1:])
            self.step("wrote " + change["dest"])

    def make_parents(self, path):
        if not os.path.isdir(os.path.dirname(path)):
            self.make_parents(os.path.dirname(path))
        set_directory(path, os.geteuid(), os.getegid(), 0o755)

    def run_validator(self):
        if self.validate and self.changes:
            code, output = self.run(self.validate)
            if code != 0:
                raise ConfigFilesError("`%s` refuses the new configuration:\n%s%s" % (" ".join(self.validate), self.mask(output), self.culprits(output)))
            self.step("validated")

    def culprits(self, output):
        """Where a person has to look: the declared files that the validator names, and what they are made from."""
        lines = []
        for entry in self.entries:
            if re.search(re.escape(entry["dest"]) + r"(?![\w.-])", output):
                made_from = " of ".join(part for part in (entry.get("source"), entry.get("about")) if part)
                lines.append("%s is made from %s" % (entry["dest"], made_from or "the task's arguments"))
        return "\nLook at: " + "; ".join(lines) if lines else ""

    def run_commands(self, commands):
        for command in commands:
            self.commands_run.append(command)
            code, output = self.run(command)
            if code != 0:
                raise ConfigFilesError("`%s` failed after the change (exit status %s):\n%s" % (" ".join(command), code, self.mask(output)))
            self.step("ran " + " ".join(command))

    def systemctl(self, *arguments):
        code, output = self.units_of.do(*arguments)
        if code != 0:
            raise ConfigFilesError("`systemctl %s` failed:\n%s" % (" ".join(arguments), self.mask(output)))

    def unmask(self, actions, states):
        masked = sorted(set(name for action, name in actions if states[name].get("LoadState") == "masked" and action in ("start", "enable")))
        if masked:
            self.systemctl("unmask", *masked)
            self.step("unmasked")

    def act(self, actions, states, started):
        for action, name in actions:
            if states[name].get("ActiveState") == "failed":
                self.units_of.do("reset-failed", name)
            self.units_touched.append((action, name))
            code, output = self.units_of.do(action, name)
            if code != 0:
                raise ConfigFilesError("`systemctl %s %s` failed:\n%s\n%s" % (action, name, self.mask(output), self.last_words(name, started)))
            self.step("%s %s" % (action, name))
        # A unit that dies right after its start has "started" for systemctl.
        watched = [name for action, name in actions if action in ("start", "restart") and self.declared(name).get("state") == "started"]
        if watched:
            time.sleep(self.settle)
            for name, now in (self.units_of.show(watched) or {}).items():
                if now.get("ActiveState") not in RUNNING or now.get("SubState") == "auto-restart":
                    raise ConfigFilesError(
                        "%s was started but did not stay up (%s, %s):\n%s"
                        % (name, now.get("ActiveState"), now.get("SubState"), self.last_words(name, started))
                    )

    def last_words(self, name, since):
        return self.mask(self.units_of.journal(name, since))

    def declared(self, name):
        return next(unit for unit in self.units if unit["name"] == name)

    def enable(self, enabling):
        for verb in ("enable", "disable"):
            names = [name for action, name in enabling if action == verb]
            if names:
                self.systemctl(verb, *names)
                self.step(verb + "d")

    def undo(self, state, error, before):
        """Everything as it was; returns the message for a person."""
        problem = str(error)
        if not self.changes and not state["dests"]:
            # Nothing to put back; the journal makes the next run try the units again.
            return problem
        self.restore(state)
        troubles = []
        if any(dest.startswith(UNIT_FOLDERS) for dest in state["dests"]):
            troubles.append(self.units_of.do("daemon-reload"))
        troubles += [self.run(command) for command in self.commands_run]
        for action, name in self.units_touched:
            troubles += self.bring_back(action, name, before.get(name, {}))
        failed = [self.mask(output) for code, output in troubles if code != 0]
        if failed:
            return "%s\nThe previous files are back in place, but not everything came back with them:\n%s" % (problem, "\n".join(failed))
        self.record_restored()
        self.journal.clear()
        if all(change["node"].kind == "absent" for change in self.changes):
            return "%s\nNothing of it was left on the host." % problem
        return "%s\nThe previous configuration is back in place." % problem

    def record_restored(self):
        """Units have read what was put back; what they had not read before this run, they still have not."""
        record = self.record.load()
        # What an interrupted run has shown to units may be what they still run.
        if record is not None and not self.pending:
            touched = set(change["dest"] for change in self.changes) | set(os.path.dirname(change["dest"]) for change in self.changes)
            record["paths"].update((path, live.identity(path)) for path in record["paths"] if path in touched - self.not_loaded)
            self.record.store(record)

    def bring_back(self, action, name, before):
        if before.get("ActiveState", "inactive") not in RUNNING:
            results = [self.units_of.do("stop", name)] if action in ("start", "restart") else []
            self.units_of.do("reset-failed", name)
            return results
        if action == "stop":
            return [self.units_of.do("start", name)]
        now = (self.units_of.show([name]) or {name: {}})[name]
        if now.get("ActiveState") not in RUNNING or action == "restart":
            self.units_of.do("reset-failed", name)
            return [self.units_of.do("restart", name)]
        return [self.units_of.do(action, name)]

    def mask(self, text):
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "********")
        return text


def readable(content):
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return "binary content of %s bytes\n" % len(content)
