# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make test`: the checks, the integration tests and every Molecule scenario, in labs of their own beside the demo's.

Names of steps as arguments (check, integration, litefarmapp …) run only these. With --nightly it is all tests, also those with the marker
`nightly`, all rows of the table "environment" of docs/release-protocol.md, and the kill matrix with all of its kinds.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import dataclasses
import os
import re
import sys
import time

from steps import REPO, Result, Step, clock, run, say, tool

LAB = [sys.executable, "-m", "lab"]
LOGS = REPO / ".cache" / "test"


@dataclasses.dataclass(frozen=True)
class Lane:
    """Scenarios that share a lab, one after the other: the first ones need their droplet fresh, later ones find it deployed already."""

    lab: str
    public: str
    private: str
    scenarios: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """A lab of the tests' own, unless the caller names one: `make test` leaves a running demo alone."""
        if os.environ.get("LITEFARM_LAB"):
            return {}
        return {"LITEFARM_LAB": self.lab, "LITEFARM_LAB_NET": self.public, "LITEFARM_LAB_PRIVATE_NET": self.private}


# Side by side, because a run that waits for a gate, a boot or a load test leaves its processor idle half of the time.
APP = Lane("litefarmtestapp", "10.89.110.0/24", "10.89.120.0/24", ("litefarmapp", "litefarm_imaginary", "default"))
PLATFORM = Lane("litefarmtestplatform", "10.89.130.0/24", "10.89.140.0/24", ("upgrade", "scaled", "liteformbeta", "export_beta", "platform"))
LANES = (APP, PLATFORM)
# Has tests/support/night.py leave out none.
NIGHTLY = {"LITEFARM_NIGHTLY": "1"}
UNIT, INTEGRATION = "tests/unit", "tests/integration"
KILL_MATRIX, KILL_MATRIX_DROPLET = "tests/scenarios/kill_matrix", "litefarm-imaginary"
# pytest's closing line, with or without its frame of equal signs.
PYTEST_SUMMARY = re.compile(r"^\s*(?:=+ )?((?:\d+ (?:passed|failed|errors?|skipped|deselected|warnings?)(?:, )?)+ in [0-9.]+s(?: \([0-9:]+\))?)(?: =+)?\s*$")
# The lines of a failure that say what was expected where, and the lines of pytest's summary that name the test.
PYTEST_REASON = re.compile(r"^(?:E  |>  |FAILED |ERROR |_{3,} .* _{3,}$|\S+\.py:\d+: )")
# Each failed test and what it missed, in a step's own output or in that of the steps it runs.
PYTEST_FAILURE = re.compile(r"^\s*(_{3,} .* _{3,}|E  .*|(?:FAILED|ERROR) .*)$")
TAIL = 80
# Of one failed step, in the table at the end.
MOST_REASONS, WIDTH = 20, 300


def scenarios(lane: Lane) -> list[str]:
    """The lane's, in its order; those that no lane names are the last one's."""
    found = {path.parent.name for path in REPO.glob("molecule/*/molecule.yml")}
    unnamed = sorted(found - {name for each in LANES for name in each.scenarios})
    return [*(name for name in lane.scenarios if name in found), *(unnamed if lane == LANES[-1] else [])]


def first_steps() -> list[Step]:
    """What comes before any lab, and has the machine to itself."""
    return [Step("engine", [*LAB, "engine"])]


def steps_without_lab() -> list[Step]:
    """What needs processors, or the engine, and no lab: it takes the time that the lanes leave."""
    return [
        Step("check", ["nice", "-n", "10", sys.executable, "tools/check.py"]),
        Step("integration", [sys.executable, "-m", "pytest", INTEGRATION], PLATFORM.environment),
    ]


def kill_matrix(environment: dict[str, str]) -> Step:
    """All rows and kinds, unless -k is added."""
    command = [sys.executable, "-m", "pytest", "-q", KILL_MATRIX]
    return Step("kill matrix", command, {**environment, "LITEFARM_KILL_MATRIX_DROPLET": KILL_MATRIX_DROPLET})


def lane_steps(lane: Lane) -> list[Step]:
    env = lane.environment
    molecule = {
        **env,
        # Molecule keys its folder by the checkout's name only; neither two checkouts nor two lanes may share one.
        "MOLECULE_EPHEMERAL_DIRECTORY": str(REPO / ".cache" / "molecule" / lane.lab),
        "MOLECULE_PROJECT_DIRECTORY": str(REPO),
        # Frames around the output break its lines.
        "MOLECULE_COMMAND_BORDERS": "false",
        # The scenarios share a lab, which a step of its own takes down.
        "LITEFARM_LAB_KEEP": "1",
    }
    steps = [
        # Whatever a run that was killed has left; its keys are not ours.
        Step(f"old {lane.lab} gone", [*LAB, "down"], env),
        *(Step(name, [tool("molecule"), "test", "--scenario-name", name], molecule) for name in scenarios(lane)),
    ]
    if lane == APP:
        # Last, because it reboots the droplet. Its hardest kind: a reboot takes module, controller and engine along. The integration tests kill the
        # module alone, also of services that are not rolling; the scenario scaled kills the controller. `make nightly` and `make kill-matrix` have all six.
        matrix = kill_matrix(env)
        steps.append(dataclasses.replace(matrix, command=[*matrix.command, "-k", "rebooted and rolling and not undo"]))
    return [*steps, Step(f"{lane.lab} down", [*LAB, "down"], env)]


def nightly_steps(lane: Lane) -> list[Step]:
    """Every test, and the tables of docs/release-protocol.md in full, one in each lane's lab."""
    steps = {step.name: dataclasses.replace(step, env={**step.env, **NIGHTLY}) for step in lane_steps(lane)}
    old, down = steps[f"old {lane.lab} gone"], steps[f"{lane.lab} down"]
    if lane == PLATFORM:
        return [old, *(steps[name] for name in PLATFORM.scenarios), down]
    matrix = [Step("kill matrix up", [*LAB, "up", "--droplet", KILL_MATRIX_DROPLET], lane.environment), kill_matrix(lane.environment)]
    unit = Step("unit", [sys.executable, "-m", "pytest", "-q", UNIT], NIGHTLY)
    integration = Step("integration", [sys.executable, "-m", "pytest", "-q", INTEGRATION], {**lane.environment, **NIGHTLY})
    return [old, unit, integration, *(steps[name] for name in APP.scenarios), *matrix, down]


def nightly() -> list[list[Step]]:
    """What has the machine to itself, and each lane."""
    return [first_steps(), *map(nightly_steps, LANES)]


def plain_lines(output: str) -> list[str]:
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines()


def summaries(output: str) -> list[str]:
    return [match[1] for line in plain_lines(output) if (match := PYTEST_SUMMARY.match(line))]


def reasons(output: str) -> list[str]:
    """What pytest says of failed tests, which Molecule's own last words would hide."""
    return [line for line in plain_lines(output) if PYTEST_REASON.match(line)][:TAIL]


def failures(output: str) -> list[str]:
    """The names of failed tests with the lines that say what they missed, short enough for the table at the end."""
    return [match[1][:WIDTH] for line in plain_lines(output) if (match := PYTEST_FAILURE.match(line))][:MOST_REASONS]


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
        say(f"  {'ok  ' if result.ok else 'FAIL'}  {clock(result.seconds):>12}  {result.step.name:<24} {'; '.join(found)}".rstrip())
        if not result.ok:
            # Once more: whoever reads the end only of a long log must not miss why.
            say("".join(f"        {line}\n" for line in failures(result.output)), end="")
    failed = [result.step.name for result in results if not result.ok]
    say(f"test: {len(results) - len(failed)} steps passed, {len(failed)} failed in {clock(seconds)}")
    # A step can fail without a failing test in it, and must not be lost in the sum.
    say(f"{total['passed']} passed, {max(total['failed'], len(failed))} failed in {seconds:.2f}s")
    return 1 if failed else 0


def carry_out(steps: list[Step], *, alone: bool) -> list[Result]:
    """One after the other, whatever became of those before."""
    results = []
    for step in steps:
        step.log = LOGS / f"{step.name.replace(' ', '-')}.log"
        result = run(step, alone=alone, show_output=False)
        lines = summaries(result.output)
        if not result.ok:
            lines += [*reasons(result.output), *result.output.rstrip().splitlines()[-TAIL:], f"the whole log: {step.log.relative_to(REPO)}"]
        if lines:
            say("\n".join(f"        {line}" for line in lines))
        results.append(result)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--nightly", action="store_true")
    arguments = parser.parse_args()
    names = arguments.names
    first, *lanes = nightly() if arguments.nightly else [first_steps(), *map(lane_steps, LANES), steps_without_lab()]
    known = [step.name for steps in (first, *lanes) for step in steps]
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"no step is called {' or '.join(unknown)}; there are {', '.join(known)}")
    if names:
        first, *lanes = [[step for step in steps if step.name in names] for steps in (first, *lanes)]
    os.chdir(REPO)
    started = time.monotonic()
    results = carry_out(first, alone=True)
    # A lab that the caller names is one lab for both.
    with concurrent.futures.ThreadPoolExecutor(1 if os.environ.get("LITEFARM_LAB") else len(lanes)) as pool:
        for done in pool.map(lambda steps: carry_out(steps, alone=False), lanes):
            results += done
    return report(results, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
