# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection of an earlier commit, run against the same lab: what an operator does who has not pulled yet."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import yaml
from lab.inventory import SINCE

from tests.support import lab

FROM = lab.PROJECT / "molecule" / "upgrade" / "from.yml"
UPGRADE = yaml.safe_load(FROM.read_text())
CHECKOUT = lab.PROJECT / ".cache" / "upgrade" / UPGRADE["commit"]


def unpack(commit: str, folder: Path, repository: Path = lab.PROJECT) -> None:
    """Puts the files of a commit into a folder, if they are not there yet.

    Raises:
        RuntimeError: the repository does not have the commit.
    """
    if folder.exists():
        return
    archive = subprocess.run(["git", "-C", str(repository), "archive", "--format=tar", commit], capture_output=True, check=False)
    if archive.returncode:
        reason = archive.stderr.decode(errors="replace").strip()
        raise RuntimeError(
            f"The commit {commit}, named in {FROM.relative_to(lab.PROJECT)}, cannot be read from this clone ({reason}): "
            "if the clone is shallow, run git fetch --unshallow."
        )
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(partial, filter="data")
    partial.rename(folder)


def link_inventory(own: Path, written: Path, folder: Path) -> None:
    """Makes an inventory for another checkout: links to its own files, and to those that the lab has written (addresses, vault)."""
    shutil.rmtree(folder, ignore_errors=True)
    sources = {path: path.relative_to(own) for path in own.rglob("*")}
    sources |= {path: path.relative_to(written) for path in written.rglob("*") if not path.is_symlink()}
    for path, name in sources.items():
        if path.is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(path)


def bring(environment: str) -> None:
    """Gets the earlier checkout, with an inventory for the lab's droplets."""
    unpack(UPGRADE["commit"], CHECKOUT)
    folder = Path(lab.inventory(environment, CHECKOUT))
    link_inventory(CHECKOUT / "inventories" / environment, Path(lab.inventory(environment)), folder)
    (folder / "group_vars" / "litefarm" / SINCE).unlink()


def vault(environment: str) -> Path:
    """The vault of the earlier checkout: at first a link to the lab's."""
    return Path(lab.inventory(environment, CHECKOUT)) / "group_vars" / "litefarm" / "vault.yml"


def keep_vault(environment: str, content: bytes) -> None:
    """Gives the earlier checkout a vault of its own: who has not pulled has none of the secrets that have been added since."""
    vault(environment).unlink()
    vault(environment).write_bytes(content)


def playbook(name: str, *arguments: str) -> lab.Run:
    """Runs a playbook of the earlier commit."""
    return lab.playbook(name, *arguments, checkout=CHECKOUT)


def modules() -> list[Path]:
    """The files of the collection's modules that a playbook of the earlier commit uses."""
    listed = subprocess.run(**lab.ansible("ansible-doc", "--type=module", "--list_files", "litefarm.platform", checkout=CHECKOUT), check=True).stdout
    return [Path(line.split()[1]) for line in listed.splitlines()]
