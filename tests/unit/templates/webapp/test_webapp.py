# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The webapp's configuration holds its promises, and assets are kept as long as they should be."""

from __future__ import annotations

import re
import subprocess

import pytest


def cache_control(config, uri):
    """What the map of the configuration says for a path."""
    block = re.search(r"map \$uri \$cache_control \{(.*?)\n    \}", config, re.DOTALL).group(1)
    entries = re.findall(r"^\s+(\S+)\s+\"(.*)\";$", block, re.MULTILINE)
    return next((value for pattern, value in entries if pattern.startswith("~") and re.search(pattern[1:], uri)), dict(entries)["default"])


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("/assets/index-abc123.js", "immutable"),
        ("/workbox-1a2b.js", "immutable"),
        ("/index.html", "must-revalidate"),
        ("/sw.js", "must-revalidate"),
        ("/manifest.webmanifest", "must-revalidate"),
        ("/favicon.ico", ""),
        ("/other/assets/x.js", ""),
    ],
)
def test_each_file_is_cached_as_its_name_allows(render, uri, wanted):
    found = cache_control(render("webapp", "nginx.conf.j2"), uri)
    assert found == "" if not wanted else wanted in found


def test_no_location_has_headers_of_its_own_that_would_hide_the_common_ones(render):
    for location in re.findall(r"location [^{]+\{([^}]*)\}", render("webapp", "nginx.conf.j2")):
        assert "add_header" not in location


def test_headers_can_be_added_and_taken_away(render):
    config = render("webapp", "nginx.conf.j2", webapp_headers={"X-Frame-Options": "", "X-Test": 'a "b"'})
    assert "X-Frame-Options" not in config
    assert 'add_header X-Test "a \\"b\\"" always;' in config


def test_nothing_is_written_outside_tmp(render):
    config = render("webapp", "nginx.conf.j2")
    assert all(path.startswith("/tmp/") for path in re.findall(r"(?:_temp_path|pid) (\S+);", config))
    assert len(re.findall(r"_temp_path", config)) == 5


@pytest.fixture
def release(render, tmp_path):
    """release("a", "b"): the init command runs in an image with these assets; gives back what is retained then."""
    root, retained = tmp_path / "image", tmp_path / "retained"
    retained.mkdir()

    def run(*names, days_ago=0, keep_days=30, keep_releases=2):
        subprocess.run(["rm", "-rf", str(root)], check=True)
        (root / "assets").mkdir(parents=True)
        for name in names:
            (root / "assets" / f"{name}.js").write_text(name)
            (root / "assets" / f"{name}.js.map").write_text("source")
        (root / "workbox-1.js").write_text("workbox")
        script = tmp_path / "retain.sh"
        script.write_text(
            render(
                "webapp",
                "retain-assets.sh.j2",
                webapp__root=str(root),
                webapp__retained=str(retained),
                webapp_assets_keep_days=keep_days,
                webapp_assets_keep_releases=keep_releases,
            )
        )
        subprocess.run(["sh", str(script)], check=True)
        if days_ago:
            newest = max((retained / ".releases").iterdir(), key=lambda path: path.stat().st_mtime)
            subprocess.run(["touch", "--date", f"{days_ago} days ago 1 hour ago", str(newest)], check=True)
        return {path.stem for path in (retained / "assets").iterdir()}

    run.retained = retained
    return run


def test_assets_of_earlier_releases_stay(release):
    release("a", "shared")
    assert release("b", "shared") == {"a", "b", "shared"}
    assert (release.retained / "workbox-1.js").read_text() == "workbox"
    assert not list(release.retained.rglob("*.map"))


def test_old_releases_go_but_not_the_last_ones(release):
    release("a", days_ago=100)
    release("b", days_ago=90)
    assert release("c") == {"b", "c"}


def test_young_releases_stay_however_many(release):
    for name in "abcd":
        found = release(name)
    assert found == set("abcd")


def test_what_a_newer_release_still_uses_stays(release):
    release("a", "shared", days_ago=100)
    release("b", "shared", days_ago=90)
    assert release("c", "shared") == {"b", "c", "shared"}


def test_running_twice_changes_nothing_and_is_one_release(release):
    release("a", days_ago=50)
    assert release("b") == release("b") == {"a", "b"}
    assert len(list((release.retained / ".releases").iterdir())) == 2


def test_an_image_without_assets_is_refused(render, tmp_path):
    script = tmp_path / "retain.sh"
    script.write_text(render("webapp", "retain-assets.sh.j2", webapp__root=str(tmp_path), webapp__retained=str(tmp_path / "retained")))
    done = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "was it built?" in done.stderr
