# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib
import sys
import typing as t

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tools"))

import pytest

# A role that keeps every rule. Each test breaks one.
GOOD_ROLE = {
    "meta/main.yml": """---
galaxy_info:
  license: GPL-3.0-or-later
  platforms:
    - {name: Debian, versions: [bookworm, trixie]}
""",
    "meta/argument_specs.yml": """---
argument_specs:
  main:
    short_description: Tea is served.
    options:
      tea_temperature:
        type: int
        default: 80
        description: Temperature of the water in percent of boiling.
      tea_password:
        type: str
        required: true
        no_log: true
        description: Opens the tin.
""",
    "defaults/main.yml": """---
# Temperature of the water in percent of boiling.
tea_temperature: 80
""",
    "vars/main.yml": """---
tea__tin: /tin
""",
    "tasks/main.yml": """---
- name: Tea is made
  ansible.builtin.template:
    src: tea.j2
    dest: "{{ tea__tin }}"
  register: tea__made
  when: tea_temperature > 50

- name: Tea is tasted
  ansible.builtin.debug:
    var: tea__made
  loop: "{{ tea__made.results }}"
  loop_control:
    loop_var: tea__cup
  when: tea__cup is changed
""",
    "templates/tea.j2": """{# tea_unknown is only spoken of here #}
{% for spoon in range(3) %}{{ spoon }} of tea_leaves {{ tea_password | litefarm.platform.secretly }}
{% endfor %}
""",
}


class Tree:
    """A small checkout with one good role in it."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.role = root / "roles" / "tea"
        for name, text in GOOD_ROLE.items():
            self.write(f"roles/tea/{name}", text)

    def write(self, name: str, text: str) -> pathlib.Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def change(self, name: str, old: str, new: str) -> None:
        path = self.role / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> t.Iterator[Tree]:
    yield Tree(tmp_path)
