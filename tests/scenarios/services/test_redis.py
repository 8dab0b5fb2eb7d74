# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis: who may do what, and what outlives a crash."""

from __future__ import annotations

import time

import pytest

from tests.support import lab
from tests.support.night import sample

FOLDER = "/srv/litefarm/redis"
# What a power cut leaves.
ZEROES, HALF = "head -c 4096 /dev/zero", "printf '*3\\r\\n$3\\r\\nSET\\r\\n$11\\r\\nbull:te'"

pytestmark = pytest.mark.group("redis")


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


@pytest.mark.nightly("litefarm-imaginary")
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


def wait_for(redis):
    deadline = time.monotonic() + 90
    while redis("default", "ping") != "PONG":
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture
def cut(droplet, redis):
    """cut("COMMAND; COMMAND") ends Redis as a power cut does: what the commands print is behind the last entry of its log at the next boot."""

    def deed(tail):
        # What everysec promises.
        time.sleep(1.5)
        # The engine starts again while the container is down, as at a boot.
        droplet.check_output(
            "pid=$(docker inspect -f '{{.State.Pid}}' redis) && systemctl stop docker.socket docker.service && kill -9 $pid && "
            f"log=$(ls -t {FOLDER}/appendonlydir/*.incr.aof | head -n 1) && ({tail}) >> $log; code=$?; systemctl start docker.service; exit $code"
        )

    yield deed
    droplet.run(f"touch {FOLDER}/allow-cut")
    wait_for(redis)
    droplet.check_output(f"rm -rf {FOLDER}/damaged {FOLDER}/allow-cut")
    redis("admin", "del bull:test:1 bull:test:2 bull:test:3")
    # A restart by hand sets the count of crashes back, which verify.yml looks at.
    droplet.check_output("docker restart redis")
    wait_for(redis)
    # Redis has ended again and again while it connected: its watch would restart it, but only when a job has waited for minutes.
    droplet.check_output("docker restart export_scheduler")


# By day beta's droplet stands for both: the role is the same.
@pytest.mark.nightly("litefarm-imaginary")
@pytest.mark.parametrize("tail", sample([f"{HALF}; {ZEROES}", ZEROES]))
def test_a_power_cut_costs_no_complete_entry_and_no_hand(droplet, redis, cut, tail):
    for number in (1, 2, 3):
        assert redis("default", f"set bull:test:{number} {number}") == "OK"
    cut(tail)
    wait_for(redis)
    assert redis("default", "mget bull:test:1 bull:test:2 bull:test:3").split() == ["1", "2", "3"]
    assert "bytes of /srv/litefarm/redis/appendonlydir/" in droplet.run("docker logs --tail 200 redis").stderr
    assert len(droplet.check_output(f"ls {FOLDER}/damaged").split()) == 1
    # What is written after the repair is read by the next start.
    assert redis("default", "set bull:test:1 again") == "OK"
    droplet.check_output("docker restart redis")
    wait_for(redis)
    assert redis("default", "get bull:test:1") == "again"


@pytest.mark.nightly("litefarm-imaginary")
def test_entries_behind_the_damage_are_given_up_only_when_a_person_allows_it(droplet, redis, cut):
    assert redis("default", "set bull:test:1 1") == "OK"
    cut(f"{ZEROES}; printf '*3\\r\\n$3\\r\\nSET\\r\\n$11\\r\\nbull:test:2\\r\\n$1\\r\\n2\\r\\n'")
    deadline = time.monotonic() + 30
    while "has entries behind the damage, so Redis does not start" not in droplet.run("docker logs --tail 20 redis").stderr:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert redis("default", "ping") != "PONG"
    assert droplet.run(f"ls {FOLDER}/damaged/*").rc != 0
    droplet.check_output(f"touch {FOLDER}/allow-cut")
    wait_for(redis)
    assert redis("default", "get bull:test:1") == "1"
    assert redis("default", "exists bull:test:2") == "0"
    assert len(droplet.check_output(f"ls {FOLDER}/damaged").split()) == 1
    assert not droplet.file(f"{FOLDER}/allow-cut").exists
