# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the containers of all droplets are, against the history of the environment."""

from __future__ import annotations

from ansible_collections.litefarm.platform.plugins.module_utils import _ledger as ledger
from ansible_collections.litefarm.platform.plugins.module_utils._verification import rows
from ansible_collections.litefarm.platform.plugins.plugin_utils._verification import inside, releases

CHECK = {"check": "releases", "kind": "releases", "path": "/ledger"}
V1 = {"version": "v1", "commit": "a" * 40}
V2 = {"version": "v2", "commit": "b" * 40}


def record(to, result="ok", message=""):
    images = {"api": "api@%s" % to["version"], "webapp": "webapp@%s" % to["version"]}
    return ledger.complete({"kind": "deploy", "result": result, "to": to, "images": images, "message": message}, 0, {})


def container(image, status="running"):
    return {"name": "x", "service": image.partition("@")[0], "status": status, "image": image}


def compared(history, **containers):
    found = [rows.row("page", "one", "200", "200", True), *inside.check_releases(CHECK, {"history": {"records": history, "error": None}}, "one")]
    others, notes = releases.compared(found, containers)
    assert others[0] == found[0] and len(others) == 2 and "history" not in others[1]
    return others[1]["seen"], others[1]["result"], notes


def test_one_release_everywhere():
    history = [record(V1), record(V2)]
    assert compared(history, one=[container("api@v2"), container("api@v1", "exited")], two=[container("webapp@v2")]) == ("v2 (bbbbbbb)", "ok", [])
    # What is not in the history is no release: postgres, or an image of long ago.
    assert compared(history, one=[container("postgres@17"), container("api@v0")]) == ("none of the history", "ok", [])
    assert compared([]) == ("none of the history", "ok", [])


def test_droplets_on_two_releases_are_a_warning():
    seen, result, (note,) = compared([record(V1), record(V2)], one=[container("api@v2")], two=[container("api@v1")], three=[])
    assert (seen, result) == ("v2 (bbbbbbb), v1 (aaaaaaa)", "WARN")
    assert "(v2 (bbbbbbb): api on one; v1 (aaaaaaa): api on two)" in note


def test_a_partial_release_is_a_warning_also_where_the_others_are_not_asked():
    history = [record(V1), record(V2, "partial", "two stays on v1 (aaaaaaa)")]
    seen, result, notes = compared(history, one=[container("api@v2")])
    assert (seen, result) == ("v2 (bbbbbbb) on some droplets only", "WARN")
    assert notes == ["The last release, v2 (bbbbbbb), is in place on some droplets only: two stays on v1 (aaaaaaa)."]
    assert len(compared(history, one=[container("api@v2")], two=[container("api@v1")])[2]) == 2


def test_a_history_that_cannot_be_read_is_a_warning():
    (row,) = inside.check_releases(CHECK, {"history": {"records": [], "error": "It cannot be used."}}, "one")
    assert (row["seen"], row["result"]) == ("It cannot be used.", "WARN")
    assert releases.compared([row], {}) == ([row], [])
