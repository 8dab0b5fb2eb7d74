# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queues survive a crash and are never evicted, applications have no say over the server, and a bad setting is found before it matters."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys

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


# As redis-check-rdb of Redis 7.0 answers, which knows versions up to 10.
CHECK_RDB = r"""#!/bin/sh
echo "[offset 0] Checking RDB file $1"
[ "$(tail -c 9 "$1" | od -An -tx1)" = " ff 00 00 00 00 00 00 00 00" ] || { echo "not the end of a file"; exit 3; }
[ "$(wc -c < "$1")" = 18 ] || { echo "not a file without entries"; exit 3; }
version=$(head -c 9 "$1" | tail -c 4 | sed 's/^0*//')
[ "$version" -gt 10 ] || { echo "[offset 18] \\o/ RDB looks OK! \\o/"; exit "${SAYS:-0}"; }
echo "[offset 9] Can't handle RDB format version $version"; exit 1
"""


@pytest.fixture
def check_data(role, service, tmp_path):
    """check_data() runs the init command that compares the data with the server of the image."""
    (shot,) = (shot for shot in service["init_commands"] if shot["name"] == "data")
    program, data = tmp_path / "bin" / "redis-check-rdb", tmp_path / "data"
    program.parent.mkdir()
    program.write_text(CHECK_RDB)
    program.chmod(0o755)
    (data / "appendonlydir").mkdir(parents=True)
    *shell, lookup = shot["command"]

    def check(**environment):
        script = role("redis").evaluate(lookup).replace("/data/", f"{data}/").replace("/tmp/version", f"{tmp_path}/version")
        given = {name: role("redis").evaluate(value) if "{{" in value else value for name, value in shot["env"].items()}
        environment = {"PATH": f"{program.parent}:/usr/bin:/bin", **given, **environment}
        return subprocess.run([*shell, script], env=environment, capture_output=True, text=True, check=False)

    check.folder = data / "appendonlydir"
    return check


@pytest.mark.parametrize("start", [None, b"", b"REDIS", b"REDIS0010 and more", b"REDIS0007", b"*2\r\n$6\r\nSELECT"])
def test_data_that_the_server_reads_or_that_are_no_rdb_pass(check_data, start):
    """A folder without data, a file that is being written, older data, and a log without an RDB at its beginning."""
    if start is not None:
        (check_data.folder / "appendonly.aof.1.base.rdb").write_bytes(start)
    done = check_data()
    assert (done.returncode, done.stderr) == (0, "")


def test_data_of_a_newer_redis_are_refused_while_the_old_server_still_runs(check_data):
    (check_data.folder / "appendonly.aof.1.base.rdb").write_bytes(b"REDIS0010")
    (check_data.folder / "appendonly.aof.2.base.rdb").write_bytes(b"REDIS0012\xfa\tredis-ver\x058.0.2")
    done = check_data()
    assert done.returncode == 1
    assert done.stderr == (
        "redis_image is redis:8, which is older than the Redis that wrote the data in /srv/litefarm/redis and cannot read them: "
        "set redis_image to a version that is at least as new in the inventory.\n"
    )


def test_whatever_else_the_check_says_is_no_refusal(check_data):
    (check_data.folder / "appendonly.aof.1.base.rdb").write_bytes(b"REDIS0010")
    assert check_data(SAYS="1").returncode == 0


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


# As redis-check-aof of Redis 7 and 8 answers for a file of commands.
CHECK_AOF = r"""#!%s
import re, sys
text = open(sys.argv[1], "rb").read()
at = good = 0
multi = False
print("Start checking Old-Style AOF")
if not text:
    sys.exit(print("AOF %%s is empty" %% sys.argv[1]))
while at < len(text):
    head = re.compile(rb"#[^\r\n]*\r\n|\*(\d+)\r\n").match(text, at)
    if not head:
        break
    end, words = head.end(), []
    for _number in range(int(head[1] or 0)):
        size = re.compile(rb"\$(\d+)\r\n").match(text, end)
        end = size.end() + int(size[1]) + 2 if size else 0
        if not size or text[end - 2 : end] != b"\r\n":
            break
        words.append(text[size.end() : end - 2])
    if len(words) < int(head[1] or 0) or words == [b"EXEC"] and not multi:
        break
    multi = (multi or words == [b"MULTI"]) and words != [b"EXEC"]
    at = end
    good = good if multi else at
print("AOF analyzed: filename=%%s, size=%%d, ok_up_to=%%d, ok_up_to_line=7, diff=%%d" %% (sys.argv[1], len(text), good, len(text) - good))
sys.exit(good != len(text))
""" % sys.executable


def entry(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


GOOD = entry(b"SELECT", b"0") + entry(b"SET", b"bull:a", b"1\r\n\0*1\r\n") + entry(b"MULTI") + entry(b"SET", b"bull:b", b"2") + entry(b"EXEC")
LAST = entry(b"SET", b"bull:c", b"3" * 100)
OPEN = entry(b"MULTI") + entry(b"SET", b"bull:d", b"4")


# The real program where this machine has it.
@pytest.fixture(params=["stand-in", *["redis-check-aof"] * bool(shutil.which("redis-check-aof"))])
def start(request, render, tmp_path):
    """start(log) starts the server with a log in the folder of its data, and returns how that ended."""
    programs, data = tmp_path / "bin", tmp_path / "data"
    programs.mkdir()
    (data / "appendonlydir").mkdir(parents=True)
    if request.param == "stand-in":
        (programs / "redis-check-aof").write_text(CHECK_AOF)
    else:
        (programs / "redis-check-aof").symlink_to(shutil.which("redis-check-aof"))
    server = '#!/bin/sh\necho "the server was started with: $*"\n[ "$(umask)${LC_ALL:-}" = 0022 ] || echo "in another environment"\n'
    (programs / "redis-server").write_text(server)
    for program in programs.iterdir():
        if not program.is_symlink():
            program.chmod(0o755)
    script = tmp_path / "start.sh"
    script.write_text(render("redis", "start.sh.j2", redis__config="/etc/litefarm").replace("data=/data\n", f"data={data}\n"))

    def run(log, manifest="file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"):
        if manifest is not None:
            (data / "appendonlydir" / "appendonly.aof.manifest").write_text(manifest)
        if log is not None:
            run.log.write_bytes(log)
        options = {"capture_output": True, "text": True, "timeout": 30, "check": False, "umask": 0o022}
        return subprocess.run(["sh", str(script)], env={"PATH": f"{programs}:/usr/bin:/bin"}, **options)

    run.data, run.log, run.programs = data, data / "appendonlydir" / "appendonly.aof.1.incr.aof", programs
    run.copies = lambda: sorted(path for path in (data / "damaged").glob("*"))
    return run


STARTED = "the server was started with: /etc/litefarm/redis.conf\n"


@pytest.mark.parametrize("log", [None, b"", GOOD, GOOD + LAST, b"#TS:1700000000\r\n" + GOOD])
def test_a_good_log_is_left_as_it_is(start, log):
    done = start(log)
    assert (done.returncode, done.stdout, done.stderr) == (0, STARTED, "")
    assert start.copies() == []
    assert start.log.exists() == (log is not None)
    assert log is None or start.log.read_bytes() == log


def test_a_server_without_data_starts(start):
    done = start(None, manifest=None)
    assert (done.returncode, done.stdout, done.stderr) == (0, STARTED, "")


TAILS = {
    "zeroes": b"\0" * 4096,
    "other garbage": bytes(range(200, 256)) * 20,
    "half an entry": LAST[:60],
    "half an entry and zeroes": LAST[:60] + b"\0" * 4096,
    "half a length and zeroes": b"*3\r\n$3" + b"\0" * 4096,
    "half a transaction": OPEN,
    "half a transaction and zeroes": OPEN + b"\0" * 4096,
    "half an entry of a transaction and zeroes": OPEN + LAST[:60] + b"\0" * 4096,
    "the start of a transaction": entry(b"MULTI"),
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
@pytest.mark.parametrize("good", [b"", GOOD, GOOD + LAST], ids=["nothing", "entries", "more entries"])
def test_a_damaged_end_is_cut_and_no_complete_entry(start, good, tail):
    done = start(good + tail)
    assert (done.returncode, done.stdout) == (0, STARTED), done.stderr
    assert start.log.read_bytes() == good
    (copy,) = start.copies()
    assert copy.read_bytes() == good + tail
    assert re.fullmatch(rf"\d{{8}}T\d{{6}}Z-{len(tail)}-bytes\.aof", copy.name)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert done.stderr == (
        f"The last {len(tail)} of {len(good + tail)} bytes of /srv/litefarm/redis/appendonlydir/{start.log.name} were damaged and have been cut. "
        f"The damaged file is kept as /srv/litefarm/redis/damaged/{copy.name}.\n"
    )
    # The next start finds nothing to do.
    assert start(None).stderr == ""
    assert start.copies() == [copy]


MIDDLES = {
    "zeroes between entries": b"\0" * 4096,
    "half an entry and zeroes": LAST[:60] + b"\0" * 4096 + b"3333\r\n",
    "a wrong length": LAST.replace(b"$100", b"$999"),
    "zeroes in a transaction": OPEN + b"\0" * 4096 + entry(b"SET", b"bull:e", b"5") + entry(b"EXEC"),
}


@pytest.mark.parametrize("middle", MIDDLES.values(), ids=MIDDLES)
def test_damage_with_entries_behind_it_is_not_cut_before_a_person_allows_it(start, middle):
    log = GOOD + middle + LAST
    done = start(log)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"/srv/litefarm/redis/appendonlydir/{start.log.name} is damaged at byte \d+ of {len(log)} and has entries behind the damage, so Redis does "
        rf"not start\. Restore the last copy of its data \(docs/operations\.md\), or run: touch /srv/litefarm/redis/allow-cut to give up everything "
        rf"behind byte {len(GOOD)}; a copy of the file is kept\.\n",
        done.stderr,
    )
    assert start.log.read_bytes() == log
    assert start.copies() == []
    (start.data / "allow-cut").touch()
    done = start(None)
    assert (done.returncode, done.stdout) == (0, STARTED), done.stderr
    assert start.log.read_bytes() == GOOD
    assert [copy.read_bytes() for copy in start.copies()] == [log]
    # For one cut only.
    assert not (start.data / "allow-cut").exists()
    assert start(log).returncode == 1


def test_three_copies_are_kept_and_what_a_killed_start_left_is_removed(start):
    (start.data / "damaged").mkdir()
    (start.data / "damaged" / "notes").touch()
    for number in range(5):
        tail = b"\0" * (number + 1)
        assert start(GOOD + tail).returncode == 0
        # Names have seconds.
        for copy in start.copies():
            if copy.name.endswith(f"Z-{len(tail)}-bytes.aof"):
                copy.rename(copy.with_name(f"2026112{number}T101010Z-{len(tail)}-bytes.aof"))
        (start.data / "damaged" / ".killed.part").touch()
    kept = [f"2026112{number}T101010Z-{number + 1}-bytes.aof" for number in (2, 3, 4)]
    assert [copy.name for copy in start.copies() if copy.name[0] != "."] == [*kept, "notes"]
    start(GOOD + b"\0")
    assert not (start.data / "damaged" / ".killed.part").exists()


def test_without_a_copy_nothing_is_cut(start):
    (start.programs / "cp").write_text('#!/bin/sh\necho "cp: No space left on device" >&2\nexit 1\n')
    (start.programs / "cp").chmod(0o755)
    done = start(GOOD + b"\0" * 100)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be copied to /srv/litefarm/redis/damaged, so it is not repaired: make room on the disk" in done.stderr
    assert start.log.read_bytes() == GOOD + b"\0" * 100


@pytest.mark.parametrize(
    "manifest",
    [
        "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\nfile appendonly.aof.2.incr.aof seq 2 type i\n",
        "file appendonly.aof.1.incr.aof seq 1 type h\nfile appendonly.aof.2.incr.aof seq 2 type i startoffset 0\n",
    ],
)
def test_only_the_last_log_is_repaired(start, manifest):
    # What a server left that was killed while it wrote the next one.
    (start.log.parent / "temp-appendonly.aof.manifest").write_text(manifest + "file appendonly.aof.3.incr.aof seq 3 type i\n")
    start.log.with_name("appendonly.aof.3.incr.aof").write_bytes(GOOD + b"\0" * 10)
    other = start.log.with_name("appendonly.aof.2.incr.aof")
    other.write_bytes(GOOD + b"\0" * 10)
    assert start(GOOD + b"\0" * 10, manifest).returncode == 0
    assert start.log.read_bytes() == GOOD + b"\0" * 10
    assert other.read_bytes() == GOOD


def test_the_container_repairs_at_each_start(service):
    script = "{{ redis__config }}/start.sh"
    assert service["command"] == ["sh", script]
    assert script in [file["path"] for file in service["config_files"]]
