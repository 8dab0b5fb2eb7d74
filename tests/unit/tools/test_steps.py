# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib.util
import pathlib
import re
import sys

import demo
import pytest
import steps


def load(name):
    # `test` and `check` are names of other modules too.
    spec = importlib.util.spec_from_file_location(f"tools_{name}", pathlib.Path(steps.__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look their own module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


suite = load("test")


def python(code, **options):
    return steps.Step("a step", [sys.executable, "-c", code], **options)


def test_good_step_is_one_line(capsys, tmp_path):
    result = steps.run(python("print('hello')", log=tmp_path / "logs" / "a.log"))
    assert result.ok and result.output == "hello\n"
    assert (tmp_path / "logs" / "a.log").read_text() == "hello\n"
    out = capsys.readouterr().out
    assert out.startswith("  ok  ") and "hello" not in out and out.count("\n") == 1


def test_failed_step_shows_its_output(capsys):
    result = steps.run(python("import sys; print('out'); sys.exit('err')"))
    assert result.status == 1 and not result.ok
    out = capsys.readouterr().out
    assert out.startswith("  FAIL") and "        out\n" in out and "        err\n" in out


def test_steps_run_together_keep_their_order_and_their_failures():
    results = steps.run_together([python("raise SystemExit(3)"), python("pass")])
    assert [result.status for result in results] == [3, 0]


def test_step_that_cannot_start_is_not_taken_for_good(capsys):
    assert steps.run(steps.Step("no such program", ["./no-such-program"])).status == steps.NOT_FOUND
    assert "make venv" in capsys.readouterr().out


def test_counts_of_nested_pytest_runs_add_up():
    output = "x\n===== 12 passed in 3.40s =====\n  2 failed, 5 passed, 1 warning in 81.28s (0:01:21)\nnot 7 passed at all\n"
    assert suite.counts(suite.summaries(output)) == {"passed": 17, "failed": 2}


@pytest.mark.parametrize(("status", "closing"), [(0, "3 passed, 0 failed in 9.00s"), (2, "3 passed, 1 failed in 9.00s")])
def test_suite_fails_when_a_step_fails_without_a_failing_test(capsys, status, closing):
    result = steps.Result(steps.Step("molecule", []), status, 9.0, "== 3 passed in 1.00s ==\n")
    assert suite.report([result], 9.0) == (1 if status else 0)
    assert capsys.readouterr().out.splitlines()[-1] == closing


def test_make_nightly_runs_every_folder_with_tests_for_the_night():
    nightly = {step.name for each in suite.nightly() for step in each}
    scenarios = {path.parent.name: set(re.findall(r"tests/scenarios/(\w+)", path.read_text())) for path in steps.REPO.glob("molecule/*/molecule.yml")}
    files = (steps.REPO / "tests" / "scenarios").rglob("test_*.py")
    marked = {path.parent.name for path in files if re.search(r"mark\.nightly|\bsample\(", path.read_text())}
    assert marked and marked <= set().union(*(folders for name, folders in scenarios.items() if name in nightly))


def test_the_table_at_the_end_says_why_a_step_failed(capsys):
    output = "        ______ test_one ______\n        E   assert 1 == 2\n        a line of a log\n        FAILED tests/a.py::test_one - assert 1 == 2\n"
    suite.report([steps.Result(steps.Step("check", []), 1, 9.0, output), steps.Result(steps.Step("default", []), 0, 9.0, output)], 9.0)
    shown = capsys.readouterr().out
    assert [shown.count(each) for each in ("______ test_one ______", "E   assert 1 == 2\n", "FAILED tests/a.py", "a line of a log")] == [1, 1, 1, 0]


def test_demo_that_fails_says_which_step_and_which_log(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "REPO", tmp_path)
    monkeypatch.setattr(steps, "REPO", tmp_path)
    with pytest.raises(demo.Failed):
        demo.step("Lab is up", [sys.executable, "-c", "raise SystemExit('no engine')"])
    out = capsys.readouterr().out
    assert "no engine" in out
    assert "“Lab is up” failed with status 1. The whole log: .lab/" in out and "logs/lab-is-up.log" in out


def test_demo_shows_the_table_of_verify():
    # Ansible prints what a plugin displays when it comes, here before the head of its own task.
    output = "TASK [Asked] ***\nok: [a]\nCHECK  WHERE  SEEN\npage   a      200\n\nTASK [As expected] ***\nok: [a]\n\nPLAY RECAP ***\n"
    assert demo.table_of(output) == "  CHECK  WHERE  SEEN\n  page   a      200"


def test_the_reasons_of_failed_tests_are_found_among_the_rest():
    output = (
        "TASK [The droplets are tested] ***\n"
        "______ test_a_good_release_is_not_noticed ______\n"
        "    def test_a_good_release_is_not_noticed(under_load):\n"
        ">       assert run.status == 0, run.output\n"
        "\x1b[31mE       AssertionError: nobody listens\x1b[0m\n"
        "tests/scenarios/release/test_deploy.py:12: AssertionError\n"
        "FAILED tests/scenarios/release/test_deploy.py::test_a_good_release_is_not_noticed\n"
        "Nov 24 23:19:27 litefarmapp systemd[1]: Reload requested\n"
    )
    reasons = suite.reasons(output)
    assert len(reasons) == 5
    assert reasons[2] == "E       AssertionError: nobody listens"


def test_every_scenario_is_in_one_lane_and_every_lane_has_a_lab_of_its_own():
    names = [step.name for lane in suite.LANES for step in suite.lane_steps(lane)]
    assert len(names) == len(set(names))
    assert {path.parent.name for path in steps.REPO.glob("molecule/*/molecule.yml")} < set(names)
    assert len({(lane.lab, lane.public, lane.private) for lane in suite.LANES}) == len(suite.LANES)


def test_nightly_plays_all_rows_and_all_kinds_of_harm_in_labs_that_it_takes_down():
    first, *lanes = suite.nightly()
    found = {step.name: step for step in [*first, *(step for lane in lanes for step in lane)]}
    assert len(found) == len(first) + sum(map(len, lanes))
    assert {name for name, step in found.items() if step.env.get("LITEFARM_NIGHTLY") == "1"} >= {"unit", "scaled", "integration", "default"}
    assert all((steps.REPO / found[name].command[-1]).is_dir() for name in ("unit", "integration"))
    assert (steps.REPO / suite.KILL_MATRIX).is_dir() and f"pytest {suite.KILL_MATRIX}\n" in (steps.REPO / "Makefile").read_text()
    # Without -k, which would leave out kinds.
    assert found["kill matrix"].command[-1] == suite.KILL_MATRIX and "-k" not in found["kill matrix"].command
    assert found["kill matrix"].env["LITEFARM_KILL_MATRIX_DROPLET"] in found["kill matrix up"].command
    for lane, played in zip(suite.LANES, lanes, strict=True):
        assert (played[0].name, played[-1].name) == (f"old {lane.lab} gone", f"{lane.lab} down")


def test_nightly_is_an_option_of_the_suite_and_a_target_of_make(monkeypatch, capsys):
    played = []
    monkeypatch.setattr(suite, "carry_out", lambda steps, alone: played.extend(step.name for step in steps) or [])
    monkeypatch.chdir(steps.REPO)
    monkeypatch.setattr(suite.sys, "argv", ["test.py", "--nightly", "unit", "scaled"])
    assert suite.main() == 0 and sorted(played) == ["scaled", "unit"]
    assert "tools/test.py --nightly" in (steps.REPO / "Makefile").read_text()


def test_a_failed_step_does_not_keep_those_after_it_from_running(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "REPO", tmp_path)
    monkeypatch.setattr(suite, "LOGS", tmp_path)
    results = suite.carry_out([python("raise SystemExit('E   lost')"), python("print('== 3 passed in 1.00s ==')")], alone=False)
    assert [result.ok for result in results] == [False, True]
    out = capsys.readouterr().out
    assert "        E   lost\n" in out and "        3 passed in 1.00s\n" in out
