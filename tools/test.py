# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make test`: the checks, the integration tests and every Molecule scenario, in a lab of its own beside the demo's.

Names of steps as arguments (check, integration, litefarmapp …) run only these.
"""

from __future__ import annotations

import argparse
import collections
import os
import re
import sys
import time

from steps import REPO, Result, Step, clock, environment, run, say, tool

LAB = [sys.executable, "molecule/shared/lab.py"]
LOGS = REPO / ".cache" / "test"
# They share one lab: the first needs its droplet fresh, those after it find their droplets deployed already.
SCENARIOS = ("litefarmapp", "litefarm_imaginary", "default", "scaled", "liteformbeta", "export_beta", "platform")
# pytest's closing line, with or without its frame of equal signs.
PYTEST_SUMMARY = re.compile(r"^\s*(?:=+ )?((?:\d+ (?:passed|failed|errors?|skipped|deselected|warnings?)(?:, )?)+ in [0-9.]+s(?: \([0-9:]+\))?)(?: =+)?\s*$")
# The lines of a failure that say what was expected where, and the lines of pytest's summary that name the test.
PYTEST_REASON = re.compile(r"^(?:E  |>  |FAILED |ERROR |_{3,} .* _{3,}$|\S+\.py:\d+: )")
TAIL = 80


def lab_environment() -> dict[str, str]:
    """A lab of the tests' own, unless the caller names one: `make test` leaves a running demo alone."""
    if environment({}).get("LITEFARM_LAB"):
        return {}
    return {"LITEFARM_LAB": "litefarmtest", "LITEFARM_LAB_NET": "10.89.110.0/24", "LITEFARM_LAB_PRIVATE_NET": "10.89.120.0/24"}


def scenarios() -> list[str]:
    """Every scenario that there is, in the order in which they share the lab best."""
    names = sorted(path.parent.name for path in REPO.glob("molecule/*/molecule.yml"))
    return sorted(names, key=(*SCENARIOS, *names).index)


def all_steps() -> list[Step]:
    env = lab_environment()
    molecule = {
        **env,
        # Molecule keys its folder by the checkout's name only; two checkouts must not share one.
        "MOLECULE_EPHEMERAL_DIRECTORY": str(REPO / ".cache" / "molecule"),
        "MOLECULE_PROJECT_DIRECTORY": str(REPO),
        # Frames around the output break its lines.
        "MOLECULE_COMMAND_BORDERS": "false",
        # The scenarios share a lab, which a step of its own takes down.
        "LITEFARM_LAB_KEEP": "1",
    }
    steps = [
        Step("check", [sys.executable, "tools/check.py"], env),
        Step("engine", [*LAB, "engine"], env),
        # Whatever a run that was killed has left; its keys are not ours.
        Step("old lab gone", [*LAB, "down"], env),
        Step("integration", [sys.executable, "-m", "pytest", "tests/integration"], env),
        *(Step(name, [tool("molecule"), "test", "--scenario-name", name], molecule) for name in scenarios()),
        # Last, because it reboots the droplet. Its two hardest kinds: a reboot takes the engine along, and runs that lose their controller
        # are killed in the scenario scaled after each step of an environment's release. `make kill-matrix` has all six.
        Step(
            "kill matrix",
            [sys.executable, "-m", "pytest", "-q", "tests/kill_matrix", "-k", "module-killed or rebooted"],
            {**env, "LITEFARM_KILL_MATRIX_DROPLET": "export-beta"},
        ),
        Step("lab down", [*LAB, "down"], env),
    ]
    for step in steps:
        step.log = LOGS / f"{step.name.replace(' ', '-')}.log"
    return steps


def plain_lines(output: str) -> list[str]:
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines()


def summaries(output: str) -> list[str]:
    return [match[1] for line in plain_lines(output) if (match := PYTEST_SUMMARY.match(line))]


def reasons(output: str) -> list[str]:
    """What pytest says of failed tests, which Molecule's own last words would hide."""
    return [line for line in plain_lines(output) if PYTEST_REASON.match(line)][:TAIL]


def counts(lines: list[str]) -> collections.Counter[str]:
    total: collections.Counter[str] = collections.Counter()
    for line in lines:
        for number, word in re.findall(r"(\d+) (passed|failed|error|skipped)", line):
            total["failed" if word == "error" else word] += int(number)
    return total


def report(results: list[Result], seconds: float) -> int:
    """The table at the end, and the exit status."""
    say("\ntest")
    total: collections.Counter[str] = collections.Counter()
    for result in results:
        found = summaries(result.output)
        total += counts(found)
        say(f"  {'ok  ' if result.ok else 'FAIL'}  {clock(result.seconds):>12}  {result.step.name:<14} {'; '.join(found)}".rstrip())
    failed = [result.step.name for result in results if not result.ok]
    say(f"test: {len(results) - len(failed)} steps passed, {len(failed)} failed in {clock(seconds)}")
    # A step can fail without a failing test in it, and must not be lost in the sum.
    say(f"{total['passed']} passed, {max(total['failed'], len(failed))} failed in {seconds:.2f}s")
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    names = parser.parse_args().names
    steps = [step for step in all_steps() if not names or step.name in names]
    if not steps:
        parser.error(f"no step is called {' or '.join(names)}; there are {', '.join(step.name for step in all_steps())}")
    os.chdir(REPO)
    started = time.monotonic()
    results: list[Result] = []
    for step in steps:
        result = run(step, show_output=False)
        results.append(result)
        for line in summaries(result.output):
            say(f"        {line}")
        if not result.ok:
            say("\n".join(f"        {line}" for line in reasons(result.output) + result.output.rstrip().splitlines()[-TAIL:]))
            say(f"        the whole log: {result.step.log.relative_to(REPO) if result.step.log else ''}")
    return report(results, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
