# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python wheels for images, fetched by this machine's pip: it knows the way to a package index, which a build would have to be told."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from .errors import LabError

# An image definition with this file gets what it lists in its folder wheels/.
LIST = "requirements.txt"
# Debian trixie's.
_PYTHON = "3.13"
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def download_command(requirements: Path, architecture: str, folder: Path) -> list[str]:
    """For the images' Python, not for the one that runs this; only what is listed, and only with the hashes that are listed."""
    machine = _MACHINES.get(architecture, architecture)
    platforms = [f"--platform={tag}_{machine}" for tag in ("manylinux_2_17", "manylinux2014", "manylinux_2_28", "manylinux_2_34")]
    return [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps",
        "--only-binary=:all:", "--implementation=cp", f"--python-version={_PYTHON}", *platforms,
        f"--requirement={requirements}", f"--dest={folder}",
    ]


def fetch(requirements: str, architecture: str) -> dict[str, bytes]:
    """Name to content."""
    with tempfile.TemporaryDirectory() as place:
        listed, folder = Path(place) / LIST, Path(place) / "wheels"
        listed.write_text(requirements)
        done = subprocess.run(download_command(listed, architecture, folder), capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"pip cannot fetch what an image of the lab needs:\n{done.stderr[-2000:]}")
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
