# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

PASSWORD = "correct-horse-battery"


def test_good_release_replaces_the_old_one(service):
    service.recreate().good()
    result = service.good(image=service.images["2"])
    assert service.get() == (200, "version 2")
    assert service.containers() == {"": "running", ".previous.1": "exited"}
    assert result["release"]["previous"]["image"] == service.images["1"]
    policies = {c: service.container(c).attrs["HostConfig"]["RestartPolicy"]["Name"] for c in ("", ".previous.1")}
    assert policies == {"": "unless-stopped", ".previous.1": "no"}
    assert not service.good(image=service.images["2"])["changed"]


@pytest.mark.parametrize(("mode", "exit_reason"), [("exit", "exit code 3"), ("crash=2", "exit code 7")])
def test_bad_release_brings_the_old_one_back(service, mode, exit_reason):
    service.recreate(settle=6.0).good()
    result = service.bad(image=service.images["2"], env={"MODE": mode})
    assert service.get() == (200, "version 1")
    assert service.containers() == {"": "running"}
    assert service.container().attrs["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert "is back and serves" in result["msg"].splitlines()[0]
    assert result["exit"].startswith(exit_reason)
    assert "starting version 2 with password ********" in result["log"]
    assert PASSWORD not in result["output"]


def test_what_the_engine_refuses_leaves_the_old_one(service):
    service.recreate().good()
    result = service.bad(image=service.images["2"], entrypoint=["/no/such/program"])
    assert "/no/such/program" in result["msg"] and "is back and serves" in result["msg"], result["msg"]
    assert service.get() == (200, "version 1")
    assert service.containers() == {"": "running"}


def test_stopped_by_hand_is_started_again(service):
    service.recreate().good()
    service.container().stop(timeout=3)
    assert service.good()["changed"]
    assert service.get() == (200, "version 1")
    assert not service.good()["changed"]


def test_retained_release_comes_back_by_revert(service):
    service.recreate().good()
    service.good(image=service.images["2"])
    assert service.good(image=service.images["2"], state="revert")["release"]["phase"] == "reverted"
    assert service.get() == (200, "version 1")
    assert service.containers() == {"": "running", ".previous.2": "exited"}
    assert not service.good(image=service.images["2"], state="revert")["changed"]
