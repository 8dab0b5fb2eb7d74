# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real engine does now and then only: a container that crashes just while it is updated."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils.container_service import engine as engine_module
from ansible_collections.litefarm.platform.plugins.module_utils.container_service.engine import Engine
from ansible_collections.litefarm.platform.plugins.module_utils.container_service.model import ServiceError


class Sdk:
    def __init__(self, failures, message):
        self.failures = failures
        self.message = message
        self.calls = 0

    def update_container(self, container, restart_policy):
        self.calls += 1
        if self.calls <= self.failures:
            raise RuntimeError(self.message)
        return (container, restart_policy["Name"])


@pytest.fixture
def engine_with(monkeypatch):
    def make(failures, message="Cannot update container x: cannot update a stopped container"):
        engine, sdk = Engine(), Sdk(failures, message)
        monkeypatch.setattr(engine, "sdk", lambda **_options: sdk)
        monkeypatch.setattr(engine_module, "POLICY_PAUSE", 0)
        return engine, sdk

    return make


def test_a_container_between_two_starts_is_updated_when_that_moment_has_passed(engine_with):
    engine, sdk = engine_with(3)
    engine.set_policy("x", "no")
    assert sdk.calls == 4


def test_a_moment_that_does_not_pass_is_an_error(engine_with):
    engine, sdk = engine_with(1000)
    with pytest.raises(ServiceError, match="restart policy"):
        engine.set_policy("x", "no")
    assert sdk.calls == engine_module.POLICY_ATTEMPTS


def test_any_other_refusal_is_an_error_at_once(engine_with):
    engine, sdk = engine_with(1, "no such container")
    with pytest.raises(ServiceError, match="no such container"):
        engine.set_policy("x", "no")
    assert sdk.calls == 1
