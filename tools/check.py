# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make check`: everything that can be known without a droplet, side by side."""

from __future__ import annotations

import argparse
import sys
import time

import house
from steps import REPO, Step, clock, run_together, say, tool


def all_steps() -> list[Step]:
    """Long ones first, so that the last one to end is a short one."""
    environments = sorted(path.parent for path in REPO.glob("inventories/*/hosts.yml"))
    playbooks = sorted(str(path.relative_to(REPO)) for path in (REPO / "playbooks").glob("*.yml"))
    steps = [
        Step("unit: plugins", [sys.executable, "-m", "pytest", "-q", "tests/unit/plugins", "--ignore=tests/unit/plugins/secrets"]),
        Step("unit: secrets", [sys.executable, "-m", "pytest", "-q", "tests/unit/plugins/secrets"]),
        Step("sanity: ansible-test on the built collection", [sys.executable, "tools/collection.py", "sanity"]),
        Step("lint: ansible-lint, profile production", [tool("ansible-lint"), "--offline", "--nocolor", "-q"]),
        Step("unit: the rest", [sys.executable, "-m", "pytest", "-q", "tests/unit", "--ignore=tests/unit/plugins"]),
        Step("install: the collection works when installed", [sys.executable, "tools/collection.py", "install"]),
        *(
            Step(
                f"syntax: playbooks against {environment.name}",
                [tool("ansible-playbook"), "-i", str(environment.relative_to(REPO)), "--syntax-check", "site.yml", *playbooks],
            )
            for environment in environments
        ),
        Step("yaml: yamllint", [tool("yamllint"), "--strict", "."]),
        Step("house: contracts of roles, form of files", [sys.executable, "tools/house.py"]),
        Step("docs: generated files are up to date", [sys.executable, "tools/role_docs.py", "--check"]),
    ]
    scripts = [str(path.relative_to(REPO)) for path in house.tracked_files(REPO) if path.suffix == ".sh" or path.parent.name == ".ci"]
    if scripts:
        # SC1090 asks for the names of sourced files; an entrypoint sources whatever it is given.
        steps.append(Step("shell: shellcheck", [tool("shellcheck"), "--exclude=SC1090", *scripts]))
    return steps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only the steps whose names begin with one of these (lint, unit, house …)")
    names = parser.parse_args().names
    steps = [step for step in all_steps() if not names or any(step.name.startswith(name) for name in names)]
    if not steps:
        parser.error(f"no step is called {' or '.join(names)}")
    started = time.monotonic()
    say("check")
    results = run_together(steps)
    failed = [result.step.name for result in results if not result.ok]
    say(f"check: {len(results) - len(failed)} passed, {len(failed)} failed in {clock(time.monotonic() - started)}")
    for name in failed:
        say(f"  failed: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
