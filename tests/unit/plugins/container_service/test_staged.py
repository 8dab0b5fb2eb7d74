# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several services of a droplet, carried through the phases by what the droplet keeps of their declarations."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._container_service import model, staged

from . import fakes


class Two:
    """Two droplets in memory, which stand for two services of one: each has containers and an upstream file of its own."""

    def __init__(self):
        self.droplets = {"api": fakes.Droplet(True), "web": fakes.Droplet(True)}
        for droplet in self.droplets.values():
            fakes.run(droplet, "rolling", "old:1", reconcile=[])
            self.spec = fakes.run(droplet, "rolling", "new:1", reconcile=[], operation="stage").spec
        self.order = []

    def release(self, name, operation):
        droplet = self.droplets[name]
        host = fakes.Host(droplet)
        service = staged.declared("web", self.spec, host.declaration(self.spec), operation)

        def reached(step):
            self.order.append((name, step))

        return staged.StagedRelease(self.spec, service, fakes.Engine(droplet), host, fakes.Prober(droplet), droplet.clock, reached)

    def carry(self, operation):
        return staged.carry(operation, [self.release(name, operation) for name in ("api", "web")])

    def serving(self):
        return [droplet.serving() for droplet in self.droplets.values()]


def test_all_phases():
    two = Two()
    for operation in ("switch", "settle", "commit"):
        assert two.carry(operation) == []
    assert two.serving() == ["new:1", "new:1"]
    assert [droplet.running() for droplet in two.droplets.values()] == [["web"], ["web"]]
    for operation in ("switch", "settle", "commit"):
        assert two.carry(operation) == []


def test_services_are_switched_in_order_and_not_after_an_error():
    two = Two()
    two.droplets["api"].refuses.add("validate")
    ((release, error),) = two.carry("switch")
    assert "validate says no" in error.message and release.name == "web"
    assert two.serving() == ["old:1", "old:1"]
    assert {name for name, _step in two.order} == {"api"}


def test_a_bad_one_is_taken_back_and_the_other_waits_for_its_revert():
    two = Two()
    assert two.carry("switch") == []
    two.droplets["web"].unwell.add("new:1")
    ((_release, error),) = two.carry("settle")
    assert "stopped answering" in error.message
    assert two.serving() == ["new:1", "old:1"]
    two.order.clear()
    assert two.carry("revert") == []
    assert two.serving() == ["old:1", "old:1"]


def test_committed_ones_are_reverted_to_the_retained_release():
    two = Two()
    for operation in ("switch", "settle", "commit", "revert"):
        assert two.carry(operation) == []
    assert two.serving() == ["old:1", "old:1"]


def test_a_release_without_a_declaration_is_explained():
    with pytest.raises(model.ServiceError, match="stage it with its role"):
        staged.declared("api", "abc", None, "switch")


def test_what_is_left_to_reconcile_is_not_forgotten():
    kept = model.Service(fakes.parameters("rolling", "a:1")).declaration()
    with pytest.raises(model.ServiceError, match="commit it with container_service"):
        staged.declared("web", "abc", kept, "commit")


def test_nothing_secret_is_kept_and_the_rest_is():
    secrets = {"secret_env": {"PASSWORD": "correct-horse"}, "secret_files": [{"path": "/k", "content": "battery", "mode": "0400"}], "reconcile": []}
    service = model.Service(fakes.parameters("rolling", "a:1", env={"A": "b"}, **secrets))
    kept = service.declaration()
    assert not {"secret_env", "secret_files", "env", "reconcile"} & set(kept)
    assert "correct-horse" not in str(kept) and "battery" not in str(kept)
    assert staged.declared("web", "abc", kept, "switch").params["probe_interval"] == 1
