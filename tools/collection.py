# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the collection as Galaxy would get it and tries the artefact: `sanity` (ansible-test) or `install`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

from steps import REPO, environment, tool

CACHE = REPO / ".cache" / "ansible-test"
# ansible-test fetches a pip installer from a host that many CI machines cannot reach. Python brings its own.
PIP_STUB = "import ensurepip\n\nensurepip.bootstrap(default_pip=True)\n"


def run(command: list[str], cwd: pathlib.Path, *, hide: str = "", **env: str) -> None:
    """Quiet when it succeeds; otherwise ends the program, with the output but for lines that match `hide`."""
    done = subprocess.run(command, cwd=cwd, env=environment(env), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.stdout.writelines(line for line in done.stdout.splitlines(keepends=True) if not hide or not re.match(hide, line))
        sys.exit(f"{pathlib.Path(command[0]).name} {' '.join(command[1:4])} … ended with status {done.returncode}")


def build(folder: pathlib.Path) -> pathlib.Path:
    # Only what git knows or would know: a build in the checkout would pick up whatever lies around.
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=REPO, check=True, capture_output=True, text=True)
    source = folder / "source"
    for name in filter(None, listed.stdout.split("\0")):
        if (REPO / name).is_file() and not (REPO / name).is_symlink():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, source / name)
    run([tool("ansible-galaxy"), "collection", "build", "--output-path", str(folder)], source)
    return next(folder.glob("*.tar.gz"))


def pip_versions() -> set[str]:
    """Every pip version whose installer this ansible-test could ask for; it keeps them in a dict in its source."""
    spec = importlib.util.find_spec("ansible_test")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("ansible-test is not installed in this Python environment: run make venv")
    source = pathlib.Path(spec.submodule_search_locations[0]) / "_internal" / "python_requirements.py"
    return set(re.findall(r"\bpip=['\"]([0-9.]+)['\"]", source.read_text(encoding="utf-8")))


def sanity(folder: pathlib.Path, artefact: pathlib.Path) -> None:
    content = folder / "ansible_collections" / "litefarm" / "platform"
    content.mkdir(parents=True)
    with tarfile.open(artefact) as archive:
        # Our own archive; the first versions of Python 3.11 know no filter.
        archive.extractall(content, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    stubs = CACHE / ".ansible" / "test" / "cache"
    stubs.mkdir(parents=True, exist_ok=True)
    for version in pip_versions():
        (stubs / f"get_pip_{version.replace('.', '_')}.py").write_text(PIP_STUB, encoding="utf-8")
    run(
        [tool("ansible-test"), "sanity", "--venv", "--color", "no", "--python", "%d.%d" % sys.version_info[:2]],
        content,
        hide=r"\s|Collecting |Looking in |Processing |Installing |Successfully |Using |Running sanity test |WARNING: Using locale ",
        # Its environments and the stub stay in this checkout; pip still finds its user's configuration.
        HOME=str(CACHE),
        XDG_CONFIG_HOME=os.environ.get("XDG_CONFIG_HOME", os.path.expanduser("~/.config")),
        XDG_CACHE_HOME=os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")),
    )


def install(folder: pathlib.Path, artefact: pathlib.Path) -> None:
    """Installed, and with nothing of the checkout in reach, its playbooks still find their roles and plugins."""
    target = folder / "collections"
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "ansible.cfg").write_text("[defaults]\n", encoding="utf-8")
    env = {"ANSIBLE_CONFIG": str(elsewhere / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": str(target)}
    run([tool("ansible-galaxy"), "collection", "install", str(artefact), "-p", str(target), "--no-deps", "--offline"], elsewhere, **env)
    inventory = ["-i", str(REPO / "tests" / "support" / "inventories" / "production")]
    for playbook in sorted((target / "ansible_collections/litefarm/platform/playbooks").glob("*.yml")):
        name = f"litefarm.platform.{playbook.stem}"
        run([tool("ansible-playbook"), *inventory, name, "--syntax-check"], elsewhere, **env)
    run([tool("ansible-playbook"), *inventory, "litefarm.platform.site", "--list-tasks"], elsewhere, **env)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["sanity", "install"])
    action = {"sanity": sanity, "install": install}[parser.parse_args().action]
    with tempfile.TemporaryDirectory(prefix="litefarm-collection-") as name:
        folder = pathlib.Path(name)
        action(folder, build(folder))


if __name__ == "__main__":
    main()
