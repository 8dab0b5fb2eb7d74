# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis: who may do what, and what outlives a crash."""

from __future__ import annotations

import time

import pytest

from tests.support import lab


@pytest.fixture
def redis(droplet):
    """Runs a Redis command on the droplet as a user: default, admin, or nobody."""
    secrets = lab.vault(lab.environment_of(droplet.name))
    passwords = {"default": secrets["vault_redis_password"], "admin": secrets["vault_redis_admin_password"], "nobody": ""}

    def run(user, command):
        login = f"REDISCLI_AUTH={passwords[user]} " if passwords[user] else ""
        name = f"--user {user} " if passwords[user] else ""
        return droplet.run(f"docker exec redis sh -c '{login}redis-cli --no-auth-warning {name}{command}'").stdout.strip()

    return run


def test_without_a_password_nothing_is_answered(redis):
    assert "NOAUTH" in redis("nobody", "ping")
    assert redis("default", "ping") == "PONG"


@pytest.mark.parametrize("command", ["config get dir", "flushall", "keys \\*", "acl list", "replicaof no one", "shutdown", "set other:key 1", "client kill id 1"])
def test_the_application_may_do_nothing_that_queues_do_not_need(redis, command):
    assert "NOPERM" in redis("default", command)


def test_an_operator_may_do_everything_and_nothing_is_ever_evicted(redis):
    assert redis("admin", "config get maxmemory-policy").splitlines() == ["maxmemory-policy", "noeviction"]
    assert redis("admin", "config get appendonly").splitlines() == ["appendonly", "yes"]
    assert int(redis("admin", "config get maxmemory").splitlines()[1]) > 0


def test_what_was_written_outlives_a_crash(droplet, redis):
    assert redis("default", "set bull:test:crash survives") == "OK"
    # What everysec promises.
    time.sleep(1.5)
    droplet.check_output("kill -9 $(docker inspect -f '{{.State.Pid}}' redis)")
    deadline = time.monotonic() + 60
    while redis("default", "ping") != "PONG":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert redis("default", "get bull:test:crash") == "survives"
    assert redis("default", "del bull:test:crash") == "1"
    # A restart by hand sets the count of crashes back, which verify.yml looks at.
    droplet.check_output("docker restart redis")
