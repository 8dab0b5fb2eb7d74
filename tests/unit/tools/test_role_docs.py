# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import role_docs


def run(tree, *arguments):
    return role_docs.main(["--roles", str(tree.root / "roles"), *arguments])


def test_check_fails_until_written_and_again_after_a_change(tree):
    assert run(tree, "--check") == 1
    assert run(tree) == 0
    assert run(tree, "--check") == 0
    tree.change("meta/argument_specs.yml", "Opens the tin.", "Opens the caddy.")
    assert run(tree, "--check") == 1


def test_check_writes_nothing(tree):
    run(tree, "--check")
    assert not (tree.role / "README.md").exists()


def test_readme_lists_required_variables_first_and_marks_secrets(tree):
    run(tree)
    rows = [line for line in (tree.role / "README.md").read_text().splitlines() if line.startswith("| `")]
    assert rows == [
        "| `tea_password` | str | required | Opens the tin. Secret. |",
        "| `tea_temperature` | int | `80` | Temperature of the water in percent of boiling. |",
    ]


def test_nested_options_choices_and_long_defaults(tree):
    tree.change(
        "meta/argument_specs.yml",
        "      tea_password:",
        """      tea_cups:
        type: list
        elements: dict
        default: [{size: small, note: "a cup that is small enough to be drunk at once | really"}]
        description: The cups, as C(size) says.
        options:
          size: {type: str, choices: [small, large], required: true, description: How big.}
      tea_password:""",
    )
    run(tree)
    text = (tree.role / "README.md").read_text()
    assert "| `tea_cups` | list of dict | below | The cups, as `size` says. |" in text
    assert "| `tea_cups[].size` | str | required | How big. One of `small`, `large`. |" in text
    assert "```yaml\ntea_cups:\n- size: small\n" in text
