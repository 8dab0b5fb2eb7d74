# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a history says about the way back. A history is written as a line of steps, oldest first."""

from __future__ import annotations

import pytest
from ansible_collections.litefarm.platform.plugins.module_utils._ledger import (
    LedgerError, complete, failed, last_good, name_of, partial, planned, present_release, refusal, releases_of, rollback_target, side_by_side, taken_back,
)  # fmt: skip


def release(name):
    """`a` is the release of version va, whose commit is made of its letter."""
    return {"version": "v%s" % name, "commit": name * 40} if name else {}


def history(text):
    """`a>b` is a deploy that ended well, `a>b!` one that failed, `a>b?` an interrupted one, `a>b/` a partial one, `a<b` a rollback from b to a, `a=` a
    site run."""
    records = []
    for step in text.split():
        result = {"!": "failed", "?": "interrupted", "/": "partial"}.get(step[-1], "ok")
        step = step.rstrip("!?/")
        kind = "rollback" if "<" in step else "site" if "=" in step else "deploy"
        before, after = (step.partition("<")[::-2]) if "<" in step else (step[0], step[0]) if "=" in step else step.partition(">")[::2]
        records.append(complete({"kind": kind, "result": result, "from": release(before), "to": release(after)}, 0, {}))
    return records


def test_the_notation_of_these_tests():
    (step,) = history("a<b")
    assert (step["kind"], step["from"]["version"], step["to"]["version"]) == ("rollback", "vb", "va")
    (step,) = history("a>b!")
    assert (step["kind"], step["result"], step["from"]["version"], step["to"]["version"]) == ("deploy", "failed", "va", "vb")


@pytest.mark.parametrize(("text", "expected"), [(">a a>b", "vb"), (">a a>b/", "vb"), (">a a>b!", "va"), (">a a>b b>c?", "vb"), (">a a>b a<b", "va"), (">a!", None), ("", None)])
def test_the_last_good_release(text, expected):
    good = last_good(history(text))
    assert (good and good["to"]["version"]) == expected


@pytest.mark.parametrize(
    ("text", "tried", "left"),
    [
        ("", "", ""),
        (">a a>b", "", ""),
        (">a a>b!", "b", ""),
        (">a a>b! a>b", "", ""),
        (">a a>b a<b", "", "b"),
        (">a a>b a<b a>b", "", ""),
        # A rollback that failed says nothing about the release that it could not leave.
        (">a a>b a<b!", "a", ""),
        # A release that fails and then succeeds, and is then taken back.
        (">a a>b! a>b a<b", "", "b"),
        (">a a>b b>c! b>c?", "c", ""),
        # What ran before and after a failed run of everything is not what failed.
        (">a a=!", "", ""),
        (">a a>b a<b b=!", "", "b"),
        # It was taken back, and failed when somebody insisted.
        (">a a>b a<b a>b!", "b", "b"),
        # On some droplets is in place, too.
        (">a a>b! a>b/", "", ""),
        (">a a>b a<b a>b/", "", ""),
        (">a a>b a<b/", "", "b"),
    ],
)
def test_failed_and_taken_back_are_two_things(text, tried, left):
    assert failed(history(text)) == {letter * 40 for letter in tried}
    assert set(taken_back(history(text))) == {letter * 40 for letter in left}


def test_a_run_that_lost_its_lock_says_nothing_against_its_release():
    """It has two records: of whoever took the lock away, and its own."""
    told = history(">a a>b? a>b!")
    told[1]["run"] = told[2]["run"] = "x"
    assert failed(told) == set()
    told[2]["run"] = "y"
    assert failed(told) == {"b" * 40}


@pytest.mark.parametrize(
    ("text", "wanted", "words"),
    [
        ("", "a", None),
        (">a", "a", None),
        (">a a>b", "b", None),
        (">a a>b", "c", None),
        (">a a>b", "a", "vb (bbbbbbb) has run since"),
        (">a a>b b=", "a", "vb (bbbbbbb) has run since"),
        (">a a>b b>c!", "a", "vb (bbbbbbb) has run since"),
        # It never ran.
        (">a a>b! a>c", "b", None),
        (">a a>b? a>c", "b", None),
        # It runs somewhere.
        (">a a>b/", "b", None),
        (">a a>b/", "a", "vb (bbbbbbb) has run since"),
        (">a a>b a<b", "b", "vb (bbbbbbb) was taken back"),
        (">a a>b a<b", "a", None),
        (">a a>b a<b a>c", "a", "vc (ccccccc) has run since"),
    ],
)
def test_a_release_that_the_environment_has_left_is_refused(text, wanted, words):
    for kind in ("deploy", "site"):
        reason = refusal(kind, release(wanted), history(text))
        assert (words in reason) if words else reason is None
    assert refusal("rollback", release(wanted), history(text)) is None
    assert refusal("deploy", release(wanted), history(text), force=True) is None


def test_the_refusal_of_an_older_release_says_who_and_when_and_the_ways_on():
    records = history(">a a>b")
    records[1].update(who="anna", time="2026-11-24T20:00:00Z")
    assert refusal("site", release("a"), records) == (
        "vb (bbbbbbb) has run since 2026-11-24T20:00:00Z (deploy by anna), and va (aaaaaaa) is an older release of this environment, so this checkout may "
        "have older settings too: get the team's newest checkout, or set litefarm_version to vb. To go back on purpose, run playbooks/rollback.yml -e "
        "litefarm_to=va, or give -e litefarm_force=true."
    )


def test_the_refusal_of_what_was_taken_back_says_what_runs():
    records = history(">a a>b a<b")
    records[-1].update(who="anna", time="2026-11-24T20:00:00Z")
    reason = refusal("deploy", release("b"), records)
    assert "vb (bbbbbbb) was taken back at 2026-11-24T20:00:00Z by anna" in reason and "(va (aaaaaaa))" in reason and "force=true" in reason


@pytest.mark.parametrize(
    ("text", "wanted", "force", "expected"),
    [
        (">a a>b", None, False, "va"),
        (">a a>b b>c", None, False, "vb"),
        (">a a>b b=", None, False, "va"),
        # Twice back goes two releases back, not forth again.
        (">a a>b b>c b<c", None, False, "va"),
        (">a a>b b>c b<c", None, True, "vc"),
        # A failed release was never left, and is never a target.
        (">a a>b b>c!", None, False, "va"),
        (">a a>b b>c", "va", False, "va"),
        (">a a>b b>c", "a" * 40, False, "va"),
        (">a a>b b>c", "a" * 7, False, "va"),
        (">a a>b b>c", "A" * 12, False, "va"),
        (">a a>b b>c b<c", "vc", True, "vc"),
        # What runs on some droplets is left for what ran on all of them; what ran on some only has to be named.
        (">a a>b/", None, False, "va"),
        (">a a>b/ b>c", None, False, "va"),
        (">a a>b/ b>c", "vb", False, "vb"),
        # A rollback of some droplets is finished by the next one.
        (">a a>b b>c b<c/", None, False, "vb"),
        (">a a>b b>c b<c/", "vb", False, "vb"),
    ],
)
def test_the_target(text, wanted, force, expected):
    assert rollback_target(history(text), wanted, force)["to"]["version"] == expected


@pytest.mark.parametrize(
    ("text", "wanted", "force", "message"),
    [
        ("", None, False, "There is nothing to go back to: the history of this environment has no release that ended well."),
        (">a!", "va", True, "There is nothing to go back to: the history of this environment has no release that ended well."),
        (">a a=", None, False, "There is nothing to go back to: va (aaaaaaa) is the only release that all of this environment has run."),
        (">a a>b a<b", None, False, "There is no earlier release to go back to: va (aaaaaaa) runs now, and vb (bbbbbbb) was taken back. If it has to be one of the others, name it with -e litefarm_to=VERSION -e litefarm_force=true."),
        (">a a>b b>c b<c b=! a<b", None, False, "There is no earlier release to go back to: va (aaaaaaa) runs now, and vb (bbbbbbb) was taken back, vc (ccccccc) was taken back. If it has to be one of the others, name it with -e litefarm_to=VERSION -e litefarm_force=true."),
        (">a a>b b>c", "vz", False, "There is no release vz in the history of this environment: there are vb (bbbbbbb), va (aaaaaaa)."),
        # Less than seven digits are no commit.
        (">a a>b", "a" * 6, False, "There is no release aaaaaa in the history of this environment: there are va (aaaaaaa)."),
        (">a", "vz", False, "There is no release vz in the history of this environment: there is no other one than va (aaaaaaa), which runs now."),
        (">a a>b", "vb", True, "vb (bbbbbbb) is what runs now: name another release (va (aaaaaaa))."),
        (">a a>b a<b", "vb", False, "vb (bbbbbbb) was taken back: give -e litefarm_force=true if it has to be this one."),

    ],
)
def test_refusals(text, wanted, force, message):
    with pytest.raises(LedgerError) as error:
        rollback_target(history(text), wanted, force)
    assert str(error.value) == message


def test_the_present_release_is_one():
    assert present_release(history(">a a>b"))["to"]["version"] == "vb"
    assert present_release([]) is None
    with pytest.raises(LedgerError, match=r"runs two releases: vb \(bbbbbbb\), and jobs stays on va\. Release one of them everywhere first"):
        present_release([*history(">a"), dict(history("a>b/")[0], message="jobs stays on va")])


def deployed(*releases):
    return [complete({"kind": "deploy", "result": "ok", "to": {"version": version, "commit": commit}}, 0, {}) for version, commit in releases]


def test_a_branch_that_was_deployed_twice_is_no_name_for_one_release():
    records = deployed(("main", "a" * 40), ("main", "b" * 40), ("v3", "c" * 40))
    with pytest.raises(LedgerError, match=r"main names 2 releases \(main \(bbbbbbb\), main \(aaaaaaa\)\): give the commit, or more of it\."):
        rollback_target(records, "main")
    assert rollback_target(records, "bbbbbbb")["to"]["commit"] == "b" * 40


def test_a_release_is_found_by_every_name_that_it_had():
    records = deployed(("v1", "a" * 40), ("main", "a" * 40), ("v2", "b" * 40))
    assert rollback_target(records, "v1")["to"] == {"version": "main", "commit": "a" * 40}


def test_two_commits_with_the_same_beginning():
    records = deployed(("v1", "abcdef01" + "0" * 32), ("v2", "abcdef02" + "0" * 32), ("v3", "c" * 40))
    with pytest.raises(LedgerError, match="abcdef0 names 2 releases"):
        rollback_target(records, "abcdef0")
    assert rollback_target(records, "abcdef01")["to"]["version"] == "v1"


def test_a_long_history_is_named_in_part():
    records = deployed(*(("v%d" % number, "%040x" % number) for number in range(1, 15)))
    with pytest.raises(LedgerError, match=r"there are v13 .*, v4 \(0000000\) and 3 older ones\."):
        rollback_target(records, "vz")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"version": "v1", "commit": "a" * 40}, "v1 (aaaaaaa)"),
        ({"version": "a" * 40, "commit": "a" * 40}, "aaaaaaa"),
        ({"version": "a" * 9, "commit": "a" * 40}, "aaaaaaa"),
        ({"version": "v1", "commit": ""}, "v1"),
        ({}, "nothing"),
    ],
)
def test_names(given, name):
    assert name_of(given) == name


def with_images(text):
    """A history in which each release has an API of its own, and a webapp that never changes."""
    return [dict(each, images={"api": "api@%s" % each["to"]["version"], "webapp": "webapp@same"}) for each in history(text)]


@pytest.mark.parametrize(
    ("text", "images", "expected"),
    [
        (">a a>b", {"one": "api@vb", "two": "api@vb"}, None),
        (
            ">a a>b", {"one": "api@vb", "two": "api@va"},
            "2 releases run side by side (vb (bbbbbbb): api on one; va (aaaaaaa): api on two): release one of them everywhere with playbooks/deploy.yml.",
        ),
        # Of what nobody has recorded it is not known whether it is another release.
        (">a a>b", {"one": "api@vb", "two": "api@vc"}, None),
        ("", {"one": "api@vb", "two": "api@va"}, None),
        # After a rollback the older one is the one that runs.
        (">a a>b a<b", {"one": "api@va", "two": "api@va"}, None),
    ],
)  # fmt: skip
def test_two_releases_at_once(text, images, expected):
    found = releases_of([("api", host, image) for host, image in images.items()], with_images(text))
    assert side_by_side(found) == expected


def test_an_image_of_several_releases_is_of_the_newest():
    places = [("api", "one", "api@vb"), ("webapp", "one", "webapp@same"), ("webapp", "two", "webapp@same")]
    assert releases_of(places, with_images(">a a>b")) == {"vb (bbbbbbb)": ["api on one", "webapp on one", "webapp on two"]}


@pytest.mark.parametrize(("text", "told"), [("", False), (">a", False), (">a a>b/", True), (">a a>b/ a>b", False), (">a a>b/ b>c!", True)])
def test_a_partial_release_is_told_until_a_whole_one(text, told):
    assert bool(partial(history(text))) == told


def test_what_a_run_under_way_brings_is_known_from_its_lock():
    plan = {"kind": "deploy", "from": release("a"), "to": release("b"), "images": {"api": "api@vb"}}
    lock = {"run": "x", "who": "anna", "node": "desk", "what": "deploy", "since": "2026-07-01T10:00:00Z", "expires": "2026-07-01T11:00:00Z", "plan": plan}
    places = [("api", "one", "api@va"), ("api", "two", "api@vb")]
    assert list(releases_of(places, [*with_images(">a"), *planned(lock)])) == ["va (aaaaaaa)", "vb (bbbbbbb)"]
    for nothing in (None, dict(lock, plan={}), dict(lock, plan="torn")):
        assert not [each for each in planned(nothing) if each["to"]["commit"]]
