# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, links and directories: compared, written, shown."""

from __future__ import annotations

import os
import stat
import time

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._config_files import ConfigFilesError, Runner, ValidationError


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def changes(result):
    return {os.path.basename(item["dest"]): item["change"] for item in result["files"]}


def declared(host):
    return [
        {"dest": f"{host.etc}/app/deep/a.conf", "content": "a\n", "mode": "0640"},
        {"dest": f"{host.etc}/b.conf", "content": "b\n"},
        {"dest": f"{host.etc}/link", "link": "b.conf"},
        {"dest": f"{host.etc}/data", "state": "directory", "mode": "0700"},
        {"dest": f"{host.etc}/old", "state": "absent"},
    ]


def test_everything_is_made_and_a_second_run_changes_nothing(host):
    (host.etc / "old").write_text("x")
    result = host.apply(files=declared(host))
    assert changes(result) == {"a.conf": "created", "b.conf": "created", "link": "created", "data": "created", "old": "removed"}
    assert host.tree() == {
        "app": "directory",
        "app/deep": "directory",
        "app/deep/a.conf": "a\n",
        "b.conf": "b\n",
        "link": "-> b.conf",
        "data": "directory",
    }
    assert mode_of(host.etc / "app/deep/a.conf") == 0o640
    assert mode_of(host.etc / "app/deep") == 0o755
    assert mode_of(host.etc / "data") == 0o700
    assert host.journal_left() == []
    assert host.apply(files=declared(host))["changed"] is False


def test_check_mode_tells_the_same_and_touches_nothing(host):
    (host.etc / "old").write_text("x")
    announced = host.apply(check_mode=True, files=declared(host))
    assert host.tree() == {"old": "x"}
    assert not host.state_root.exists()
    done = host.apply(files=declared(host))
    assert announced["files"] == done["files"]
    assert announced["diff"] == done["diff"]


def test_mode_and_content_are_put_right(host):
    host.apply(files=declared(host))
    (host.etc / "b.conf").write_text("edited by hand\n")
    (host.etc / "data").chmod(0o755)
    result = host.apply(files=declared(host))
    assert changes(result) == {"b.conf": "content", "data": "mode"}
    shown = {os.path.basename(item["before_header"]): item for item in result["diff"]}
    assert (shown["b.conf"]["before"], shown["b.conf"]["after"]) == ("edited by hand\n", "b\n")
    assert (shown["data"]["before"], shown["data"]["after"]) == ("mode: 0755\n", "mode: 0700\n")


def test_a_link_in_the_way_is_replaced_and_its_target_stays(host):
    target = host.root / "precious"
    target.write_text("precious")
    (host.etc / "b.conf").symlink_to(target)
    host.apply(files=[{"dest": f"{host.etc}/b.conf", "content": "b\n"}])
    assert target.read_text() == "precious"
    assert not (host.etc / "b.conf").is_symlink()


def test_nothing_is_written_through_a_link_that_a_stranger_made(host, monkeypatch):
    (host.root / "elsewhere").mkdir()
    (host.etc / "folder").symlink_to(host.root / "elsewhere")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    os.lchown(host.etc / "folder", 54321, 54321) if os.getuid() == 0 else monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ConfigFilesError, match="nothing is written through it"):
        host.apply(check_mode=True, files=[{"dest": f"{host.etc}/folder/x", "content": ""}])


def test_files_that_are_not_declared_leave_exclusive_directories(host):
    sites = host.etc / "sites.d"
    sites.mkdir()
    for name in ("mine.conf", "stale.conf", "notes.txt"):
        (sites / name).write_text("x")
    (sites / "folder.conf").mkdir()
    files = [{"dest": f"{sites}/mine.conf", "content": "x"}]
    result = host.apply(files=files, exclusive=[{"path": str(sites), "patterns": ["*.conf"]}])
    assert changes(result) == {"stale.conf": "removed"}
    assert sorted(path.name for path in sites.iterdir()) == ["folder.conf", "mine.conf", "notes.txt"]
    assert host.apply(files=files, exclusive=[{"path": f"{host.etc}/none"}])["changed"] is False


def test_secrets_are_shown_as_sizes_only(host):
    path = f"{host.etc}/password"
    first = host.apply(secret_files=[{"dest": path, "content": "first-hidden\n"}])
    assert mode_of(path) == 0o600
    second = host.apply(secret_files=[{"dest": path, "content": "second-hidden\n"}])
    third = host.apply(files=[{"dest": path, "state": "absent"}])
    assert "hidden" not in str([first, second, third])
    assert second["diff"][0]["after"] == "content changed (old 13 bytes, new 14 bytes)\n"


def test_a_secret_file_that_a_validator_prints_is_masked(host):
    with pytest.raises(ConfigFilesError) as caught:
        host.apply(secret_files=[{"dest": f"{host.etc}/password", "content": 'BAD password="correct-horse";\n'}], validate="check all")
    assert "correct-horse" not in str(caught.value)
    assert f"{host.etc}/password is made from" in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"dest": "relative", "content": ""}, "absolute"),
        ({"dest": "/etc/../x", "content": ""}, "absolute"),
        ({"dest": "/x"}, "exactly one of"),
        ({"dest": "/x", "content": "", "link": "y"}, "exactly one of"),
        ({"dest": "/x", "content": "", "mode": "420"}, "four octal digits"),
        ({"dest": "/x", "content": "", "mode": "u+x"}, "four octal digits"),
    ],
)
def test_what_cannot_be_meant_is_refused(host, entry, sentence):
    with pytest.raises(ValidationError, match=sentence):
        host.apply(files=[entry])


def test_a_path_may_be_declared_once_only(host):
    with pytest.raises(ValidationError, match="declared twice"):
        host.apply(files=[{"dest": "/x", "content": ""}], secret_files=[{"dest": "/x", "content": ""}])


def test_a_directory_in_the_place_of_a_file_is_left_alone(host):
    (host.etc / "b.conf").mkdir()
    (host.etc / "b.conf/data").write_text("x")
    for entry in ({"content": ""}, {"link": "x"}, {"state": "absent"}):
        with pytest.raises(ConfigFilesError, match="is a directory"):
            host.apply(files=[dict(entry, dest=f"{host.etc}/b.conf")])
    assert (host.etc / "b.conf/data").exists()


def test_a_user_that_does_not_exist_yet_is_an_error_outside_check_mode_only(host):
    files = [{"dest": f"{host.etc}/x", "content": "", "owner": "nobody-yet", "group": "nobody-yet"}]
    assert host.apply(check_mode=True, files=files)["changed"] is True
    with pytest.raises(ConfigFilesError, match="user nobody-yet does not exist"):
        host.apply(files=files)


def test_a_fresh_host_keeps_nothing_of_a_refused_set(host):
    files = [{"dest": f"{host.etc}/app/sites/{name}.conf", "content": content} for name, content in (("good", "x"), ("bad", "BAD"))]
    files.append({"dest": f"{host.etc}/app/data", "state": "directory"})
    with pytest.raises(ConfigFilesError, match="Nothing of it was left"):
        host.apply(files=files, validate=["check"])
    assert host.tree() == {}
    assert host.journal_left() == []


def test_a_refused_set_leaves_the_previous_one_with_its_modes(host):
    for name in ("kept", "removed"):
        (host.etc / name).write_text(name)
        (host.etc / name).chmod(0o604)
    (host.etc / "link").symlink_to("kept")
    (host.etc / "folder").mkdir(mode=0o711)
    before = host.tree()
    with pytest.raises(ConfigFilesError, match=r"The previous configuration is back.*"):
        host.apply(
            files=[
                {"dest": f"{host.etc}/kept", "content": "BAD", "mode": "0600"},
                {"dest": f"{host.etc}/link", "content": "a file now"},
                {"dest": f"{host.etc}/folder", "state": "directory", "mode": "0700"},
                {"dest": f"{host.etc}/new/x", "content": ""},
            ],
            exclusive=[{"path": str(host.etc), "patterns": ["removed"]}],
            validate="check",
        )
    assert host.tree() == before
    assert mode_of(host.etc / "kept") == mode_of(host.etc / "removed") == 0o604
    assert mode_of(host.etc / "folder") == 0o711


def test_a_missing_validator_is_a_refusal(host):
    with pytest.raises(ConfigFilesError, match="not found on this host"):
        host.apply(files=[{"dest": f"{host.etc}/x", "content": ""}], validate="missing-program")
    assert host.tree() == {}


def test_an_unchanged_set_costs_almost_nothing(host):
    files = [{"dest": f"{host.etc}/{number}.conf", "content": "x" * 2000} for number in range(10)]
    host.add_unit("app.service")
    units = [{"name": "app.service", "state": "started", "enabled": True}]
    host.apply(files=files, units=units, validate="check")
    commands, shows = host.commands(), host.load()["shows"]
    began = time.process_time()
    assert host.apply(files=files, units=units, validate="check")["changed"] is False
    assert time.process_time() - began < 0.05
    assert host.commands() == commands
    assert host.load()["shows"] == shows + 1


def test_real_commands_answer_with_status_and_output():
    run = Runner()
    assert run(["sh", "-c", "echo out; echo err >&2; exit 3"]) == (3, "out\nerr")
    assert run(["/no/such/program"])[0] == 127
