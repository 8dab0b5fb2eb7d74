# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image files under their host name: for reading, one by one."""

from __future__ import annotations

import pytest

from tests.support import lab

pytestmark = pytest.mark.group("image_files")

NAME = lab.settings(lab.environments()[0])["litefarm_image_host_name"]
FOLDER = "/srv/litefarm/images"


@pytest.fixture(scope="module")
def picture():
    """A file that somebody has put there."""
    host = lab.connect(lab.hosts(lab.environments()[0])["image_files"][0])
    host.check_output(f"mkdir -p {FOLDER}/crops && echo a-crop > {FOLDER}/crops/maize.txt && echo hidden > {FOLDER}/.hidden")
    host.check_output(f"ln -sf /etc/hostname {FOLDER}/link.txt")
    return "/crops/maize.txt"


def test_a_file_is_served(ask, picture):
    answer = ask(NAME, picture)
    assert (answer.status, answer.text) == (200, "a-crop\n")
    assert "max-age=" in answer.getheader("Cache-Control")
    assert ask(NAME, "/crops/wheat.txt").status == 404


def test_a_folder_is_not_listed_and_links_and_hidden_files_are_not_followed(ask, picture):
    assert "maize" not in ask(NAME, "/crops/").text
    assert ask(NAME, "/.hidden").status == 404
    assert ask(NAME, "/link.txt").status in (403, 404)
    assert ask(NAME, "/crops/..%2f..%2f..%2f..%2fetc/hostname").status in (400, 403, 404)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_nothing_can_be_changed(ask, picture, method):
    assert ask(NAME, picture, method=method, body=b"other").status in (403, 405)
    assert ask(NAME, picture).text == "a-crop\n"
