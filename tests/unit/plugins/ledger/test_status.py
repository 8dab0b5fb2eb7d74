# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of status.yml."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.action import status
from ansible_collections.litefarm.platform.plugins.module_utils import _ledger as ledger

NOW = ledger.moment("2026-07-02T10:00:00Z")
ORDER = ["api", "export_scheduler", "webapp", "postgres"]
API = "registry.example.org/litefarm/api@sha256:" + "1" * 64
NEWER = "registry.example.org/litefarm/api@sha256:" + "2" * 64
V1 = {"version": "v1", "commit": "a" * 40}
V2 = {"version": "v2", "commit": "b" * 40}


def line(to, result="ok", **fields):
    return ledger.complete({"kind": "deploy", "result": result, "to": to, "time": "2026-07-01T10:00:00Z", **fields}, NOW, {})


def seen(image=API, **changes):
    found = {"image": image, "state": "running", "since": "2026-07-02T08:00:00Z", "restarts": 0, "healthy": True, "probes": ["GET / 200"], "under_way": False}
    return {**found, **changes}


def rows_of(droplets, history=()):
    own_time = {host: (expected, {"now": ledger.stamp(NOW), **found} if found else found) for host, (expected, found) in droplets.items()}
    return status.service_rows(own_time, ORDER, list(history))


def test_a_service_is_shown_with_its_release_and_how_it_is():
    rows, notes = rows_of({"app": (["api"], {"services": {"api": seen()}})}, [line(V1, images={"api": API})])
    assert rows == [{"service": "api", "where": "app", "release": "v1 (aaaaaaa)", "since": "2026-07-02 08:00 (2 h)", "state": "running", "health": "ok"}]
    assert notes == []


def test_services_stand_in_their_order_whatever_their_droplets():
    found = {"services": {name: seen() for name in ("webapp", "api", "postgres")}}
    rows, _notes = rows_of({"one": (["api", "webapp"], found), "two": (["api", "postgres"], found)})
    assert [(row["service"], row["where"]) for row in rows[:4]] == [("api", "one"), ("api", "two"), ("webapp", "one"), ("webapp", "two")]


def test_an_image_without_a_line_in_the_history_is_named_itself():
    rows, _notes = rows_of({"app": (["api", "postgres"], {"services": {"api": seen(), "postgres": seen("postgres:17", healthy=None)}})})
    assert [(row["release"], row["health"]) for row in rows] == [("api@sha256:111111111111", "ok"), ("postgres:17", "-")]


def test_a_line_that_ended_well_knows_better_what_an_image_is():
    history = [line(V1, images={"api": API}), line(V2, "failed", images={"api": API})]
    assert rows_of({"app": (["api"], {"services": {"api": seen()}})}, history)[0][0]["release"] == "v1 (aaaaaaa)"
    assert rows_of({"app": (["api"], {"services": {"api": seen()}})}, history[1:])[0][0]["release"] == "v2 (bbbbbbb)"


def test_what_is_ill_is_said_with_its_probes():
    ill = seen(healthy=False, restarts=3, probes=["GET / 503", "GET /ready refused"], under_way=True)
    rows, notes = rows_of({"app": (["api", "webapp"], {"services": {"api": ill, "webapp": seen(state="exited", healthy=False, probes=[], restarts=1)}})})
    assert [(row["state"], row["health"]) for row in rows] == [("running, 3 restarts, release under way", "FAIL"), ("exited, 1 restart", "FAIL")]
    assert notes == ["api on app is not healthy: GET / 503; GET /ready refused", "webapp on app is not healthy: it is exited"]


def test_restarts_of_the_last_hour_are_pointed_out():
    looping = seen(restarts=40, restarts_last_hour=6, out_of_memory=0)
    rows, notes = rows_of({"app": (["api"], {"services": {"api": looping}})})
    assert rows[0]["state"] == "running, 40 restarts (6 in the last hour)"
    assert notes == ["api on app was restarted 6 times in the last hour: docker logs --since 1h api says why."]
    assert rows_of({"app": (["api"], {"services": {"api": {**looping, "out_of_memory": 6}}})})[1] == [
        "api on app was restarted 6 times in the last hour: memory ran out 6 times, raise api_memory_mb."
    ]
    assert rows_of({"app": (["api"], {"services": {"api": seen(restarts=3, restarts_last_hour=0)}})})[1] == []


def test_ages_are_of_the_droplets_own_clock():
    slow = {"services": {"api": seen()}, "now": "2026-07-02T08:10:00Z"}
    unknown = {"services": {"api": seen()}, "now": ""}
    rows, _notes = rows_of({"one": (["api"], slow), "two": (["api"], {"services": {"api": seen()}}), "three": (["api"], unknown)})
    assert [row["since"] for row in rows] == ["2026-07-02 08:00 (10 min)", "2026-07-02 08:00 (2 h)", "2026-07-02 08:00"]


def test_a_release_under_way_names_the_one_beside_it():
    history = [line(V1, images={"api": API}), line(V2, "interrupted", images={"api": NEWER})]
    under_way = seen(NEWER, beside=API, under_way=True, upstream_read=True)
    rows, notes = rows_of({"app": (["api"], {"services": {"api": under_way}})}, history)
    assert [(row["release"], row["state"]) for row in rows] == [("v2 (bbbbbbb)", "running, release under way, v1 (aaaaaaa) beside it")]
    assert notes == []
    rows, _notes = rows_of({"app": (["api"], {"services": {"api": dict(under_way, beside=NEWER)}})}, history)
    assert rows[0]["state"] == "running, release under way"
    rows, _notes = rows_of({"app": (["api"], {"services": {"api": under_way}})})
    assert (rows[0]["release"], rows[0]["state"]) == ("api@sha256:222222222222", "running, release under way, api@sha256:111111111111 beside it")


def test_a_switch_that_nginx_may_not_have_made_is_pointed_out():
    doubtful = seen(NEWER, beside=API, under_way=True, upstream_read=False)
    history = [line(V1, images={"api": API}), line(V2, "interrupted", images={"api": NEWER})]
    assert rows_of({"app": (["api"], {"services": {"api": doubtful}})}, history)[1] == [
        "nginx on app may not have taken over the switch of api to v2 (bbbbbbb), so v1 (aaaaaaa) may still serve: run the release again."
    ]
    # Without another release there is no doubt who serves.
    assert rows_of({"app": (["api"], {"services": {"api": seen(upstream_read=False, beside="")}})})[1] == []


@pytest.mark.parametrize(
    ("found", "state", "health", "note"),
    [
        ({"services": {}, "engine": True}, "missing", "FAIL", None),
        ({"services": {}, "engine": False}, "no engine", "unknown", "app has no engine that answers: its services may run, or not."),
        (
            {"unreachable": True, "msg": "Failed to connect to the host via ssh: ssh: connect to host x port 22: No route to host"},
            "unreachable",
            "unknown",
            "app does not answer: connect to host x port 22: No route to host",
        ),
        ({"failed": True, "msg": "The engine said no."}, "unknown", "unknown", "app cannot be looked at: The engine said no"),
        ({}, "unreachable", "unknown", "app does not answer: it was not asked"),
    ],
)
def test_a_service_that_is_not_seen_is_a_row(found, state, health, note):
    rows, notes = rows_of({"app": (["api", "postgres"], found)})
    assert [(row["service"], row["state"], row["health"]) for row in rows] == [("api", state, health), ("postgres", state, health)]
    assert notes == ([note] if note else [])


def test_a_droplet_without_services_is_a_row_only_if_it_is_ill():
    assert rows_of({"other": ([], {"services": {}, "engine": True})}) == ([], [])
    rows, notes = rows_of({"other": ([], {"unreachable": True, "msg": "x"})})
    assert [(row["service"], row["where"], row["state"]) for row in rows] == [("-", "other", "unreachable")]
    assert notes == ["other does not answer: x"]


def test_two_releases_at_once_are_pointed_out():
    history = [line(V1, images={"api": API, "webapp": "w1"}), line(V2, images={"api": NEWER, "webapp": "w2"})]
    droplets = {"one": (["api", "webapp"], {"services": {"api": seen(NEWER), "webapp": seen("w2")}}), "two": (["api"], {"services": {"api": seen()}})}
    assert rows_of(droplets, history)[1] == [
        "2 releases run side by side (v2 (bbbbbbb): api on one, webapp on one; v1 (aaaaaaa): api on two): release one of them everywhere with "
        "playbooks/deploy.yml."
    ]


def test_an_image_that_did_not_change_is_of_the_newest_release():
    history = [line(V1, images={"api": API, "webapp": "w1"}), line(V2, images={"api": API, "webapp": "w2"})]
    rows, notes = rows_of({"one": (["api", "webapp"], {"services": {"api": seen(), "webapp": seen("w2")}})}, history)
    assert {row["release"] for row in rows} == {"v2 (bbbbbbb)"}
    assert notes == []


LOCK = {"run": "a", "who": "anna", "node": "desk", "what": "deploy v2", "since": "2026-07-02T09:30:00Z", "expires": "2026-07-02T10:30:00Z"}


@pytest.mark.parametrize(
    ("book", "expected"),
    [
        ({"lock": None}, "Nobody holds the deploy lock."),
        ({"lock": LOCK}, "anna on desk holds the deploy lock since 2026-07-02T09:30:00Z (30 min) for deploy v2; it expires at 2026-07-02T10:30:00Z."),
        (
            {"lock": dict(LOCK, expires="2026-07-02T09:59:00Z")},
            "anna on desk holds the deploy lock since 2026-07-02T09:30:00Z (30 min) for deploy v2; it expired at 2026-07-02T09:59:00Z, "
            "and the next run takes it over.",
        ),
        (
            {"lock": LOCK, "dead": True},
            "The run of anna on desk for deploy v2 is dead: it took the deploy lock at 2026-07-02T09:30:00Z (30 min), and its process has ended. The next run "
            "takes the lock over.",
        ),
        ({"unreachable": True, "msg": "ssh: no route"}, "The lock and the history cannot be read: no route"),
    ],
)
def test_the_lock(book, expected):
    assert status.lock_line(book, NOW) == expected


def test_failed_releases_and_those_taken_back_are_named_apart():
    assert status.release_lines([line(V1), line(V2, "failed")]) == ["Failed when it was last released: v2 (bbbbbbb)."]
    assert status.release_lines([line(V1)]) == []
    many = [line({"version": "w%d" % number, "commit": "%d" % number * 40}, "failed") for number in range(8)]
    assert status.release_lines(many).pop().endswith(": w7 (7777777), w6 (6666666), w5 (5555555), w4 (4444444), w3 (3333333) and 3 older ones.")
    # Also when the line that brought it is not kept any more.
    taken = "Taken back, and released again only with -e litefarm_force=true: v2 (bbbbbbb)."
    assert status.release_lines([line(V1, kind="rollback", **{"from": V2})]) == [taken]
    # What was taken back and failed since needs force all the same, so it is named once.
    assert status.release_lines([line(V1, kind="rollback", **{"from": V2}), line(V2, "failed", **{"from": V1})]) == [taken]


def test_a_partial_release_is_pointed_out():
    assert status.release_lines([line(V1), line(V2, "partial", message="two stays on v1 (aaaaaaa)")]) == [
        "The last release, v2 (bbbbbbb), is in place on some droplets only: two stays on v1 (aaaaaaa)."
    ]


def test_the_history_is_a_table():
    history = [
        line(V1, who="anna", seconds=42),
        line(V2, "failed", who="ben", seconds=150, message="the API never listened: " + "x" * 200, **{"from": V1}),
        line(V2, "interrupted", who="ben", **{"from": V1}),
    ]
    lines = status.table(status.HISTORY, status.history_rows(history))
    assert [" ".join(each.split()) for each in lines] == [
        "WHEN (UTC) WHO WHAT FROM TO TOOK RESULT WHY",
        "2026-07-01 10:00 anna deploy - v1 (aaaaaaa) 42 s ok",
        "2026-07-01 10:00 ben deploy v1 (aaaaaaa) v2 (bbbbbbb) 2 min failed the API never listened: " + "x" * 75 + "…",
        "2026-07-01 10:00 ben deploy v1 (aaaaaaa) v2 (bbbbbbb) - interrupted",
    ]
    assert len({each.index(word) for each, word in zip(lines, ("TO ", "v1 (", "v2 (", "v2 ("))}) == 1


DAY = 86400
GUARD = {"age": 3, "level": "ok", "message": "", "unarchived_seconds": 0, "last_archived_age": 4}
RESULTS = {kind: {"result": "ok", "age": age, "ok_age": age} for kind, age in (("incr", 720), ("full", 2 * DAY), ("verify", 60))}


def archived(guard=GUARD, results=RESULTS, **files):
    found = {"app": {"archive": {"guard": guard, "results": results}}, **{host: {"file_backup": each} for host, each in files.items()}}
    return status.archive_lines(found)


def test_the_archive_is_one_line():
    files = {"age": 5 * 3600, "result": "ok", "tags": {}}
    older = {"age": 10, "result": "ok", "tags": {"redis": {"age": 6 * 3600, "result": "ok"}, "images": {"age": 60}}}
    assert archived() == [("Archive: last WAL 4 s ago, last backup 12 min old (incr), full 2 d old.", None)]
    assert archived(other=files) == [("Archive: last WAL 4 s ago, last backup 12 min old (incr), full 2 d old; files 5 h old.", None)]
    assert archived(other=files, third=older)[0][0].endswith("; files 6 h old.")
    assert status.archive_lines({"other": {"file_backup": files}}) == [("Archive: files 5 h old.", None)]
    assert archived(results={"full": {"result": "failed", "age": 60, "ok_age": 720}})[0][0] == "Archive: last WAL 4 s ago, last backup 12 min old (full)."
    assert archived(guard={**GUARD, "last_archived_age": None}, results={}) == [("Archive: no WAL yet, no backup yet.", None)]


@pytest.mark.parametrize("found", [{}, {"archive": None, "file_backup": None}, {"unreachable": True}])
def test_without_an_archive_there_is_no_line(found):
    assert status.archive_lines({"app": found}) == []


@pytest.mark.parametrize(("level", "colour"), [("late", "yellow"), ("failing", "red"), ("disk_low", "yellow"), ("disk_full", "red")])
def test_what_the_guard_says_is_a_line_in_its_colour(level, colour):
    lines = archived({**GUARD, "level": level, "message": "WAL has waited.", "unarchived_seconds": 200})
    assert lines[0][0].startswith("Archive: WAL waits for 3 min, last backup")
    assert lines[1:] == [("app: WAL has waited.", colour)]


def test_a_disk_without_its_reserve_is_told():
    problem = "The reserve file cannot be made."
    assert archived({**GUARD, "reserve_problem": problem})[1:] == [("app: " + problem, "yellow")]
    # Beside what the guard says of the archive, which may need an answer first.
    late = {**GUARD, "level": "late", "message": "WAL has waited.", "reserve_problem": problem}
    assert [line for line, _colour in archived(late)[1:]] == ["app: WAL has waited.", "app: " + problem]


@pytest.mark.parametrize("guard", [None, {**GUARD, "age": 60}, {**GUARD, "age": None}])
def test_a_guard_that_does_not_run_is_told(guard):
    (_line, (said, colour)) = archived(guard)
    assert said.startswith("app: The guard of the archive does not run") and colour == "red"


def test_backups_that_failed_are_told():
    locked = {"result": "failed", "age": 60, "message": "unable to acquire lock on file 'x'"}
    results = {"incr": locked, "verify": {"result": "failed", "age": None, "message": ""}}
    lines = archived(results=results, other={"age": 60, "result": "failed", "message": "the bucket does not exist", "tags": {}})
    assert lines == [
        ("Archive: last WAL 4 s ago, no backup yet; files 60 s old.", None),
        ("app: The last incr backup failed 60 s ago: Another backup, restore or verification is under way: wait until it ends.", "red"),
        ("app: The last verification of the archive failed: its journal says why", "red"),
        ("other: The last backup of files failed: the bucket does not exist", "red"),
    ]
    tags = {"redis": {"age": 60, "result": "failed"}, "images": {"age": 60, "result": "ok"}}
    lines = archived(other={"age": 60, "result": "failed", "tags": tags})
    assert lines[1:] == [("other: The last backup of files (redis) failed: its journal says why", "red")]


def test_a_dump_that_failed_is_told():
    failed = {"result": "failed", "age": 3 * 3600, "ok_age": 27 * 3600, "message": "no space left on device"}
    dumps = {"app": failed, "new": {"result": "failed"}, "good": {"result": "ok", "age": 60}, "other": None}
    assert status.dump_lines({**{host: {"dump": dump} for host, dump in dumps.items()}, "older": {}}) == [
        ("app: The last dump of the database failed 3 h ago (the last good one is 27 h old): no space left on device", "red"),
        ("new: The last dump of the database failed: journalctl -u litefarm-backup-postgres says why", "red"),
    ]


def test_replaced_data_are_told_until_a_person_removes_them():
    path = "/srv/litefarm/postgres/pgdata.before-"
    kept = [{"path": path + "20261124T101530Z", "bytes": (1200 << 20) + 1, "age": 3 * 86400}, {"path": path + "mine", "bytes": 0, "age": None}]
    assert status.replaced_lines({"app": {"replaced_data": kept}, "other": {"replaced_data": []}, "older": {}}) == [
        "app keeps data that restores have replaced: %s20261124T101530Z (1201 MB, 3 d old), %smine (0 MB). Remove what nobody needs." % (path, path)
    ]


def test_a_repaired_log_of_redis_is_told_until_a_person_removes_the_copy():
    copies = [{"path": "/srv/litefarm/redis/damaged/%s" % name, "bytes": size, "age": age} for name, size, age in (("a", 4096, 7200), ("b", 7, 60))]
    assert status.repaired_lines({"app": {"repaired_logs": copies}, "other": {"repaired_logs": []}, "older": {}}) == [
        "Redis on app: 4096 damaged bytes were cut from the end of its log 2 h ago (copy: /srv/litefarm/redis/damaged/a), "
        "7 damaged bytes were cut from the end of its log 60 s ago (copy: /srv/litefarm/redis/damaged/b); remove the copy when nobody needs it."
    ]


def served(*names, **renewal):
    return {"names": list(names), "renewal": {"failed": False, "age": 7200, **renewal}}


def test_certificates_are_one_line():
    app, api = ({"name": "%s.example.org" % name, "left": left * DAY, "lifetime": 90 * DAY} for name, left in (("app", 62), ("api", 23)))
    found = {"app": {"certificates": served(app, api)}, "other": {"certificates": served({**app, "name": "images.example.org"})}, "third": {}}
    line = "Certificates: app.example.org 62 days left, api.example.org 23 days left, images.example.org 62 days left."
    assert status.certificate_lines(found) == [(line, None)]
    assert status.certificate_lines({"app": {"certificates": None}, "older": {}}) == []


def test_certificates_that_are_not_renewed_are_told():
    late = {"name": "app.example.org", "left": 10 * DAY, "lifetime": 90 * DAY}
    none = {"name": "api.example.org", "problem": "it has none yet"}
    found = {"app": {"certificates": served(late, none, failed=True, message="Failed to renew certificate app with error: no such host")}}
    assert status.certificate_lines(found) == [
        ("Certificates: app.example.org 10 days left.", None),
        ("app: The certificate of app.example.org is not renewed: journalctl -u certbot says why.", "red"),
        ("app: api.example.org has no good certificate: it has none yet.", "red"),
        ("app: The last renewal of certificates failed 2 h ago: Failed to renew certificate app with error: no such host", "red"),
    ]
    lines = status.certificate_lines({"app": {"certificates": served({**late, "left": 60 * DAY}, problem="certbot.timer is not active")}})
    assert lines[1:] == [("app: Certificates are not renewed: certbot.timer is not active.", "red")]


def test_a_droplet_that_does_not_run_what_is_declared_is_named():
    different = ["litefarm-firewall.service: the kernel has no table inet litefarm, so its rules do not hold", "docker.service is failed"]
    found = {"app": {"live": {"different": different, "unknown": []}}, "good": {"live": {"different": [], "unknown": ["base"]}}, "older": {}}
    line = "app does not run what is declared: %s; %s: site.yml loads what is declared." % tuple(different)
    assert status.live_lines(found) == [(line, "red")]


def test_images_of_others_are_one_line():
    redis = {"image": "redis:8", "age": 3 * DAY, "newer": False, "problem": ""}
    pictures = {"image": "h2non/imaginary:1.2.4", "age": None, "newer": None, "problem": "The registry does not answer."}
    pinned = {"image": "postgres@sha256:" + "1" * 64, "age": 40 * DAY, "newer": None, "problem": "its digest is fixed"}
    assert status.image_lines({"one": {"third_party": {"redis": redis}}, "two": {"third_party": {"postgres": pinned}}, "three": {}}) == [
        ("Images: redis:8 3 d old, postgres@sha256:111111111111 40 d old.", None)
    ]
    lines = status.image_lines({"one": {"third_party": {"redis": {**redis, "newer": True}, "imaginary": pictures}}})
    assert lines == [
        ("Images: redis:8 3 d old, imaginary:1.2.4 age unknown.", None),
        ("one: The registry has a newer redis:8: site.yml -e litefarm_pull_images=true takes it.", "yellow"),
        ("one: Whether there is a newer h2non/imaginary:1.2.4 is not known: The registry does not answer.", "yellow"),
    ]
    assert status.image_lines({"one": {"third_party": {}}, "older": {}}) == []


def test_requests_that_wait_are_one_line():
    api, pictures = {"working": 1, "waiting": 3, "refused": 0}, {"working": 4, "waiting": 0, "refused": None}
    found = {"one": {"request_queues": {"error": None, "services": {"api": api}}}, "two": {"request_queues": {"error": None, "services": {"imaginary": pictures}}}}
    assert status.queue_lines({**found, "three": {"request_queues": None}, "older": {}}) == [
        ("Queues: api on one 1 at work, 3 waiting; imaginary on two 4 at work, 0 waiting.", None)
    ]


def test_requests_that_have_waited_in_vain_are_told():
    found = {"working": 1, "waiting": 3, "refused": 2}
    _all, (line, colour) = status.queue_lines({"one": {"request_queues": {"error": None, "services": {"api": found}}}})
    assert line.startswith("one: 2 requests to api were refused in the last hour")
    assert "api_memory_mb" in line
    assert colour == "yellow"


def test_a_haproxy_that_does_not_run_is_told():
    (told,) = status.queue_lines({"one": {"request_queues": {"error": "HAProxy does not answer (x)", "services": {}}}})
    assert told == ("one: HAProxy does not answer (x), so nothing bounds the requests: site.yml starts it.", "red")
