# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample's jobs, as far as they run without any package: when notifications are due, and the words of an export."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.support.node import NODE

PACKAGES = Path(__file__).parents[3] / "lab" / "sample" / "packages"
JOBS = PACKAGES / "api" / "src" / "jobs"


def node(script, folder):
    return subprocess.run([NODE, "--input-type=module", "--eval", script], cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def week():
    """What is due in every hour of a week: (day, hour, zone, kind)."""
    script = f"""
        import {{ due }} from '{(JOBS / "due.js").as_uri()}';
        const hours = Array.from({{ length: 7 * 24 }}, (_, index) => [Math.floor(index / 24), index % 24]);
        const all = hours.flatMap(([day, hour]) => due(day, hour).flatMap(({{ zone, kinds }}) => kinds.map((kind) => [day, hour, zone, kind])));
        console.log(JSON.stringify(all));
    """
    done = node(script, JOBS)
    assert done.returncode == 0, done.stderr
    return [tuple(entry) for entry in json.loads(done.stdout)]


def test_every_zone_has_its_notifications_once_a_day_and_the_weekly_one_once_a_week(week):
    times = Counter((zone, kind) for _, _, zone, kind in week)
    zones = range(-11, 15)
    assert times == {
        **{(zone, "DailyTasksDue"): 7 for zone in zones},
        **{(zone, "DailyNewIrrigationPrescription"): 7 for zone in zones},
        **{(zone, "WeeklyUnassigned"): 1 for zone in zones},
    }


@pytest.mark.parametrize(
    ("day", "hour", "zone", "kind"),
    [
        (3, 5, 0, "DailyTasksDue"),
        (3, 4, 0, "DailyNewIrrigationPrescription"),
        # 5 in the morning in Vancouver, in winter.
        (3, 13, -8, "DailyTasksDue"),
        # Monday's morning begins on Monday in London, and on Sunday in Auckland as London sees it.
        (1, 5, 0, "WeeklyUnassigned"),
        (0, 17, 12, "WeeklyUnassigned"),
    ],
)
def test_notifications_are_due_in_the_morning_of_their_zone(week, day, hour, zone, kind):
    assert (day, hour, zone, kind) in week


@pytest.fixture
def image(tmp_path):
    """A working directory as in the scheduler's image: the API's files and the webapp's names of crops."""
    shutil.copytree(JOBS / "locales", tmp_path / "src" / "jobs" / "locales")
    for crops in (PACKAGES / "webapp" / "public" / "locales").glob("*/crop.json"):
        shutil.copy(crops, tmp_path / "src" / "jobs" / "locales" / crops.parent.name)
    return tmp_path


def translate(image, language):
    translator = (image / "src" / "jobs" / "locales" / "translator.js").as_uri()
    script = f"""
        import {{ translator }} from '{translator}';
        const {{ word, crop }} = translator('{language}');
        console.log(JSON.stringify([word('CROPS'), crop('BARLEY'), crop('DRAGON_FRUIT')]));
    """
    return node(script, image)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Crops", "Barley", "DRAGON_FRUIT"]),
        ("fr", ["Cultures", "Orge", "DRAGON_FRUIT"]),
        ("km", ["ដំណាំ", "ស្រូវបាឡេ", "DRAGON_FRUIT"]),
        ("tlh", ["Crops", "Barley", "DRAGON_FRUIT"]),
    ],
)
def test_an_export_speaks_its_readers_language_or_english(image, language, words):
    done = translate(image, language)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == words


def test_without_a_languages_crops_nothing_starts(image):
    (image / "src" / "jobs" / "locales" / "pa" / "crop.json").unlink()
    done = translate(image, "en")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "missing: src/jobs/locales/pa/crop.json;" in done.stderr
