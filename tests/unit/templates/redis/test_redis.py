# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queues survive a crash and are never evicted, applications have no say over the server, and a bad setting is found before it matters."""

from __future__ import annotations

import hashlib
import re
import subprocess

import pytest
import yaml

FACTS = {"memtotal_mb": 1967}
SECRETS = {"redis_password": "app-geheim", "redis_admin_password": "admin-geheim"}


def sha256(password):
    return "#" + hashlib.sha256(password.encode()).hexdigest()


@pytest.fixture
def settings(render):
    def read(**overrides):
        text = render("redis", "redis.conf.j2", **{"ansible_facts": FACTS, **overrides})
        return [tuple(line.split(" ", 1)) for line in text.splitlines() if line and not line.startswith("#")]

    return read


@pytest.fixture
def users(render):
    def read(**overrides):
        text = render("redis", "users.acl.j2", ansible_facts=FACTS, **{**SECRETS, **overrides})
        return {name: rules for _user, name, *rules in (line.split() for line in text.splitlines())}

    return read


@pytest.fixture
def service(repo):
    (task,) = yaml.safe_load((repo / "roles" / "redis" / "tasks" / "main.yml").read_text())
    return task["litefarm.platform.container_service"]


@pytest.mark.parametrize(("memtotal", "memory", "data"), [(967, 192, 115), (1967, 192, 115), (3915, 384, 230), (16000, 1600, 960)])
def test_memory_leaves_room_beside_the_data(evaluate, settings, memtotal, memory, data):
    facts = {"memtotal_mb": memtotal}
    assert evaluate("redis", "redis_memory_mb", ansible_facts=facts) == memory
    assert ("maxmemory", f"{data}mb") in settings(ansible_facts=facts)


def test_jobs_are_on_disk_and_never_thrown_away(settings):
    found = dict(settings())
    assert found["appendonly"] == found["aof-load-truncated"] == "yes"
    assert found["appendfsync"] == "everysec"
    assert found["maxmemory-policy"] == "noeviction"
    assert found["save"] == '""'
    assert found["timeout"] == "0"


def test_the_server_asks_for_passwords_and_keeps_what_is_in_jobs_to_itself(settings):
    found = dict(settings())
    assert found["protected-mode"] == "yes"
    assert found["aclfile"] == "/etc/litefarm/users.acl"
    assert found["slowlog-log-slower-than"] == "-1"


def test_own_settings_win_and_a_list_makes_several_lines(settings):
    limits = ["pubsub 32mb 8mb 60", "normal 0 0 0"]
    found = settings(redis_settings={"tcp-keepalive": 30, "lazyfree-lazy-expire": True, "client-output-buffer-limit": limits})
    assert [value for name, value in found if name == "tcp-keepalive"] == ["30"]
    assert [value for name, value in found if name == "client-output-buffer-limit"] == limits
    assert ("lazyfree-lazy-expire", "yes") in found


def test_no_password_is_readable_where_the_server_keeps_them(render):
    text = render("redis", "users.acl.j2", ansible_facts=FACTS, redis_previous_password="old-geheim", **SECRETS)
    assert "geheim" not in text
    assert "nopass" not in text


def test_during_a_rotation_two_passwords_are_good(users):
    assert [rule for rule in users()["default"] if rule.startswith("#")] == [sha256("app-geheim")]
    both = users(redis_previous_password="old-geheim")["default"]
    assert [rule for rule in both if rule.startswith("#")] == [sha256("app-geheim"), sha256("old-geheim")]
    assert [rule for rule in users(redis_previous_password="app-geheim")["default"] if rule.startswith("#")] == [sha256("app-geheim")]


def test_applications_have_queues_and_no_say_over_the_server(users):
    rules = users()["default"]
    assert [rule for rule in rules if rule.startswith("~")] == ["~bull:*"]
    # Rules apply in order: what is taken away has to come after what holds it.
    assert rules.index("-@all") < rules.index("+@read") < rules.index("-@dangerous")
    assert rules.index("+@write") < rules.index("-@scripting")
    assert rules.index("+@connection") < rules.index("-@admin")
    later = rules[max(rules.index(rule) for rule in ("-@dangerous", "-@admin", "-@scripting")) + 1 :]
    assert set(later) == {"+eval", "+evalsha", "+script|load", "+script|exists", "+info"}


def test_the_admin_may_do_everything_with_a_password_of_its_own(users):
    assert users()["admin"] == ["on", "sanitize-payload", sha256("admin-geheim"), "~*", "&*", "+@all"]


def test_secrets_are_secret_files(service):
    secret = {file["path"].rpartition("/")[2]: file["content"] for file in service["secret_files"]}
    assert set(secret) == {"users.acl", "admin.password"}
    assert not [file for file in service["config_files"] if "password" in file["content"]]
    assert "secret_env" not in service
    assert service["update"] == "recreate"


REDIS_CLI = """#!/bin/sh
# Says what the server would say, to a stranger and to whoever knows the password.
if [ -z "${REDISCLI_AUTH:-}" ]; then echo "$STRANGER"; exit 1; fi
[ "$REDISCLI_AUTH" = admin-geheim ] || { echo "WRONGPASS"; exit 1; }
case " $* " in *geheim*) echo "a password is among the arguments"; exit 1 ;; esac
[ "$1 $2" = "--user admin" ] || { echo "not as admin: $*"; exit 1; }
if [ -n "${SERVER_FILE:-}" ] && [ ! -e "$SERVER_FILE" ]; then echo "Could not connect to Redis"; exit 1; fi
echo "$ADMIN"
[ "$ADMIN" = PONG ]
"""
REDIS_SERVER = """#!/bin/sh
echo "the server was started with: $*"
[ "${SETTINGS:-good}" = good ] || { echo "*** FATAL CONFIG FILE ERROR ***"; exit 1; }
trap 'echo "the server was stopped"; exit 0' TERM
sleep 0.3; : > "$SERVER_FILE"
while :; do sleep 0.05; done
"""


@pytest.fixture
def run(render, tmp_path):
    """run("probe.sh", ...): a script of the role beside a stand-in of the server and its client."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("redis-cli", REDIS_CLI), ("redis-server", REDIS_SERVER)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (tmp_path / "admin.password").write_text("admin-geheim\n")
    for template in ("redis-cli.sh.j2", "probe.sh.j2", "settings.sh.j2"):
        script = tmp_path / {"redis-cli.sh.j2": "redis-cli"}.get(template, template.removesuffix(".j2"))
        script.write_text(render("redis", template, ansible_facts=FACTS, redis__config=str(tmp_path), **SECRETS))

    def execute(script, *arguments, **environment):
        environment = {"PATH": f"{programs}:/usr/bin:/bin", "STRANGER": "NOAUTH Authentication required.", "ADMIN": "PONG", **environment}
        command = ["sh", str(tmp_path / script), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)

    execute.folder = tmp_path
    return execute


def test_a_server_that_knows_its_friends_is_healthy(run):
    done = run("probe.sh")
    assert (done.returncode, done.stdout) == (0, "answers with the password, refuses without\n")


def test_a_server_that_lets_strangers_in_is_not(run):
    done = run("probe.sh", STRANGER="PONG")
    assert done.returncode == 1
    assert "without a password, PING is not refused" in done.stdout


@pytest.mark.parametrize("answer", ["LOADING Redis is loading the dataset in memory", "MISCONF Errors writing to the AOF file"])
def test_a_server_that_cannot_work_is_not_healthy_and_says_why(run, answer):
    done = run("probe.sh", ADMIN=answer)
    assert (done.returncode, done.stdout) == (1, answer + "\n")


def test_settings_that_the_server_takes_pass_and_nothing_is_left_running(run):
    done = run("settings.sh", SERVER_FILE=str(run.folder / "up"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"started with: \S+/redis.conf --dir /tmp\n", done.stdout)
    assert done.stdout.endswith("the server was stopped\n")


def test_settings_that_the_server_refuses_are_refused_with_its_words(run):
    done = run("settings.sh", SERVER_FILE=str(run.folder / "up"), SETTINGS="bad")
    assert done.returncode == 1
    assert "FATAL CONFIG FILE ERROR" in done.stdout
    assert "the server refuses its settings" in done.stderr


def test_a_user_file_that_lets_strangers_in_is_refused_too(run):
    done = run("settings.sh", SERVER_FILE=str(run.folder / "up"), STRANGER="PONG")
    assert done.returncode == 1
    assert "not refused" in done.stderr
