# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible prints of a refusal is its sentence."""

from __future__ import annotations

import re

from tests.support.playbooks import REPO


def test_a_refusal_is_not_preceded_by_the_expression_that_was_false():
    """The result of ansible.builtin.assert is the expression, its value and then the message; of ansible.builtin.fail only the message."""
    files = [*(REPO / "playbooks").rglob("*.yml"), *(REPO / "roles").rglob("tasks/*.yml")]
    assert len(files) > 40
    assert [str(path.relative_to(REPO)) for path in files if re.search(r"^ *(- )?ansible\.builtin\.assert:", path.read_text(), re.MULTILINE)] == []
