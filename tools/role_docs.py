# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes roles/*/README.md from the roles' argument specs; with --check it only says which of them are out of date."""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import sys
import typing as t

import yaml

REPO = pathlib.Path(__file__).resolve().parents[1]
HEADER = "<!-- Written by `make docs` from meta/argument_specs.yml; do not edit. -->\n"
SHORT_DEFAULT = 60


def prose(value: t.Any) -> list[str]:
    """Paragraphs of a description, with Ansible's markup turned into Markdown's."""
    paragraphs = value if isinstance(value, list) else [value] if value else []
    return [_markup(re.sub(r"\s+", " ", str(paragraph)).strip()) for paragraph in paragraphs]


def _markup(text: str) -> str:
    text = re.sub(r"\b[CVOEM]\(([^()]*(?:\([^()]*\)[^()]*)*)\)", r"`\1`", text)
    text = re.sub(r"\bB\(([^)]*)\)", r"**\1**", text)
    text = re.sub(r"\bI\(([^)]*)\)", r"*\1*", text)
    text = re.sub(r"\bL\(([^,)]*),\s*([^)]*)\)", r"[\1](\2)", text)
    return re.sub(r"\bU\(([^)]*)\)", r"<\1>", text)


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def type_of(option: dict[str, t.Any]) -> str:
    kind = option.get("type", "str")
    return f"list of {option['elements']}" if kind == "list" and option.get("elements") else kind


def default_of(name: str, option: dict[str, t.Any], later: list[tuple[str, t.Any]]) -> str:
    if option.get("required"):
        return "required"
    if "default" not in option:
        return "none"
    value = option["default"]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if "{{" in text and isinstance(value, str):
        text = re.sub(r"\s+", " ", text)
    if len(text) > SHORT_DEFAULT or "\n" in text:
        later.append((name, value))
        return "below"
    return f"`{text}`" if text else "empty"


def rows(options: dict[str, t.Any], later: list[tuple[str, t.Any]], trail: str = "") -> t.Iterator[str]:
    ordered = sorted(options.items(), key=lambda item: not item[1].get("required")) if not trail else options.items()
    for name, option in ordered:
        full = f"{trail}{name}"
        meaning = " ".join(prose(option.get("description")))
        if option.get("choices"):
            meaning += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
        if option.get("no_log"):
            meaning += " Secret."
        yield f"| `{full}` | {type_of(option)} | {cell(default_of(full, option, later))} | {cell(meaning)} |"
        if option.get("options"):
            yield from rows(option["options"], later, f"{full}[]." if option.get("type") == "list" else f"{full}.")


def readme(role: pathlib.Path) -> str:
    main = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]["main"]
    info = yaml.safe_load((role / "meta" / "main.yml").read_text(encoding="utf-8"))["galaxy_info"]
    name = f"litefarm.platform.{role.name}"
    parts = [f"# {name}\n", HEADER, "\n\n".join(prose(main.get("short_description")) + prose(main.get("description"))) + "\n"]
    later: list[tuple[str, t.Any]] = []
    if main.get("options"):
        table = ["| variable | type | default | meaning |", "|---|---|---|---|", *rows(main["options"], later)]
        parts += ["## Variables\n", "\n".join(table) + "\n"]
    if later:
        shown = yaml.safe_dump(dict(later), sort_keys=False, allow_unicode=True, width=120, default_flow_style=False)
        parts += ["Longer defaults:\n", f"```yaml\n{shown}```\n"]
    required = [option for option, spec in (main.get("options") or {}).items() if spec.get("required")]
    example = [f"- hosts: {role.name}", "  become: true", "  gather_facts: false", "  roles:", f"    - role: {name}"]
    if required:
        example += ["      vars:", *(f'        {option}: "{{{{ … }}}}"' for option in required)]
    parts += ["## Use\n", "```yaml\n" + "\n".join(example) + "\n```\n"]
    platforms = ", ".join(f"{item['name']} {' and '.join(map(str, item['versions']))}" for item in info.get("platforms", []))
    parts.append(f"Supported: {platforms}. License: {info['license']}.\n")
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--roles", type=pathlib.Path, default=REPO / "roles")
    options = parser.parse_args(arguments)
    stale = 0
    for specs in sorted(options.roles.glob("*/meta/argument_specs.yml")):
        role = specs.parents[1]
        path, text = role / "README.md", readme(role)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if options.check:
            stale += 1
            print(f"{path.relative_to(options.roles.parent)} is out of date: run make docs")
        else:
            path.write_text(text, encoding="utf-8")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
