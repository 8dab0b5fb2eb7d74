# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two files of the ledger, with a clock that a test sets."""

from __future__ import annotations

import errno
import json
import os
import stat

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils import _ledger as ledger
from ansible_collections.litefarm.platform.plugins.module_utils._ledger import Held, Ledger, LedgerError

START = ledger.moment("2026-07-01T10:00:00Z")
ANNA = {"who": "anna", "node": "desk", "machine": "m1", "boot": "b1", "pid": 7, "start": "70"}
BEN = {"who": "ben", "node": "sofa", "machine": "m2", "boot": "b2", "pid": 8, "start": "80"}
V1 = {"version": "v1", "commit": "1" * 40}
V2 = {"version": "v2", "commit": "2" * 40}


class Clock:
    now = START

    def __call__(self):
        return self.now


@pytest.fixture(name="clock")
def fixture_clock():
    return Clock()


@pytest.fixture(name="book")
def fixture_book(tmp_path, clock):
    return Ledger(str(tmp_path / "state" / "deployment"), "unlock it", clock)


def taken(book, run="a", holder=ANNA, **arguments):
    return book.take(run, "deploy v2 (2222222)", holder, **arguments)


def test_a_free_lock_is_taken_given_back_and_free_again(book):
    lock, replaced = taken(book)
    assert replaced is None
    assert book.lock() == lock
    assert (lock["who"], lock["node"], lock["run"], lock["since"], lock["expires"]) == ("anna", "desk", "a", "2026-07-01T10:00:00Z", "2026-07-01T11:00:00Z")
    assert book.give_back("a") is None
    assert book.lock() is None
    assert book.history() == []
    assert taken(book, "b", BEN)[1] is None


def test_another_run_is_told_everything_in_one_sentence(book, clock):
    taken(book)
    clock.now += 720
    with pytest.raises(Held) as error:
        taken(book, "b", BEN)
    assert str(error.value) == (
        "anna on desk has held the deploy lock since 2026-07-01T10:00:00Z (12 min) for deploy v2 (2222222): wait until it ends, at the latest until "
        "2026-07-01T11:00:00Z, when it expires, or break it with unlock it."
    )
    assert error.value.lock["run"] == "a"
    assert book.lock()["run"] == "a"


def test_the_own_lock_is_extended_and_keeps_its_beginning(book, clock):
    taken(book)
    clock.now += 600
    lock, replaced = taken(book)
    assert (lock["since"], lock["expires"], replaced) == ("2026-07-01T10:00:00Z", "2026-07-01T11:10:00Z", None)


def test_an_expired_lock_is_replaced_and_recorded_as_interrupted(book, clock):
    taken(book, minutes=5, plan={"kind": "deploy", "from": V1, "to": V2, "images": {"api": "x"}})
    clock.now += 299
    with pytest.raises(Held):
        taken(book, "b", BEN)
    clock.now += 1
    lock, replaced = taken(book, "b", BEN)
    assert lock["run"] == book.lock()["run"] == "b"
    assert (replaced["run"], replaced["why"]) == ("a", "it had expired")
    (record,) = book.history()
    assert record == {
        "time": "2026-07-01T10:05:00Z",
        "started": "2026-07-01T10:00:00Z",
        "seconds": None,
        "who": "anna",
        "run": "a",
        "kind": "deploy",
        "result": "interrupted",
        "from": V1,
        "to": V2,
        "images": {"api": "x"},
        "migrations": [],
        "services": [],
        "hosts": [],
        "message": "deploy v2 (2222222) did not end: its lock was taken away because it had expired",
    }


def test_a_lock_is_taken_over_only_if_it_is_the_one_that_was_judged(book):
    taken(book)
    with pytest.raises(Held):
        taken(book, "b", BEN, takes_over="another")
    _lock, replaced = taken(book, "b", BEN, takes_over="a")
    assert replaced["why"] == "its process is gone"
    (record,) = book.history()
    # Without a plan, the kind is what the lock says it does.
    assert (record["run"], record["who"], record["kind"], record["result"]) == ("a", "anna", "deploy", "interrupted")


def test_a_run_that_died_after_its_record_is_not_recorded_again(book, monkeypatch):
    taken(book)

    def die(path):
        raise KeyboardInterrupt(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", die)
        with pytest.raises(KeyboardInterrupt):
            book.give_back("a", {"kind": "deploy", "result": "ok", "to": V2})
    assert book.lock()["run"] == "a"
    taken(book, "b", BEN, takes_over="a")
    assert [record["result"] for record in book.history()] == ["ok"]


def test_a_lock_that_is_somebody_elses_now_is_not_removed(book, clock):
    taken(book, minutes=1)
    clock.now += 60
    taken(book, "b", BEN)
    warning = book.give_back("a", {"kind": "deploy", "result": "failed"}, ANNA)
    assert warning == (
        "The deploy lock was not this run's any more when it ended: somebody broke it or it expired, and now ben on sofa holds it for deploy v2 (2222222)."
    )
    assert book.lock()["run"] == "b"
    # What it did is written down all the same, as its own.
    assert [(record["run"], record["who"], record["result"]) for record in book.history()] == [("a", "anna", "interrupted"), ("a", "anna", "failed")]


def test_a_lock_is_checked_and_extended_before_a_switch(book, clock):
    taken(book, minutes=10)
    clock.now += 300
    assert book.check("a", 10)["expires"] == book.lock()["expires"] == "2026-07-01T10:15:00Z"
    # It is never made shorter.
    assert book.check("a", 1)["expires"] == "2026-07-01T10:15:00Z"


def test_an_expired_lock_that_nobody_took_is_still_the_runs_own(book, clock):
    taken(book, minutes=1)
    clock.now += 3600
    assert ledger.moment(book.check("a", 10)["expires"]) == clock.now + 600


def test_a_run_whose_lock_was_broken_or_taken_stops(book):
    taken(book)
    book.break_lock("ben on sofa")
    with pytest.raises(LedgerError, match=r"does not hold the deploy lock any more \(deploy v2 .*broken by ben on sofa\): nothing more is changed"):
        book.check("a")
    taken(book, "b", BEN)
    with pytest.raises(LedgerError, match="run it again when ben on sofa, who holds it now for deploy v2"):
        book.check("a")
    with pytest.raises(LedgerError, match="does not hold"):
        book.check("never")


def test_a_broken_lock_is_recorded_and_a_missing_one_is_not_missed(book):
    assert book.break_lock("ben") is None
    taken(book)
    assert book.break_lock("ben", only="another") is None
    assert book.lock()["run"] == "a"
    broken = book.break_lock("ben", only="a")
    assert (broken["who"], broken["why"]) == ("anna", "broken by ben")
    assert book.lock() is None
    assert [(each["result"], each["message"]) for each in book.history()] == [("interrupted", "deploy v2 (2222222) did not end: its lock was broken by ben")]


NO_TIMES = '{"run": "a", "what": "", "who": "", "node": "", "since": "x", "expires": "y"}'


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\xff", '{"run": "a"}', NO_TIMES])
def test_a_file_that_is_no_lock_counts_as_one_expires_and_can_be_broken(book, clock, content):
    taken(book)
    with open(book.lock_path, "w", encoding="latin-1") as file:
        file.write(content)
    os.utime(book.lock_path, (START, START))
    with pytest.raises(Held, match="somebody has held .* for something unknown, because .*lock.json cannot be read"):
        taken(book, "b", BEN)
    clock.now += 3600
    assert taken(book, "b", BEN)[1]["why"] == "it had expired"
    assert book.lock()["run"] == "b"


def test_a_check_run_writes_nothing_and_is_stopped_like_any_other(book, clock):
    lock, replaced = taken(book, apply=False)
    assert (lock["run"], replaced) == ("a", None)
    assert book.check("a", apply=False) is None
    book.give_back("a", {"kind": "deploy", "result": "ok"}, apply=False)
    book.record({"kind": "deploy", "result": "ok"}, apply=False)
    assert book.break_lock("ben", apply=False) is None
    assert not os.path.exists(book.directory)
    taken(book)
    with pytest.raises(Held):
        taken(book, "b", BEN, apply=False)
    with pytest.raises(LedgerError):
        book.check("b", apply=False)
    assert book.break_lock("ben", apply=False)["run"] == "a"
    clock.now += 3600
    assert taken(book, "b", BEN, apply=False)[1]["run"] == "a"
    assert book.lock()["run"] == "a"
    assert book.history() == []


def test_a_record_has_all_its_keys_and_its_gaps_are_filled_from_the_lock(book, clock):
    taken(book)
    clock.now += 42
    book.give_back("a", {"kind": "deploy", "result": "failed", "to": {"commit": "c"}, "message": "first\nsecond " + "x" * 600})
    (record,) = book.history()
    assert (record["time"], record["started"], record["seconds"], record["who"], record["run"]) == (
        "2026-07-01T10:00:42Z",
        "2026-07-01T10:00:00Z",
        42,
        "anna",
        "a",
    )
    assert (record["from"], record["to"]) == ({"version": "", "commit": ""}, {"version": "", "commit": "c"})
    assert record["message"].startswith("first second xxx")
    assert len(record["message"]) == 500


def test_a_record_alone(book, clock):
    book.record({"kind": "rollback", "result": "ok", "run": "r", "started": "2026-07-01T09:59:00Z", "hosts": ["one"]}, BEN)
    (record,) = book.history()
    assert (record["seconds"], record["who"], record["run"], record["hosts"]) == (60, "ben", "r", ["one"])
    assert book.lock() is None


def test_a_torn_line_is_ignored_and_repaired_by_the_next_record(book):
    for run in ("a", "b"):
        book.record({"kind": "deploy", "result": "ok", "run": run})
    with open(book.history_path, encoding="utf-8") as file:
        content = file.read()
    for cut in range(1, len(content.splitlines()[1]) + 1):
        with open(book.history_path, "w", encoding="utf-8") as file:
            file.write(content[:-cut])
        # Without its newline only, a line is whole.
        whole = ["a", "b"] if cut == 1 else ["a"]
        assert [each["run"] for each in book.history()] == whole
        book.record({"kind": "deploy", "result": "ok", "run": "c"})
        assert [each["run"] for each in book.history()] == [*whole, "c"]
        with open(book.history_path, encoding="utf-8") as file:
            assert all(json.loads(line) for line in file.read().splitlines())


def test_zeroes_behind_the_last_record_cost_none_and_are_removed_by_the_next(book):
    for run in ("a", "b"):
        book.record({"kind": "deploy", "result": "ok", "run": run})
    assert book.damage() is None
    with open(book.history_path, "rb") as file:
        content = file.read()
    for tail in (bytes(4096), content[:20] + bytes(4096), bytes(10) + b"\n"):
        with open(book.history_path, "wb") as file:
            file.write(content + tail)
        assert [each["run"] for each in book.history()] == ["a", "b"]
        assert "has zeroes in place of records: bring it back with `sudo litefarm-restore-files history --replace`" in book.damage()
        book.record({"kind": "deploy", "result": "ok", "run": "c"})
        assert [each["run"] for each in book.history()] == ["a", "b", "c"]
        assert tail.endswith(b"\n") or book.damage() is None


@pytest.mark.parametrize("damage", [lambda text: b"", lambda text: bytes(len(text)), lambda text: text[: len(text) // 2]])
def test_damaged_files_refuse_no_run_for_ever(book, clock, damage):
    book.take("first", "deploy of v1", ANNA)
    book.give_back("first", {"kind": "deploy", "result": "ok", "run": "first"})
    number = book.take("second", "deploy of v2", ANNA)[0]["number"]
    for path in (book.lock_path, book.history_path, book.number_path):
        with open(path, "rb") as file:
            content = file.read()
        with open(path, "wb") as file:
            file.write(damage(content))
        os.utime(path, (clock.now, clock.now))
    with pytest.raises(ledger.Held) as held:
        book.take("third", "deploy of v3", BEN)
    assert "because %s cannot be read" % book.lock_path in str(held.value) and "break it with" in str(held.value)
    # At the latest when it expires.
    clock.now += 3601
    lock, replaced = book.take("third", "deploy of v3", BEN)
    assert lock["number"] > number and replaced["why"] == ledger.EXPIRED
    assert book.lock()["run"] == "third"
    book.give_back("third", {"kind": "deploy", "result": "ok", "run": "third"})
    assert [each["run"] for each in book.history()][-1] == "third"


def test_lines_that_are_no_records_are_left_alone_and_not_returned(book):
    book.record({"kind": "deploy", "result": "ok", "run": "a"})
    with open(book.history_path, "a", encoding="utf-8") as file:
        file.write('hand-written\n[1]\n{"result": "of a later version"}\n\n')
    book.record({"kind": "deploy", "result": "ok", "run": "b"})
    assert [each["run"] for each in book.history()] == ["a", "b"]
    with open(book.history_path, encoding="utf-8") as file:
        assert "of a later version" in file.read()


def test_the_history_is_bounded_and_the_newest_lines_are_returned(book, monkeypatch):
    monkeypatch.setattr(ledger, "KEPT", 5)
    for number in range(12):
        book.record({"kind": "deploy", "result": "ok", "run": str(number)})
    assert [each["run"] for each in book.history(100)] == ["7", "8", "9", "10", "11"]
    assert [each["run"] for each in book.history(2)] == ["10", "11"]
    assert book.history(0) == []


def test_a_separator_of_lines_in_a_name_does_not_tear_a_record(book):
    book.record({"kind": "deploy", "result": "ok", "who": "an\u2028na"})
    assert [each["who"] for each in book.history()] == ["an\u2028na"]


def test_only_root_reads_the_files_and_nothing_is_left_beside_them(book):
    taken(book)
    book.give_back("a", {"kind": "deploy", "result": "ok"})
    taken(book)
    assert sorted(os.listdir(book.directory)) == [".guard", "history.jsonl", "lock.json", "number"]
    assert stat.S_IMODE(os.stat(book.directory).st_mode) == 0o700
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in (book.lock_path, book.history_path, book.number_path)} == {0o600}


def test_a_full_disk_is_a_sentence_and_does_not_keep_the_lock(book, monkeypatch):
    taken(book)

    def full(_handle, _mode):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fchmod", full)
        with pytest.raises(LedgerError, match=r"history.jsonl cannot be used on the droplet \(No space left on device\): correct that"):
            book.give_back("a", {"kind": "deploy", "result": "ok"})
    assert book.lock() is None


def test_a_file_where_the_folder_should_be_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="Not a directory"):
        Ledger(str(tmp_path / "file" / "deployment")).take("a", "deploy", ANNA)


def test_a_process_is_gone_with_its_machines_start_but_not_with_its_name():
    lock = dict(ANNA)
    assert ledger.same_process(lock, dict(ANNA, pid=9))
    assert not ledger.same_process(lock, dict(ANNA, boot="b9"))
    assert not ledger.same_process(dict(lock, boot=""), dict(ANNA, boot=""))
    assert ledger.rebooted(lock, dict(ANNA, boot="b9"))
    for other in ({}, {"boot": "b9", "node": "other"}, {"boot": "b9", "machine": "m9"}, {"boot": ""}):
        assert not ledger.rebooted(lock, dict(ANNA, **other))
    assert not ledger.rebooted(dict(lock, machine=""), dict(ANNA, machine="", boot="b9"))


# -- numbers of runs ---------------------------------------------------------------------------------------------------------------


def test_every_lock_has_a_higher_number_than_those_before(book, clock):
    first = taken(book)[0]["number"]
    assert first == START
    assert taken(book)[0]["number"] == first, "the same run keeps its number"
    book.give_back("a")
    # Within the same second, and with a clock that was set back.
    assert taken(book, "b")[0]["number"] == first + 1
    clock.now -= 3600
    book.break_lock("anna")
    assert taken(book, "c")[0]["number"] == first + 2
    clock.now += 7200
    book.give_back("c")
    assert taken(book, "d")[0]["number"] == START + 3600


def test_a_lost_number_is_made_up_for_by_the_clock(book, clock):
    taken(book)
    book.give_back("a")
    with open(book.number_path, "w", encoding="utf-8") as file:
        file.write("garbage")
    clock.now += 5
    assert taken(book, "b")[0]["number"] == START + 5


def test_a_check_run_has_no_number(book):
    assert taken(book, apply=False)[0]["number"] == 0
    assert not os.path.exists(book.number_path)


def test_a_lock_of_an_earlier_collection_has_none_and_is_respected(book):
    os.makedirs(book.directory)
    old = {"run": "old", "what": "deploy v2", "who": "anna", "node": "desk", "since": "2026-07-01T09:59:00Z", "expires": "2026-07-01T10:59:00Z"}
    with open(book.lock_path, "w", encoding="utf-8") as file:
        json.dump({**old, "plan": {"kind": "deploy", "to": V2, "images": {"api": "x"}}}, file)
    with pytest.raises(Held):
        taken(book, "b", BEN)
    lock, replaced = taken(book, "b", BEN, takes_over="old")
    assert (lock["number"], replaced["run"]) == (START, "old")
    assert (book.history()[0]["to"], book.history()[0]["migrations"], book.history()[0]["hosts"]) == (V2, [], [])


# -- what a lock refuses and remembers ---------------------------------------------------------------------------------------------


def released(book, *releases):
    for release in releases:
        book.record({"kind": "deploy", "result": "ok", "to": release, "hosts": ["one"]}, ANNA)


def test_a_release_that_a_newer_one_has_replaced_gets_no_lock(book):
    released(book, V1, V2)
    with pytest.raises(LedgerError, match=r"^Nothing was changed\. v2 \(2222222\) has run since .*rollback\.yml -e litefarm_to=v1, or give -e litefarm_force=true\.$"):
        taken(book, plan={"kind": "site", "to": V1})
    assert book.lock() is None and not os.path.exists(book.number_path)
    assert taken(book, plan={"kind": "site", "to": V1}, force=True)[0]["run"] == "a"
    book.give_back("a")
    assert taken(book, plan={"kind": "rollback", "to": V1})[0]["run"] == "a"
    # Once it holds the lock, it is not asked again.
    assert taken(book, plan={"kind": "deploy", "to": V1})[0]["run"] == "a"


def test_whoever_holds_the_lock_is_named_before_the_history_is_asked(book):
    released(book, V1, V2)
    taken(book)
    with pytest.raises(Held):
        taken(book, "b", BEN, plan={"kind": "deploy", "to": V1})


def test_migrations_that_were_about_to_run_are_in_the_history_of_a_killed_run(book):
    taken(book, plan={"kind": "deploy", "to": V2})
    book.check("a", plan={"kind": "deploy", "to": V2, "migrations": ["one", "two"], "hosts": ["app"]})
    taken(book, "b", BEN, takes_over="a")
    (record,) = book.history()
    assert (record["migrations"], record["hosts"]) == (["one", "two"], ["app"])


def test_of_a_killed_runs_migrations_those_count_that_the_database_has(book):
    taken(book, plan={"kind": "deploy", "to": V2, "migrations": ["one", "two"]})
    taken(book, "b", BEN, takes_over="a", completed=["zero", "one"])
    assert book.history()[0]["migrations"] == ["one"]


def test_a_check_without_a_plan_keeps_the_one_that_was_given(book):
    taken(book, plan={"kind": "deploy", "to": V2})
    assert book.check("a")["plan"] == {"kind": "deploy", "to": V2}
