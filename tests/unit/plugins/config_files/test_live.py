# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unchanged means live: what units have read, and what the kernel has, is what the files declare."""

from __future__ import annotations

import os
import time

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _config_files as config_files
from ansible_collections.litefarm.platform.plugins.module_utils import _live as live
from ansible_collections.litefarm.platform.plugins.module_utils._config_files import ConfigFilesError

from tests.unit.plugins.config_files.host import Host


def set_of(host, **unit):
    return {
        "files": [{"dest": f"{host.etc}/app.conf", "content": "declared"}, {"dest": f"{host.etc}/sites/one.conf", "content": "one"}],
        "exclusive": [{"path": f"{host.etc}/sites", "patterns": ["*.conf"]}],
        "units": [dict({"name": "app.service", "state": "started", "enabled": True, "on_change": "reload"}, **unit)],
    }


@pytest.fixture
def app(host):
    host.add_unit("app.service", reads=host.etc / "app.conf")
    host.apply(**set_of(host))
    assert host.apply(**set_of(host))["changed"] is False
    return host


def kernel_set(host, on="unit"):
    files = [{"dest": f"{host.etc}/kernel.conf", "content": "rules"}]
    if on == "unit":
        question = {"kind": "command", "command": "kernel-check"}
        return {"files": files, "units": [{"name": "kernel.service", "state": "started", "on_change": "reload", "live": question}]}
    return {"files": files, "on_change": [{"command": ["kernel-load"], "live": {"kind": "command", "command": ["kernel-check"]}}]}


@pytest.fixture(params=["unit", "command"])
def kernel(host, request, monkeypatch):
    host.on = request.param
    host.add_unit("kernel.service", active="inactive", enabled="enabled")
    monkeypatch.setattr(host, "read_configuration", lambda name: host.set_unit(name, active="active") or host.kernel("load") == (0, ""))
    host.apply(**kernel_set(host, host.on))
    assert host.apply(**kernel_set(host, host.on))["changed"] is False
    return host


def edited_loaded_and_put_back(host):
    (host.etc / "app.conf").write_text("edited")
    host.read_configuration("app.service")
    (host.etc / "app.conf").write_text("declared")


def test_a_file_that_was_edited_loaded_and_put_back_is_loaded_again(app):
    edited_loaded_and_put_back(app)
    announced = app.apply(check_mode=True, **set_of(app))
    assert app.unit("app.service")["loaded"] == "edited"
    result = app.apply(**set_of(app))
    assert app.unit("app.service")["loaded"] == "declared"
    for told in (announced, result):
        assert told["changed"] is True
        assert told["files"] == []
        assert told["units"] == [{"name": "app.service", "change": "reload"}]
        assert told["outdated"] == [f"{app.etc}/app.conf: changed after app.service read it"]
        assert {"prepared": f"{app.etc}/app.conf: changed after app.service read it\n"} in told["diff"]
    assert app.apply(**set_of(app))["changed"] is False


def test_a_file_that_was_there_for_a_while_beside_the_declared_ones_is_unloaded(app):
    (app.etc / "sites/other.conf").write_text("other")
    app.read_configuration("app.service")
    (app.etc / "sites/other.conf").unlink()
    assert app.apply(**set_of(app))["units"] == [{"name": "app.service", "change": "reload"}]
    assert app.apply(**set_of(app))["changed"] is False


def test_a_folder_that_other_programs_use_too_is_not_watched(app):
    (app.etc / "sites/README").write_text("other")
    app.apply(**set_of(app))
    (app.etc / "sites/README").unlink()
    (app.etc / "sites/NOTES").write_text("other")
    assert app.apply(**set_of(app))["changed"] is False


@pytest.mark.parametrize("unit", [{"on_change": "none"}, {"only_for": ["/other"]}])
def test_a_touched_file_that_no_unit_reads_is_no_change(app, unit):
    app.apply(**set_of(app, **unit))
    edited_loaded_and_put_back(app)
    assert app.apply(**set_of(app, **unit))["changed"] is False


def test_a_restart_by_hand_or_a_reboot_is_no_change(app):
    app.read_configuration("app.service")
    app.set_unit("app.service", since=time.monotonic())
    assert app.apply(**set_of(app))["changed"] is False


def test_a_run_that_is_killed_while_it_loads_again_is_finished_by_the_next_one(tmp_path):
    for number in range(20):
        host = Host(tmp_path / str(number))
        host.add_unit("app.service", reads=host.etc / "app.conf")
        host.apply(**set_of(host))
        edited_loaded_and_put_back(host)
        killed = host.apply_killed(number, **set_of(host))
        host.apply(**set_of(host))
        assert host.unit("app.service")["loaded"] == "declared"
        assert host.journal_left() == []
        assert host.apply(**set_of(host))["changed"] is False
        if not killed:
            break


def test_what_was_not_live_before_a_failed_run_is_not_taken_for_live_after_it(app):
    edited_loaded_and_put_back(app)
    broken = set_of(app)
    broken["files"].append({"dest": f"{app.etc}/more.conf", "content": "BAD"})
    with pytest.raises(ConfigFilesError, match="refuses the new configuration"):
        app.apply(validate="check", **broken)
    assert app.unit("app.service")["loaded"] == "edited"
    app.apply(**set_of(app))
    assert app.unit("app.service")["loaded"] == "declared"


def test_a_folder_that_was_not_live_before_a_failed_run_is_not_taken_for_live_after_it(app):
    (app.etc / "sites/other.conf").write_text("other")
    (app.etc / "sites/other.conf").unlink()
    broken = set_of(app)
    broken["files"][1]["content"] = "BAD"
    with pytest.raises(ConfigFilesError, match="refuses the new configuration"):
        app.apply(validate="check", **broken)
    assert app.apply(**set_of(app))["units"] == [{"name": "app.service", "change": "reload"}]


def test_what_a_killed_run_has_loaded_is_unloaded_although_the_next_one_is_refused(tmp_path):
    for number in range(20):
        host = Host(tmp_path / str(number))
        host.add_unit("app.service", reads=host.etc / "app.conf")
        host.apply(**set_of(host))
        new, bad = ([{"dest": f"{host.etc}/app.conf", "content": content}] for content in ("new", "BAD"))
        killed = host.apply_killed(number, **dict(set_of(host), files=new))
        with pytest.raises(ConfigFilesError, match="refuses the new configuration"):
            host.apply(validate="check", **dict(set_of(host), files=bad))
        host.apply(**set_of(host))
        assert host.unit("app.service")["loaded"] == "declared"
        assert host.apply(**set_of(host))["changed"] is False
        if not killed:
            break


def test_a_set_that_was_put_back_is_no_change_afterwards(app):
    broken = set_of(app)
    broken["files"][1]["content"] = "BAD"
    with pytest.raises(ConfigFilesError, match="previous configuration is back"):
        app.apply(validate="check", **broken)
    assert app.apply(**set_of(app))["changed"] is False


@pytest.mark.parametrize(("since", "changes"), [(-3600, ["reload"]), (3600, [])])
def test_without_a_record_the_time_of_the_last_start_or_reload_has_to_do(app, since, changes):
    (app.state_root / "test/loaded.json").unlink()
    app.set_unit("app.service", since=time.monotonic() + since)
    assert [item["change"] for item in app.apply(**set_of(app))["units"]] == changes
    assert app.apply(**set_of(app))["changed"] is False


@pytest.mark.parametrize("on_change", ["reload", "restart", "none"])
def test_systemd_runs_a_unit_by_the_file_on_disk(app, on_change):
    app.apply(**set_of(app, on_change=on_change))
    app.set_unit("app.service", older=True)
    before = len(app.commands())
    result = app.apply(**set_of(app, on_change=on_change))
    expected = [] if on_change == "none" else [f"systemctl {on_change} app.service"]
    assert app.commands()[before:] == ["systemctl daemon-reload", *expected]
    assert result["outdated"] == ["app.service: systemd runs it by an older unit file"]
    assert app.apply(**set_of(app, on_change=on_change))["changed"] is False


def test_a_restart_is_not_lost_if_the_run_is_killed_after_daemon_reload(app):
    for number in range(20):
        app.set_unit("app.service", older=True)
        before = len(app.commands())
        killed = app.apply_killed(number, **set_of(app))
        app.apply(**set_of(app))
        assert {"systemctl daemon-reload", "systemctl reload app.service"} <= set(app.commands()[before:])
        assert app.apply(**set_of(app))["changed"] is False
        if not killed:
            break


def test_the_units_of_declared_unit_files_are_looked_at_too(host, monkeypatch):
    monkeypatch.setattr(config_files, "UNIT_FOLDERS", (str(host.etc),))
    names = ["app.service", "app.timer", "app@.service", "other.service.d/litefarm.conf", "README"]
    host.add_unit("app.timer")
    files = [{"dest": f"{host.etc}/{name}", "content": "x"} for name in names]
    prepared = host.prepare(files=files, units=[{"name": "app.timer", "on_change": "none"}])
    assert prepared.unit_names() == ["app.timer", "app.service", "other.service"]


def test_what_the_kernel_has_is_compared_and_repaired(kernel):
    kernel.set_kernel("flushed")
    before = len(kernel.commands())
    announced = kernel.apply(check_mode=True, **kernel_set(kernel, kernel.on))
    assert (kernel.root / "kernel").read_text() == "flushed"
    result = kernel.apply(**kernel_set(kernel, kernel.on))
    assert (kernel.root / "kernel").read_text() == "rules"
    who = {"unit": "kernel.service", "command": "kernel-load"}[kernel.on]
    for told in (announced, result):
        assert (told["changed"], told["outdated"]) == (True, [f"{who}: kernel has flushed"])
    assert len([line for line in kernel.commands()[before:] if line == "kernel-check"]) == 3, "once in check mode, once before, once after"
    assert kernel.apply(**kernel_set(kernel, kernel.on))["changed"] is False


def test_a_repair_that_changes_nothing_is_a_failure(kernel):
    kernel.set_kernel("flushed")
    (kernel.root / "kernel_refuses").touch()
    for _twice in range(2):
        with pytest.raises(ConfigFilesError, match="has not taken over what is declared: kernel has flushed"):
            kernel.apply(**kernel_set(kernel, kernel.on))
    (kernel.root / "kernel_refuses").unlink()
    assert kernel.apply(**kernel_set(kernel, kernel.on))["changed"] is True
    assert kernel.apply(**kernel_set(kernel, kernel.on))["changed"] is False


def test_a_unit_that_does_not_run_is_started_without_a_question(kernel):
    if kernel.on == "unit":
        kernel.set_kernel("flushed")
        kernel.set_unit("kernel.service", active="inactive")
        assert kernel.apply(**kernel_set(kernel))["units"] == [{"name": "kernel.service", "change": "start"}]
        assert (kernel.root / "kernel").read_text() == "rules"


def asking(program, *files):
    return {"files": list(files), "on_change": [{"command": ["true"], "only_for": ["/no"], "live": {"kind": "command", "command": [program]}}]}


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_question_that_has_no_answer_fails(host, check_mode):
    with pytest.raises(ConfigFilesError, match="true: missing-program: not found on this host .`missing-program`, exit status 127."):
        host.apply(check_mode=check_mode, **asking("missing-program"))


def test_a_program_that_this_run_writes_is_asked_when_it_is_there(host, monkeypatch):
    asked, run = [], host.run
    program = f"{host.etc}/program"
    monkeypatch.setattr(host, "run", lambda command: asked.append(os.path.exists(program)) or (0, "") if command == [program] else run(command))
    declaration = asking(program, {"dest": program, "content": "x"})
    host.apply(check_mode=True, **declaration)
    host.apply(**declaration)
    assert asked == [True]


# -- for verify.yml and status.yml ---------------------------------------------------------------------------------


def looked_at(host, name="test"):
    def show(names):
        return {each: dict(line.split("=", 1) for line in host.show(each).splitlines()) for each in names}

    return live.look([name], str(host.state_root), host.run, show)


def test_verify_finds_nothing_where_all_is_live(app, kernel):
    assert looked_at(app) == {"different": [], "unknown": []}
    assert looked_at(app, "never-applied") == {"different": [], "unknown": ["never-applied"]}


def test_verify_names_what_is_not_live(app):
    edited_loaded_and_put_back(app)
    app.set_unit("app.service", older=True, active="failed")
    assert looked_at(app)["different"] == [
        "app.service is failed",
        "systemd runs app.service by an older unit file",
        f"{app.etc}/app.conf was changed after app.service read it",
    ]
    app.apply(**set_of(app))
    assert looked_at(app)["different"] == []


def test_verify_asks_what_the_kernel_has(kernel):
    kernel.set_kernel("flushed")
    who = {"unit": "kernel.service", "command": "kernel-load"}[kernel.on]
    assert looked_at(kernel)["different"] == [f"{who}: kernel has flushed"]


def test_a_command_that_read_a_file_is_not_spelled_out(host):
    declaration = {"files": [{"dest": f"{host.etc}/a", "content": "a"}], "on_change": [{"command": ["sh", "-c", "long line"]}]}
    host.apply(**declaration)
    (host.etc / "a").write_text("a")
    assert looked_at(host)["different"] == [f"{host.etc}/a was changed after a command read it"]
    assert host.apply(**declaration)["outdated"] == [f"{host.etc}/a: changed after a command read it"]


def test_a_command_is_named_by_the_file_that_it_loads():
    assert live.title("sh -c x", {"kind": "sysctl", "file": "/etc/sysctl.d/90.conf"}) == "/etc/sysctl.d/90.conf"
    assert live.title("a.service", {"kind": "nftables", "file": "/etc/ruleset"}) == "a.service"


def test_verify_names_a_run_that_was_interrupted(app):
    app.apply_killed(2, **dict(set_of(app), files=[{"dest": f"{app.etc}/app.conf", "content": "new"}]))
    assert "a run that changed files of test was interrupted" in looked_at(app)["different"]


def test_verify_leaves_a_set_alone_that_a_run_is_at(app):
    seen = []
    app.apply(step=lambda name: seen.append(looked_at(app)["different"]), **dict(set_of(app), files=[{"dest": f"{app.etc}/app.conf", "content": "new"}]))
    assert len(seen) > 5
    assert [each for each in seen if each] == []
