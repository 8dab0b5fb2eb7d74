# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The git repositories that the lab serves: the sample application, released as tags, and any local one named by a person."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .errors import LabError
from .progress import say, step
from .settings import FOLDER

SAMPLE = FOLDER / "sample"
# What its database begins with: a farm, and a user of it.
SAMPLE_FARM = {
    "litefarm_verify_farm_id": "5a3bb6f4-0000-4000-8000-000000000001",
    "litefarm_verify_user_id": "5a3bb6f4-0000-4000-8000-0000000000aa",
}
FIRST_RELEASE = "v1.0.0"
PACKAGES = ("api", "webapp")

# Fixed, so that the same files have the same commit id on every machine.
_IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in {"NAME": "Sample", "EMAIL": "sample@litefarm.invalid", "DATE": "2026-01-01T00:00:00Z"}.items()
}
_ENVIRONMENT = {**_IDENTITY, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


class SampleRepository:
    def __init__(self, folder: Path, source: Path = SAMPLE):
        self.path = folder / "sample.git"
        self.source = source

    def ensure(self) -> None:
        """The first release is the sample as it stands in the checkout; if that has changed, releases start anew."""
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._git("init", "--quiet", "--bare", "--initial-branch=main", str(self.path), bare=False)
        first = self._commit(self._tree({}), FIRST_RELEASE, parent=None)
        if self._resolve(FIRST_RELEASE) == first:
            return
        for tag in self.releases():
            self._git("tag", "--delete", tag)
        self._publish(FIRST_RELEASE, first)

    def releases(self) -> list[str]:
        return self._git("tag", "--list").split()

    def commit_of(self, tag: str) -> str | None:
        return self._resolve(tag)

    def release(self, tag: str, settings: list[str]) -> str:
        """Another commit and tag: the sample with these settings in its packages' release.json. Returns the commit."""
        version = tag.removeprefix("v")
        changes = {package: {"version": version} for package in PACKAGES}
        for setting in settings:
            name, equals, value = setting.partition("=")
            package, dot, key = name.rpartition(".")
            if not equals or (dot and package not in PACKAGES):
                raise LabError(f"--set {setting}: write key=value, or one of {', '.join(PACKAGES)} before it: api.key=value.")
            for chosen in [package] if dot else PACKAGES:
                changes[chosen][key] = value
        tree = self._tree(changes)
        existing = self._resolve(tag)
        if existing:
            if self._git("rev-parse", f"{existing}^{{tree}}") != tree:
                raise LabError(f"Release {tag} exists with other settings: choose another tag.")
            return existing
        commit = self._commit(tree, tag, parent=self._resolve("refs/heads/main"))
        self._publish(tag, commit)
        return commit

    def _tree(self, changes: dict[str, dict[str, str]]) -> str:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "sample"
            shutil.copytree(self.source, copy, symlinks=True, ignore=shutil.ignore_patterns("node_modules", "dist"))
            for package, values in changes.items():
                path = copy / "packages" / package / "release.json"
                path.write_text(json.dumps({**json.loads(path.read_text()), **values}, indent=2) + "\n")
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._git("--work-tree", str(copy), "add", "--all", ".", cwd=copy, **index)
            return self._git("write-tree", **index)

    def _commit(self, tree: str, tag: str, parent: str | None) -> str:
        return self._git("commit-tree", tree, "-m", f"Release {tag}", *(["-p", parent] if parent else []))

    def _publish(self, tag: str, commit: str) -> None:
        self._git("update-ref", "refs/heads/main", commit)
        self._git("tag", tag, commit)

    def _resolve(self, name: str) -> str | None:
        return self._git("rev-parse", "--quiet", "--verify", f"{name}^{{commit}}", may_fail=True) or None

    def _git(self, *arguments: str, bare: bool = True, cwd: Path | None = None, may_fail: bool = False, **environment: str) -> str:
        place = [f"--git-dir={self.path}"] if bare else []
        return _run(["git", *place, *arguments], cwd, may_fail, {**_ENVIRONMENT, **environment})


def copy_local(source: str, folder: Path) -> Path:
    """A repository of this machine, copied to where the lab serves it from, with its newest tags and branches."""
    origin = Path(source).expanduser().resolve()
    target = folder / f"{origin.name.removesuffix('.git') or 'repository'}.git"
    if target.name == "sample.git":
        target = folder / "local-sample.git"
    # Another folder of the same name may have been served before.
    if target.exists() and _run(["git", f"--git-dir={target}", "config", "remote.origin.url"], None, True, {}) != str(origin):
        shutil.rmtree(target)
    with step(f"copy of {origin}"):
        if not target.exists():
            _run(["git", "clone", "--quiet", "--mirror", str(origin), str(target)], None, False, {})
        else:
            _run(["git", f"--git-dir={target}", "fetch", "--quiet", "--prune", "origin"], None, False, {})
    return target


def is_local(repository: str) -> bool:
    return Path(repository).expanduser().is_dir()


def _run(command: list[str], cwd: Path | None, may_fail: bool, environment: dict[str, str]) -> str:
    if not shutil.which("git"):
        raise LabError("git is not installed on this machine: the lab needs it to serve the application's repository.")
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode and not may_fail:
        say(done.stderr.strip())
        raise LabError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout.strip() if not done.returncode else ""
