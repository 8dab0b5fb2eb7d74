# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run is killed between any two of its steps. The next run ends as if nothing had happened, and no reload is lost."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._config_files import ConfigFilesError

from tests.unit.plugins.config_files.host import Host

LAST_STEP = 40


def declaration(host, content):
    """A set in which something is changed, made, linked, removed; version "old" is what the host starts with."""
    old = content == "old"
    files = [
        {"dest": f"{host.etc}/app.conf", "content": content},
        {"dest": f"{host.etc}/{content}/deep/extra", "content": content},
        {"dest": f"{host.etc}/link", "link": content},
        {"dest": f"{host.etc}/mode", "content": "same", "mode": "0600" if old else "0644"},
    ]
    return {
        "files": files,
        "exclusive": [{"path": f"{host.etc}/{'new' if old else 'old'}/deep"}],
        "validate": "check",
        "on_change": [{"command": "after-change"}],
        "units": [{"name": "app.service", "state": "started", "enabled": True, "on_change": "reload"}],
    }


def running_host(folder, content="old"):
    host = Host(folder)
    host.add_unit("app.service", reads=host.etc / "app.conf")
    host.apply(**declaration(host, content))
    return host


def steps_of(folder, **params):
    host, seen = running_host(folder), []
    host.apply(step=seen.append, **declaration(host, "new"))
    return len(seen)


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    count = steps_of(tmp_path_factory.mktemp("count") / "host")
    assert 8 <= count < LAST_STEP
    return count


def settled(host, content):
    assert (host.etc / "app.conf").read_text() == content
    assert (host.etc / content / "deep/extra").read_text() == content
    assert not (host.etc / ("new" if content == "old" else "old") / "deep/extra").exists()
    assert not [name for name in host.tree() if "litefarm-new" in name]
    assert host.unit("app.service")["loaded"] == content
    assert host.journal_left() == []
    again = host.apply(**declaration(host, content))
    assert (again["changed"], again["recovered"]) == (False, False)


@pytest.mark.parametrize("wanted", ["new", "old"])
def test_the_next_run_finishes_or_takes_back(tmp_path, steps, wanted):
    for number in range(steps):
        host = running_host(tmp_path / str(number))
        assert host.apply_killed(number, **declaration(host, "new"))
        host.apply(**declaration(host, wanted))
        settled(host, wanted)


DAMAGE = (lambda text: b"", lambda text: b"\0" * len(text), lambda text: text[: len(text) // 2], lambda text: b"null")


@pytest.mark.parametrize("wanted", ["new", "old"])
def test_a_damaged_journal_of_a_killed_run_stops_no_run(tmp_path, steps, wanted):
    """What that run had shown to a unit is not known any more, so the unit is told again."""
    damaged = 0
    for number in range(steps):
        host = running_host(tmp_path / str(number))
        assert host.apply_killed(number, **declaration(host, "new"))
        if "journal.json" in host.journal_left():
            journal = host.state_root / "test" / "journal.json"
            journal.write_bytes(DAMAGE[damaged % len(DAMAGE)](journal.read_bytes()))
            damaged += 1
        host.apply(**declaration(host, wanted))
        settled(host, wanted)
    assert damaged > 3


def test_the_recovery_may_be_killed_as_well(tmp_path, steps):
    for first in range(steps):
        for second in range(LAST_STEP):
            host = running_host(tmp_path / f"{first}-{second}")
            host.apply_killed(first, **declaration(host, "new"))
            killed = host.apply_killed(second, **declaration(host, "old"))
            host.apply(**declaration(host, "new"))
            settled(host, "new")
            if not killed:
                break


def test_a_refused_set_that_was_killed_never_stays(tmp_path):
    for number in range(LAST_STEP):
        host = running_host(tmp_path / str(number))
        killed = host.apply_killed(number, **declaration(host, "BAD"))
        with pytest.raises(ConfigFilesError, match="refuses the new configuration"):
            host.apply(**declaration(host, "BAD"))
        assert host.tree()["app.conf"] == "old"
        assert host.tree()["link"] == "-> old"
        assert host.unit("app.service")["loaded"] == "old"
        if not killed:
            break


def test_a_fresh_host_starts_the_unit_in_the_end(tmp_path):
    for number in range(LAST_STEP):
        host = Host(tmp_path / str(number))
        host.add_unit("app.service", active="inactive", enabled="disabled", reads=host.etc / "app.conf")
        killed = host.apply_killed(number, **declaration(host, "new"))
        host.apply(**declaration(host, "new"))
        settled(host, "new")
        assert host.unit("app.service")["enabled"] == "enabled"
        if not killed:
            break


def test_check_mode_tells_of_the_interrupted_run_and_leaves_it(tmp_path, steps):
    host = running_host(tmp_path / "host")
    assert host.apply_killed(steps - 3, **declaration(host, "new"))
    before, journal = host.tree(), host.journal_left()
    result = host.apply(check_mode=True, **declaration(host, "new"))
    assert (result["changed"], result["recovered"]) == (True, True)
    assert result["units"] == [{"name": "app.service", "change": "reload"}]
    assert (host.tree(), host.journal_left()) == (before, journal)


def test_a_half_written_file_is_cleared_away(tmp_path):
    host = running_host(tmp_path / "host")
    (host.etc / ".app.conf.litefarm-new").write_text("ne")
    host.apply(**declaration(host, "new"))
    settled(host, "new")


def test_a_second_run_waits_for_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr("ansible_collections.litefarm.platform.plugins.module_utils._config_files.LOCK_TIMEOUT", 0)
    host = running_host(tmp_path / "host")

    def step(name):
        with pytest.raises(ConfigFilesError, match="another run is applying"):
            host.apply(**declaration(host, "new"))

    host.apply(step=step, **declaration(host, "new"))
