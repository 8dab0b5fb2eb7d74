# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second operator: another checkout of this project, with files of its own, run against the same lab."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support import earlier, lab

CHECKOUT = lab.PROJECT / ".cache" / "second-checkout"
OPERATOR = "berta"
VAULT = Path("group_vars", "litefarm", "vault.yml")


def clone() -> None:
    """Gets a checkout of what this one has, as `git clone` would with the files of the lab's inventory in the repository, but no vault."""
    shutil.rmtree(CHECKOUT, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=lab.PROJECT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (lab.PROJECT / name).exists():
            (CHECKOUT / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(lab.PROJECT / name, CHECKOUT / name, follow_symlinks=False)
    for environment in lab.environments():
        earlier.link_inventory(CHECKOUT / "inventories" / environment, Path(lab.inventory(environment)), Path(lab.inventory(environment, CHECKOUT)))
        vault(environment).unlink()


def vault(environment: str = "production", checkout: Path = CHECKOUT) -> Path:
    """The vault of an environment in a checkout."""
    return Path(lab.inventory(environment, checkout)) / VAULT


def pull_vault() -> None:
    """Brings the vault of the first operator into the second checkout, as a commit of the one and `git pull` of the other do."""
    shutil.copy2(vault(checkout=lab.PROJECT), vault())


def push_vault() -> None:
    """Brings the vault of the second checkout to the first operator."""
    shutil.copy2(vault(), vault(checkout=lab.PROJECT))


def playbook(name: str, *arguments: str) -> lab.Run:
    """Runs a playbook of the second checkout, as its operator."""
    return lab.playbook(name, *arguments, checkout=CHECKOUT, env={"USER": OPERATOR, "SUDO_USER": ""})
