# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found on a droplet or heard there, against what is expected."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification import inside


def only(rows):
    assert len(rows) == 1
    return rows[0]


def container(**changes):
    return dict({"name": "api-1", "service": "api", "status": "running", "restarts": 0, "running_seconds": 7200}, **changes)


@pytest.mark.parametrize(
    ("containers", "result"),
    [
        ([container()], "ok"),
        ([container(), container(name="api-0", status="exited")], "ok"),
        ([container(restarts=3)], "ok"),
        ([container(restarts=3, running_seconds=10)], "FAIL"),
        ([container(status="restarting")], "FAIL"),
        ([container(), container(name="api-0")], "FAIL"),
        ([], "FAIL"),
    ],
)
def test_containers(containers, result):
    row = only(inside.check_containers({"check": "container", "service": "api"}, {"containers": containers}, "one"))
    assert row["result"] == result


@pytest.mark.parametrize(
    ("changes", "seen", "result"),
    [
        # A restart every ten minutes, and one in the hour.
        (
            {"restarts": 40, "restarts_last_hour": 6, "running_seconds": 500},
            "1 running for 8 min, 40 restarts, 6 in the last hour: docker logs --since 1h api-1 says why",
            "FAIL",
        ),
        (
            {"restarts": 9, "restarts_last_hour": 3, "out_of_memory": 3, "running_seconds": 1000},
            "1 running for 16 min, 9 restarts, 3 in the last hour: memory ran out 3 times, raise api_memory_mb",
            "FAIL",
        ),
        (
            {"restarts": 3, "restarts_last_hour": 1, "out_of_memory": 1, "running_seconds": 1000},
            "1 running for 16 min, 3 restarts, 1 in the last hour: memory ran out once, raise api_memory_mb",
            "WARN",
        ),
        ({"restarts": 3, "restarts_last_hour": 0, "running_seconds": 4000}, "1 running for 66 min, 3 restarts", "ok"),
        # Nothing in the journal.
        (
            {"restarts": 3, "restarts_last_hour": None, "running_seconds": 1000},
            "1 running for 16 min, 3 restarts, the last one within the hour: docker logs --since 1h api-1 says why",
            "FAIL",
        ),
        ({"restarts": 3, "restarts_last_hour": None, "running_seconds": 4000}, "1 running for 66 min, 3 restarts", "ok"),
    ],
)
def test_a_crash_loop_is_seen_between_two_crashes(changes, seen, result):
    row = only(inside.check_containers({"check": "container", "service": "api"}, {"containers": [container(**changes)]}, "one"))
    assert (row["seen"], row["result"]) == (seen, result)


def test_the_memory_limit_is_named_by_its_variable():
    check = {"check": "container", "service": "api", "memory": "other_memory_mb"}
    ill = container(restarts=2, restarts_last_hour=2, out_of_memory=2)
    assert only(inside.check_containers(check, {"containers": [ill]}, "one"))["seen"].endswith("raise other_memory_mb")


def test_no_engine():
    row = only(inside.check_containers({"check": "container", "service": "api"}, {"containers": [], "engine_error": "no engine is installed"}, "one"))
    assert (row["seen"], row["result"]) == ("no engine is installed", "FAIL")


BACKUP = {"check": "backup", "path": "/backups", "hours": 30}


@pytest.mark.parametrize(
    ("found", "changes", "result"),
    [
        ({"newest": "a", "age_seconds": 3600, "bytes": 10}, {}, "ok"),
        ({"newest": "a", "age_seconds": 200000, "bytes": 10}, {}, "FAIL"),
        ({"newest": "a", "age_seconds": 3600, "bytes": 0}, {}, "FAIL"),
        ({"newest": None}, {}, "FAIL"),
        ({"newest": None}, {"none_is_ok": True}, "ok"),
    ],
)
def test_backups(found, changes, result):
    assert only(inside.check_backups(dict(BACKUP, **changes), {"backups": {"/backups": found}}, "one"))["result"] == result


@pytest.mark.parametrize(
    ("last", "seen"),
    [
        ({"result": "failed", "age": 7200, "message": "no space left on device"}, "newest 60 min old; the last one failed 2 h ago: no space left on device"),
        ({"result": "failed"}, "newest 60 min old; the last one failed: journalctl -u litefarm-backup-postgres says why"),
        ({"result": "ok", "age": 3600}, "60 min old, 10 bytes"),
        (None, "60 min old, 10 bytes"),
    ],
)
def test_a_backup_that_failed_is_told_before_the_last_good_one_is_old(last, seen):
    found = {"newest": "a", "age_seconds": 3600, "bytes": 10, "last": last}
    row = only(inside.check_backups(BACKUP, {"backups": {"/backups": found}}, "one"))
    assert (row["seen"], row["result"]) == (seen, "FAIL" if "failed" in seen else "ok")
    without = only(inside.check_backups(dict(BACKUP, none_is_ok=True), {"backups": {"/backups": {"newest": None, "last": last}}}, "one"))
    assert without["result"] == row["result"]


DATABASE = {"check": "database", "database": "litefarm", "owner": "litefarm"}
ANSWER = {"owner": "litefarm", "owner_powers": [], "tls_connections": 2, "plain_connections": 0}


@pytest.mark.parametrize(
    ("changes", "results"),
    [
        ({}, ["ok", "ok", "ok"]),
        ({"owner": "postgres"}, ["FAIL", "ok", "ok"]),
        ({"plain_connections": 1}, ["ok", "FAIL", "ok"]),
        ({"owner_powers": ["superuser"]}, ["ok", "ok", "FAIL"]),
        ({"error": "its container does not run"}, ["FAIL"]),
    ],
)
def test_databases(changes, results):
    rows = inside.check_database(DATABASE, {"databases": {"litefarm": dict(ANSWER, **changes)}}, "one")
    assert [row["result"] for row in rows] == results


REPAIRED = {"check": "repaired log", "kind": "repaired_log", "path": "/srv/litefarm/redis/damaged"}


def test_a_repaired_log_is_told_until_a_person_removes_the_copy():
    assert inside.arguments_of([REPAIRED])["repaired_logs"] == ["/srv/litefarm/redis/damaged"]
    assert only(inside.check_repaired_log(REPAIRED, {"repaired_logs": {REPAIRED["path"]: []}}, "one"))["result"] == "ok"
    copy = "/srv/litefarm/redis/damaged/20261127T173102Z-4096-bytes.aof"
    row = only(inside.check_repaired_log(REPAIRED, {"repaired_logs": {REPAIRED["path"]: [{"path": copy, "bytes": 4096, "age": 7200}]}}, "one"))
    assert (row["result"], row["where"]) == ("WARN", "one redis")
    assert row["seen"] == "4096 damaged bytes were cut from the end of its log 2 h ago (copy: %s); remove the copy when nobody needs it" % copy


IMAGE = {"check": "third-party image", "kind": "third_party_image", "service": "redis"}
OF_TAG = {"image": "redis:8", "age": 40 * 86400, "newer": False, "problem": ""}


@pytest.mark.parametrize(
    ("found", "seen", "result"),
    [
        (OF_TAG, "redis:8, 40 d old", "ok"),
        ({**OF_TAG, "newer": True}, "redis:8, 40 d old; the registry has a newer one: site.yml -e litefarm_pull_images=true takes it", "WARN"),
        ({**OF_TAG, "newer": None, "problem": "The registry does not answer"}, "redis:8, 40 d old; The registry does not answer", "WARN"),
        ({"image": "redis@sha256:1", "age": None, "newer": None, "problem": "fixed"}, "redis@sha256:1, age unknown; fixed", "ok"),
        (None, "not known: no such container runs", "WARN"),
    ],
)
def test_an_image_of_others(found, seen, result):
    assert inside.arguments_of([IMAGE])["third_party"] == ["redis"]
    row = only(inside.check_third_party_image(IMAGE, {"third_party": {"redis": found}}, "one"))
    assert (row["where"], row["seen"], row["result"]) == ("one redis", seen, result)


UNIT = {"check": "certificate renewal", "kind": "unit", "unit": "certbot.service", "timer": "certbot.timer"}


@pytest.mark.parametrize(
    ("found", "seen", "result"),
    [
        ({"failed": False, "age": 7200}, "ok, 2 h ago", "ok"),
        ({"failed": False, "age": None}, "has not run yet", "ok"),
        ({"failed": True, "age": 7200, "message": "Failed to renew certificate app"}, "failed 2 h ago: Failed to renew certificate app", "FAIL"),
        (
            {"failed": False, "age": 7200, "problem": "certbot.timer is not active, so nothing starts it: run site.yml"},
            "certbot.timer is not active, so nothing starts it: run site.yml",
            "FAIL",
        ),
        (None, "not asked", "FAIL"),
    ],
)
def test_a_unit_whose_last_run_failed(found, seen, result):
    assert inside.arguments_of([UNIT])["units"] == {"certbot.service": "certbot.timer"}
    row = only(inside.check_unit(UNIT, {"units": {"certbot.service": found}}, "one"))
    assert (row["where"], row["seen"], row["result"]) == ("one certbot.service", seen, result)


LIVE = {"check": "live configuration", "kind": "live", "sets": ["base", "firewall"]}
FLUSHED = "litefarm-firewall.service: the kernel lacks 9 declared lines of table inet litefarm (-) and has 0 others (+)"


@pytest.mark.parametrize(
    ("found", "seen", "result"),
    [
        ({"different": [], "unknown": []}, "as declared", "ok"),
        ({"different": [], "unknown": ["base"]}, "unknown of base until site.yml has run", "WARN"),
        ({"different": [FLUSHED + "\n-\t\tgoto refused"], "unknown": ["base"]}, "%s: site.yml loads what is declared" % FLUSHED, "FAIL"),
        (
            {"different": ["docker.service is failed", "/etc/a was changed after ssh.service read it"], "unknown": []},
            "docker.service is failed; /etc/a was changed after ssh.service read it: site.yml loads what is declared",
            "FAIL",
        ),
        ({"different": ["a", "b", "c", "d"], "unknown": []}, "a; b; c, and 1 more: site.yml loads what is declared", "FAIL"),
        (None, "not asked", "FAIL"),
    ],
)
def test_what_runs_is_what_files_declare(found, seen, result):
    assert inside.arguments_of([LIVE])["live"] == ["base", "firewall"]
    row = only(inside.check_live(LIVE, {"live": found}, "one"))
    assert (row["where"], row["seen"], row["result"]) == ("one", seen, result)


DATABASE_CERTIFICATE = {
    "check": "database certificate",
    "kind": "database_certificate",
    "address": "10.0.0.1",
    "port": 5432,
    "host_name": "db.internal",
    "authority": "PEM",
    "cure": "make a new one",
}
DAY = 86400


@pytest.mark.parametrize(
    ("found", "seen", "result"),
    [
        ({"left": 3000 * DAY, "lifetime": 3651 * DAY}, "trusted, 3000 days left", "ok"),
        ({"left": 29 * DAY, "lifetime": 3651 * DAY}, "trusted, 29 days left: make a new one", "FAIL"),
        ({"error": "certificate not trusted: certificate has expired"}, "certificate not trusted: certificate has expired", "FAIL"),
        (None, "not asked", "FAIL"),
    ],
)
def test_the_certificate_of_the_database(found, seen, result):
    asked = inside.arguments_of([DATABASE_CERTIFICATE])["database_certificates"]
    assert asked == {"10.0.0.1:5432": {"name": "db.internal", "authority": "PEM"}}
    row = only(inside.check_database_certificate(DATABASE_CERTIFICATE, {"database_certificates": {"10.0.0.1:5432": found}}, "one"))
    assert (row["seen"], row["result"]) == (seen, result)


MISPLACED = {"check": "misplaced containers", "groups": ["litefarm", "api"]}


@pytest.mark.parametrize(
    ("containers", "seen", "result"),
    [
        ([container()], "none other", "ok"),
        ([container(), container(name="export_scheduler", service="export_scheduler", status="exited")], "none other", "ok"),
        (
            [container(), container(name="export_scheduler", service="export_scheduler")],
            "export_scheduler running, not in the group export_scheduler",
            "FAIL",
        ),
        ([container(name="redis", service="redis", status="restarting")], "redis restarting, not in the group redis", "FAIL"),
    ],
)
def test_a_service_runs_only_where_it_belongs(containers, seen, result):
    row = only(inside.check_misplaced_containers(MISPLACED, {"containers": containers}, "one"))
    assert (row["seen"], row["result"]) == (seen, result)


def test_misplaced_containers_cannot_be_ruled_out_without_an_engine():
    assert only(inside.check_misplaced_containers(MISPLACED, {"containers": [], "engine_error": "the engine does not answer"}, "one"))["result"] == "FAIL"


COMMAND = {"check": "queues", "service": "export_scheduler", "command": ["node", "probe.js", 5], "expected": "the scheduler reaches the API"}


@pytest.mark.parametrize(
    ("answer", "seen", "result"),
    [
        ({"code": 0, "output": "the API at https://api answers\n"}, "the API at https://api answers", "ok"),
        (
            {"code": 1, "output": "first\nthe API at https://api does not answer (ECONNREFUSED)\n\n"},
            "the API at https://api does not answer (ECONNREFUSED)",
            "FAIL",
        ),
        ({"code": 137, "output": ""}, "exit 137", "FAIL"),
        ({"error": "its container does not run"}, "its container does not run", "FAIL"),
        (None, "not asked", "FAIL"),
    ],
)
def test_a_command_in_a_container(answer, seen, result):
    state = {"commands": {inside.arguments_of([dict(COMMAND, kind="exec")])["commands"][0]["key"]: answer}}
    row = only(inside.check_exec(COMMAND, state, "one"))
    assert (row["expected"], row["seen"], row["result"]) == ("the scheduler reaches the API", seen, result)


def test_the_words_of_a_command_are_words():
    assert inside.arguments_of([dict(COMMAND, kind="exec")])["commands"][0]["command"] == ["node", "probe.js", "5"]


GROUPS = {
    "litefarm": ["app", "export"],
    "nginx": ["app", "export"],
    "postgres": ["app"],
    "api": ["app"],
    "redis": ["export"],
    "export_scheduler": ["export"],
}
OPEN = [
    {"port": 22, "of": "litefarm"},
    {"port": 443, "of": "nginx"},
    {"port": 5432, "of": "postgres", "for": ["api"]},
    {"port": 6379, "of": "redis", "for": ["api", "export_scheduler"]},
    {"port": 8088, "of": "imaginary"},
]
ADDRESSES = {"app": ("192.0.2.10", "203.0.113.10"), "export": ("192.0.2.11", "203.0.113.11"), "third": ("192.0.2.12", "203.0.113.12")}


def open_ports(host, groups=None, addresses=None):
    found = inside.neighbours({"open": OPEN}, host, groups or GROUPS, addresses or ADDRESSES)
    return {(each["peer"], each["address"]): each["open"] for each in found}


def test_a_service_for_some_is_open_for_them_and_on_the_private_address_only():
    assert open_ports("app") == {("export", "192.0.2.11"): [22, 443, 6379], ("export", "203.0.113.11"): [22, 443]}
    # The scheduler has no business with the database.
    assert open_ports("export") == {("app", "192.0.2.10"): [22, 443], ("app", "203.0.113.10"): [22, 443]}


def test_neighbours_of_a_droplet_without_services():
    groups = dict(GROUPS, litefarm=["app", "export", "third"])
    assert open_ports("third", groups)[("export", "192.0.2.11")] == [22, 443]
    assert open_ports("app", groups)[("third", "192.0.2.12")] == [22]


def test_addresses_that_say_nothing_on_a_droplet():
    addresses = {"app": ("192.0.2.10", "192.0.2.10"), "export": ("192.0.2.11", "export.ssh.example.org")}
    assert open_ports("app", addresses=addresses) == {("export", "192.0.2.11"): [22, 443, 6379]}
    assert open_ports("export", addresses=addresses) == {("app", "192.0.2.10"): [22, 443]}
    assert open_ports("app", addresses={"export": (None, None)}) == {}


@pytest.mark.parametrize(
    ("seen", "text", "result"),
    [
        ([443, 22, 6379], "open: 22, 443, 6379", "ok"),
        ([22, 443], "open: 22, 443", "FAIL"),
        ([22, 443, 5432, 6379], "open: 22, 443, 5432, 6379", "FAIL"),
        ([], "open: none", "FAIL"),
    ],
)
def test_peer_ports(seen, text, result):
    check = {
        "check": "peer ports",
        "ports": [22, 443, 5432, 6379],
        "neighbours": [{"peer": "export", "address": "192.0.2.11", "open": [22, 443, 6379]}],
    }
    row = only(inside.check_peer_ports(check, {"peers": {"192.0.2.11": seen}}, "app"))
    assert row == {"check": "peer ports", "where": "app to export 192.0.2.11", "expected": "open: 22, 443, 6379", "seen": text, "result": result}


ARCHIVE = {
    "check": "archive", "state": "/state", "service": "postgres_backup", "command": ["sh", "x"], "guard_seconds": 60, "late_seconds": 60,
    "failing_seconds": 300, "hours": 3, "full_hours": 192, "verify_hours": 192,
}  # fmt: skip
GUARD = {"age": 3, "unarchived_seconds": 4, "level": "ok", "disk_level": "ok", "free_mb": 12000, "message": ""}
HOUR, DAY = 3600, 86400


def backed(kind="incr", age=600, **changes):
    return {"type": kind, "age": age, "size": 23000000, "damaged": False, **changes}


def archive_rows(**changes):
    """By the name of the row without "archive": what was seen, and the result."""
    found = {
        "guard": GUARD, "results": {"verify": {"result": "ok", "age": DAY}}, "problem": "", "created_age": 30 * DAY, "newest": backed(),
        "newest_full": backed("full", 2 * DAY), **changes,
    }  # fmt: skip
    rows = inside.check_archive(ARCHIVE, {"archives": {"/state": found}}, "one")
    assert {row["where"] for row in rows} == {"one"}
    return {row["check"].removeprefix("archive "): (row["seen"], row["result"]) for row in rows}


def test_an_archive_that_is_well():
    assert archive_rows() == {
        "guard": ("3 s ago", "ok"),
        "WAL": ("waits for 4 s", "ok"),
        "disk": ("12000 MB free", "ok"),
        "backup": ("10 min old (incr), 23 MB", "ok"),
        "full backup": ("2 d old (full), 23 MB", "ok"),
        "verification": ("ok, 24 h old", "ok"),
    }


@pytest.mark.parametrize("guard", [None, {}, {"age": None}, {**GUARD, "age": 60}, {**GUARD, "age": 90000}])
def test_a_guard_that_does_not_run(guard):
    rows = archive_rows(guard=guard)
    assert rows["guard"][1] == "FAIL" and "the guard does not run" in rows["guard"][0]
    # What it said before says nothing of now.
    assert not {"WAL", "disk"} & set(rows)
    assert rows["backup"][1] == "ok"


@pytest.mark.parametrize(
    ("waiting", "seen", "result"),
    [(0, "none waits", "ok"), (59, "waits for 59 s", "ok"), (60, "waits for 60 s", "WARN"), (299, "waits for 4 min", "WARN"), (300, "WAL has waited.", "FAIL")],
)
def test_the_age_of_wal(waiting, seen, result):
    assert archive_rows(guard={**GUARD, "unarchived_seconds": waiting, "message": "WAL has waited."})["WAL"] == (seen, result)


@pytest.mark.parametrize(("level", "result"), [("disk_low", "WARN"), ("disk_full", "FAIL")])
def test_the_database_s_disk(level, result):
    assert archive_rows(guard={**GUARD, "disk_level": level, "message": "The disk fills up."})["disk"] == ("The disk fills up.", result)


def test_a_disk_without_its_reserve():
    guard = {**GUARD, "reserve_problem": "The reserve file cannot be made."}
    assert archive_rows(guard=guard)["disk"] == ("12000 MB free. The reserve file cannot be made.", "WARN")
    assert archive_rows(guard={**GUARD, "reserve_problem": ""})["disk"] == ("12000 MB free", "ok")


def test_a_bucket_that_cannot_be_read():
    rows = archive_rows(problem="The bucket does not exist: run storage.yml.")
    assert rows["backups"] == ("The bucket does not exist: run storage.yml.", "FAIL")
    assert not {"backup", "full backup"} & set(rows)


@pytest.mark.parametrize(
    ("changes", "name", "seen", "result"),
    [
        ({"newest": backed(age=3 * HOUR)}, "backup", "3 h old (incr), 23 MB", "FAIL"),
        ({"newest": backed("full", 60)}, "backup", "60 s old (full), 23 MB", "ok"),
        ({"newest_full": backed("full", 8 * DAY)}, "full backup", "8 d old (full), 23 MB", "FAIL"),
        ({"newest": None}, "backup", "none", "FAIL"),
        ({"newest": None, "created_age": None}, "backup", "none", "FAIL"),
        ({"newest": None, "created_age": 2 * HOUR}, "backup", "none yet, the archive is 2 h old", "WARN"),
        ({"newest": None, "created_age": 3 * HOUR}, "backup", "none", "FAIL"),
        ({"newest_full": None, "created_age": 3 * HOUR}, "full backup", "none yet, the archive is 3 h old", "WARN"),
        ({"newest": backed(damaged=True)}, "backup", "10 min old (incr), 23 MB; it has pages with wrong checksums", "WARN"),
        (
            {"results": {"incr": {"result": "failed", "age": 60, "message": "unable to acquire lock on file 'x'"}}},
            "backup",
            "10 min old (incr), 23 MB; the last one failed: Another backup, restore or verification is under way: wait until it ends.",
            "WARN",
        ),
        ({"results": {"full": {"result": "failed", "age": 60}}}, "full backup", "2 d old (full), 23 MB; the last one failed: its journal says why", "WARN"),
        (
            {"results": {"full": {"result": "failed", "age": 60}}, "newest": backed(age=DAY)},
            "backup",
            "24 h old (incr), 23 MB; the last one failed: its journal says why",
            "FAIL",
        ),
        ({"results": {"verify": {"result": "ok", "age": 8 * DAY}}}, "verification", "ok, 8 d old", "FAIL"),
        ({"results": {"verify": {"result": "ok", "age": None}}}, "verification", "none", "FAIL"),
        ({"results": {}}, "verification", "none", "FAIL"),
        ({"results": {}, "created_age": 7 * DAY}, "verification", "none yet, the archive is 7 d old", "WARN"),
        (
            {"results": {"verify": {"result": "failed", "age": 7200, "message": "status: error; checksum invalid: 1"}}},
            "verification",
            "failed 2 h ago: The archive is damaged (status: error; checksum invalid: 1): go back to an earlier backup, and take a new full one "
            "(systemctl start litefarm-postgres-backup@full).",
            "FAIL",
        ),
    ],
)  # fmt: skip
def test_backups_in_the_archive(changes, name, seen, result):
    assert archive_rows(**changes)[name] == (seen, result)


def test_an_archive_that_was_not_looked_at():
    assert only(inside.check_archive(ARCHIVE, {"archives": {}}, "one"))["result"] == "FAIL"


FILES = {"check": "file backup", "path": "/files.json", "timer": "/timer", "hours": 30}


@pytest.mark.parametrize(
    ("status", "timer_age", "rows"),
    [
        (None, None, []),
        (None, DAY, [("one", "none yet, the timer is 24 h old", "WARN")]),
        (None, 30 * HOUR, [("one", "none", "FAIL")]),
        ({"age": HOUR, "result": "ok", "tags": {}}, DAY, [("one", "60 min old", "ok")]),
        ({"age": 30 * HOUR, "result": "ok", "tags": {}}, DAY, [("one", "30 h old", "FAIL")]),
        ({"age": 10, "result": "failed", "message": "no space", "tags": {}}, DAY, [("one", "the last one failed, 10 s old: no space", "FAIL")]),
        (
            {
                "age": 10,
                "result": "ok",
                "tags": {"redis": {"age": 10, "result": "ok"}, "images": {"age": 40 * HOUR}, "dumps": {"age": None, "result": "failed"}},
            },
            DAY,
            [
                ("one dumps", "the last one failed, age unknown: journalctl -u litefarm-file-backup says why", "FAIL"),
                ("one images", "40 h old", "FAIL"),
                ("one redis", "10 s old", "ok"),
            ],
        ),
    ],
)
def test_backups_of_files(status, timer_age, rows):
    found = inside.check_file_backup(FILES, {"file_backups": {"/files.json": {"status": status, "timer_age": timer_age}}}, "one")
    assert [(row["where"], row["seen"], row["result"]) for row in found] == rows


def test_the_module_is_asked_about_archives_and_files():
    asked = inside.arguments_of([dict(ARCHIVE, kind="archive"), dict(FILES, kind="file_backup")])
    assert asked["archives"] == [{"service": "postgres_backup", "command": ["sh", "x"], "state": "/state"}]
    assert asked["file_backups"] == [{"path": "/files.json", "timer": "/timer"}]
