# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a farm on their way through the whole of production: API, pictures, queues, scheduler, bucket."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.farm import FARM, Farm
from tests.support.pictures import png, webp_width


@pytest.fixture(scope="module")
def farm():
    return Farm("production")


def test_a_picture_is_stored_together_with_a_small_one(farm):
    status, body = farm.upload(png(seed=1), "field.png")
    assert status == 201, body
    answer = json.loads(body)
    assert farm.object(answer["url"].partition(".com/")[2]) == png(seed=1)
    assert webp_width(farm.object(answer["thumbnail_url"].partition(".com/")[2])) == 300


def test_a_picture_that_is_none_or_too_large_is_refused_and_the_api_lives(farm):
    assert farm.upload(b"no picture", "field.png")[0] == 400
    assert farm.upload(b"x" * 25 * 1024 * 1024, "field.png")[0] == 413
    assert farm.upload(png(seed=2), "field.png")[0] == 201


def test_an_export_of_twenty_files_reaches_the_bucket(farm, record_property):
    for number in range(20):
        assert farm.upload(png(320, 240, seed=number), f"picture-{number}.png")[0] == 201
    earlier = farm.exports()
    began = time.monotonic()
    assert farm.request_export() == 200
    (export,) = farm.wait_for_exports(earlier)
    record_property("export", f"of {len(farm.files_of(export))} files in {time.monotonic() - began:.1f} s")
    assert export.startswith(f"{FARM}/document/exports/")
    assert len(farm.files_of(export)) >= 20
