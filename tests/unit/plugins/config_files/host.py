# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host for config_files: real files in a temporary folder, and a systemd that remembers what its units have read.

Everything it knows is on disk, so it outlives a run that is killed.
"""

from __future__ import annotations

import json
import os
import pathlib

from ansible_collections.litefarm.platform.plugins.module_utils._config_files import ConfigFiles

BAD = "BAD"


class Host:
    def __init__(self, root: pathlib.Path):
        self.root = root
        self.etc = root / "etc"
        self.etc.mkdir(parents=True)
        self.state_root = root / "state"
        self.memory = root / "systemd.json"
        self.store({"units": {}, "commands": [], "shows": 0})

    def load(self):
        return json.loads(self.memory.read_text())

    def store(self, state):
        self.memory.write_text(json.dumps(state))

    def add_unit(self, name, active="active", enabled="enabled", reads=None, **more):
        state = self.load()
        unit = {"active": active, "enabled": enabled, "reads": str(reads) if reads else None, "dies_on": None, "load": "loaded"}
        unit.update(more)
        state["units"][name] = unit
        self.store(state)
        if active == "active":
            self.read_configuration(name)

    def unit(self, name):
        return self.load()["units"][name]

    def commands(self):
        return self.load()["commands"]

    def read_configuration(self, name):
        """As a daemon does when it starts or reloads; refuses what it cannot read."""
        state = self.load()
        unit = state["units"][name]
        path = pathlib.Path(unit["reads"]) if unit["reads"] else None
        content = path.read_text() if path and path.exists() else None
        if unit.get("ignores") and content and unit["ignores"] in content:
            return False
        if unit["dies_on"] and content and unit["dies_on"] in content:
            unit["active"] = "failed"
            self.store(state)
            return False
        unit["loaded"] = content
        unit["active"] = "active"
        self.store(state)
        return True

    def run(self, command):
        if command[0] == "systemctl":
            return self.systemctl(command[1:])
        if command[0] == "journalctl":
            return 0, "last words of %s" % command[2]
        state = self.load()
        state["commands"].append(" ".join(command))
        self.store(state)
        if command[0] == "check":
            for path in sorted(self.etc.rglob("*")):
                if path.is_file() and BAD in path.read_text():
                    return 1, "%s:1: %s is no directive" % (path, path.read_text().strip())
        if command[0].startswith("kernel-"):
            return self.kernel(command[0].partition("-")[2])
        if command[0] == "missing-program":
            return 127, "missing-program: not found on this host"
        return (1, "no") if command[0] == "fails" else (0, "")

    def systemctl(self, words):
        state = self.load()
        if words[0] == "show":
            state["shows"] += 1
            self.store(state)
            return 0, "\n\n".join(self.show(name) for name in words[words.index("--") + 1 :])
        state["commands"].append("systemctl " + " ".join(words))
        self.store(state)
        if words[0] == "daemon-reload":
            for unit in state["units"].values():
                unit["older"] = False
            self.store(state)
            return 0, ""
        for name in words[1:]:
            if name not in state["units"]:
                return 5, "Unit %s not found." % name
            if words[0] in ("start", "restart", "reload") and not self.read_configuration(name):
                return 1, "Job for %s failed." % name
            state = self.load()
            unit = state["units"][name]
            if words[0] == "stop":
                unit["active"] = "inactive"
            elif words[0] in ("enable", "disable"):
                unit["enabled"] = words[0] + "d"
            elif words[0] == "unmask":
                unit["load"], unit["enabled"] = "loaded", "disabled"
            self.store(state)
        return 0, ""

    def show(self, name):
        unit = self.load()["units"].get(name)
        if unit is None:
            return "Id=%s\nLoadState=not-found\nActiveState=inactive\nUnitFileState=" % name
        more = "\nNeedDaemonReload=%s\nStateChangeTimestampMonotonic=%d" % ("yes" if unit.get("older") else "no", unit.get("since", 0) * 1e6)
        return "Id=%s\nLoadState=%s\nActiveState=%s\nSubState=\nUnitFileState=%s%s" % (name, unit["load"], unit["active"], unit["enabled"], more)

    def set_unit(self, name, **more):
        state = self.load()
        state["units"][name].update(more)
        self.store(state)

    def set_kernel(self, text):
        """What the kernel has; the command "kernel-load" makes it what kernel.conf declares, and "kernel-check" compares."""
        (self.root / "kernel").write_text(text)

    def kernel(self, verb):
        declared, kernel = self.etc / "kernel.conf", self.root / "kernel"
        if verb == "load" and not (self.root / "kernel_refuses").exists():
            kernel.write_text(declared.read_text())
        elif verb == "check" and (not kernel.exists() or kernel.read_text() != declared.read_text()):
            return 1, "kernel has %s" % (kernel.read_text() if kernel.exists() else "nothing")
        return 0, ""

    def apply(self, check_mode=False, step=None, **params):
        return self.prepare(check_mode, step, **params).apply()

    def prepare(self, check_mode=False, step=None, **params):
        params.setdefault("name", "test")
        for option in ("files", "secret_files"):
            params[option] = [dict({"owner": str(os.geteuid()), "group": str(os.getegid())}, **entry) for entry in params.get(option, [])]
        return ConfigFiles(params, check_mode=check_mode, state_root=str(self.state_root), run=self.run, step=step, settle=0)

    def apply_killed(self, number, **params):
        """Run in a process that dies at the given step, without any chance to clean up; False if it came to its end before."""
        child = os.fork()
        if child == 0:
            seen = []

            def step(name):
                seen.append(name)
                if len(seen) > number:
                    os._exit(9)

            try:
                self.apply(step=step, **params)
            except Exception:
                os._exit(1)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9

    def tree(self):
        """What is below etc, with kinds and modes; temporary files would show."""
        found = {}
        for path in sorted(self.etc.rglob("*")):
            name = str(path.relative_to(self.etc))
            if path.is_symlink():
                found[name] = "-> " + os.readlink(path)
            elif path.is_dir():
                found[name] = "directory"
            else:
                found[name] = path.read_text()
        return found

    def journal_left(self):
        folder = self.state_root / "test"
        return [path.name for path in folder.rglob("*") if path.is_file() and path.name not in ("lock", "loaded.json")]
