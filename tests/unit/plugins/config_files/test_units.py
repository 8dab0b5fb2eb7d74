# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units and commands follow the files, and come back with them."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _config_files as config_files
from ansible_collections.litefarm.platform.plugins.module_utils._config_files import ConfigFilesError


def one_file(host, content):
    return [{"dest": f"{host.etc}/app.conf", "content": content}]


def service(**more):
    return [dict({"name": "app.service", "state": "started", "enabled": True}, **more)]


@pytest.fixture
def app(host):
    host.add_unit("app.service", reads=host.etc / "app.conf", dies_on="POISON")
    host.apply(files=one_file(host, "one"), units=service())
    return host


def done(host, since):
    return host.commands()[since:]


@pytest.mark.parametrize(("on_change", "expected"), [("reload", ["reload"]), ("restart", ["restart"]), ("none", [])])
def test_a_change_reaches_the_unit_as_declared(app, on_change, expected):
    before = len(app.commands())
    result = app.apply(files=one_file(app, "two"), units=service(on_change=on_change))
    assert [item["change"] for item in result["units"]] == expected
    assert done(app, before) == [f"systemctl {verb} app.service" for verb in expected]


def test_only_the_concerned_units_and_commands_act(app):
    files = one_file(app, "two")
    result = app.apply(
        files=files,
        units=service(only_for=["*/other.conf"]),
        on_change=[{"command": "concerned a 'b c'", "only_for": ["*/app.conf"]}, {"command": ["idle"], "only_for": ["/no"]}],
    )
    assert result["units"] == []
    assert result["commands"] == ["concerned a b c"]


def test_a_stopped_unit_is_started_and_enabled_without_any_change_of_files(host):
    host.add_unit("app.service", active="inactive", enabled="disabled")
    result = host.apply(units=service())
    assert result["changed"] is True
    assert result["units"] == [{"name": "app.service", "change": "start"}, {"name": "app.service", "change": "enable"}]
    assert host.apply(units=service())["changed"] is False


def test_a_unit_can_be_declared_stopped_and_disabled(host):
    host.add_unit("app.service")
    units = [{"name": "app.service", "state": "stopped", "enabled": False}, {"name": "unknown.service", "state": "stopped", "enabled": False}]
    assert [item["change"] for item in host.apply(units=units)["units"]] == ["stop", "disable"]
    assert host.apply(units=units)["changed"] is False


def test_a_masked_unit_is_unmasked_when_it_is_wanted(host):
    host.add_unit("app.service", active="inactive", enabled="masked", load="masked")
    host.apply(units=service())
    assert host.unit("app.service")["active"] == "active"
    assert host.commands()[0] == "systemctl unmask app.service"


def test_an_unknown_unit_is_told_before_anything_is_written(host):
    with pytest.raises(ConfigFilesError, match="knows no unit app.service"):
        host.apply(files=one_file(host, "x"), units=service())
    assert host.tree() == {}
    announced = host.apply(check_mode=True, files=one_file(host, "x"), units=service())
    assert [item["change"] for item in announced["units"]] == ["start", "enable"]


def test_systemd_learns_of_unit_files_first(host, monkeypatch):
    monkeypatch.setattr(config_files, "UNIT_FOLDERS", (str(host.etc),))
    host.add_unit("app.service", active="inactive")
    host.apply(files=[{"dest": f"{host.etc}/app.service", "content": "[Service]"}], units=service())
    assert host.commands()[:2] == ["systemctl daemon-reload", "systemctl start app.service"]


@pytest.mark.parametrize("on_change", ["reload", "restart"])
def test_a_unit_that_dies_of_a_change_comes_back_with_the_previous_files(app, on_change):
    with pytest.raises(ConfigFilesError, match="last words of app.service(.|\n)*previous configuration is back"):
        app.apply(files=one_file(app, "POISON"), units=service(on_change=on_change))
    assert app.tree() == {"app.conf": "one"}
    assert app.unit("app.service")["active"] == "active"
    assert app.unit("app.service")["loaded"] == "one"
    assert app.apply(files=one_file(app, "one"), units=service())["changed"] is False


def test_a_reload_that_does_not_take_effect_is_a_failure_and_the_next_run_tries_again(app):
    """The unit goes on with what it has read before, as nginx does when a port is in use."""
    state = app.load()
    state["units"]["app.service"]["ignores"] = "PORT IN USE"
    app.store(state)
    for _twice in range(2):
        with pytest.raises(ConfigFilesError, match="reload app.service` failed(.|\n)*last words of app.service(.|\n)*previous configuration is back"):
            app.apply(files=one_file(app, "PORT IN USE"), units=service(on_change="reload"))
        assert app.tree() == {"app.conf": "one"}
        assert app.unit("app.service")["loaded"] == "one"
    state["units"]["app.service"]["ignores"] = None
    app.store(state)
    assert app.apply(files=one_file(app, "PORT IN USE"), units=service(on_change="reload"))["units"] == [{"name": "app.service", "change": "reload"}]


def test_a_unit_that_dies_after_its_start_counts_as_failed(app, monkeypatch):
    monkeypatch.setattr(app, "show", lambda name: "Id=%s\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\nUnitFileState=enabled" % name)
    with pytest.raises(ConfigFilesError, match="did not stay up"):
        app.apply(files=one_file(app, "two"), units=service())
    assert app.tree() == {"app.conf": "one"}


def test_a_unit_that_never_ran_is_stopped_again_on_a_fresh_host(host):
    host.add_unit("app.service", active="inactive", enabled="disabled", reads=host.etc / "app.conf", dies_on="POISON")
    with pytest.raises(ConfigFilesError, match="Nothing of it was left"):
        host.apply(files=one_file(host, "POISON"), units=service())
    assert host.tree() == {}
    assert host.unit("app.service")["active"] == "inactive"
    assert host.unit("app.service")["enabled"] == "disabled"


def test_a_failing_command_takes_the_files_back_and_is_run_for_them_again(host):
    host.apply(files=one_file(host, "one"))
    with pytest.raises(ConfigFilesError, match="`fails now` failed after the change"):
        host.apply(files=one_file(host, "two"), on_change=[{"command": "first"}, {"command": "fails now"}])
    assert host.tree() == {"app.conf": "one"}
    assert host.commands() == ["first", "fails now", "first", "fails now"]


def test_what_did_not_come_back_is_tried_again_by_the_next_run(app):
    with pytest.raises(ConfigFilesError, match="not everything came back"):
        app.apply(files=one_file(app, "two"), on_change=[{"command": "fails"}])
    result = app.apply(files=one_file(app, "one"), units=service())
    assert result["files"] == []
    assert result["units"] == [{"name": "app.service", "change": "restart"}]


def test_a_host_without_systemd_is_fine_in_check_mode_only(host, monkeypatch):
    monkeypatch.setattr(host, "systemctl", lambda words: (127, "systemctl: not found on this host"))
    assert host.apply(check_mode=True, units=service())["changed"] is True
    with pytest.raises(ConfigFilesError, match="systemd does not answer"):
        host.apply(units=service())
