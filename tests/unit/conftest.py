# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What unit tests share: the collection importable from the checkout, and templates rendered as Ansible renders them."""

from __future__ import annotations

import os
import pathlib
import sys
import typing as t

REPO = pathlib.Path(__file__).resolve().parents[2]

# Read by Ansible when it is imported, so this has to happen first.
os.environ["ANSIBLE_CONFIG"] = str(REPO / "ansible.cfg")

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

init_plugin_loader([str(REPO / "collections")])
sys.path.insert(0, str(REPO))


def trusted(value: t.Any) -> t.Any:
    """What a test passes counts as written in an inventory: its Jinja expressions are evaluated."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [trusted(item) for item in value]
    return value


class Role:
    """A role's own variables, merged as Ansible merges them, and what its templates make of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = REPO / "roles" / name
        self.loader = DataLoader()
        self.loader.set_basedir(str(self.path))

    def variables(self, **overrides: t.Any) -> dict[str, t.Any]:
        merged: dict[str, t.Any] = {
            "ansible_facts": {},
            "ansible_managed": "Ansible managed",
            "ansible_search_path": [str(self.path)],
            "ansible_check_mode": False,
            "inventory_hostname": "litefarmapp",
            "groups": {},
            "hostvars": {},
            "role_name": self.name,
            "role_path": str(self.path),
        }
        for part in ("defaults", "vars"):
            path = self.path / part / "main.yml"
            if path.exists():
                merged |= self.loader.load_from_file(str(path), trusted_as_template=True) or {}
        return merged | {key: trusted(value) for key, value in overrides.items()}

    def templar(self, **overrides: t.Any) -> Templar:
        searchpath = [str(self.path / "templates"), str(self.path)]
        return Templar(loader=self.loader).copy_with_new_env(searchpath=searchpath, available_variables=self.variables(**overrides))

    def render(self, template: str, **overrides: t.Any) -> str:
        source = trust_as_template((self.path / "templates" / template).read_text(encoding="utf-8"))
        result = self.templar(**overrides).template(source, escape_backslashes=False, overrides={"trim_blocks": True})
        return result if result is not None else ""

    def evaluate(self, value: t.Any, **overrides: t.Any) -> t.Any:
        """The value of a variable's name ("api_ports") or of a template ("{{ api_ports | length }}")."""
        template = value if "{{" in value else "{{ %s }}" % value
        return self.templar(**overrides).template(trust_as_template(template))


@pytest.fixture(scope="session")
def repo() -> pathlib.Path:
    return REPO


@pytest.fixture(scope="session")
def role() -> t.Callable[[str], Role]:
    return Role


@pytest.fixture(scope="session")
def render() -> t.Callable[..., str]:
    """render("nginx", "nginx.conf.j2", nginx_sites=[...]): the file's text, with the role's defaults and vars underneath."""

    def render_template(role_name: str, template: str, /, **overrides: t.Any) -> str:
        return Role(role_name).render(template, **overrides)

    return render_template


@pytest.fixture(scope="session")
def evaluate() -> t.Callable[..., t.Any]:
    """evaluate("postgres", "postgres_settings", ansible_facts={...}): a variable of a role as a task would see it."""

    def evaluate_variable(role_name: str, value: str, /, **overrides: t.Any) -> t.Any:
        return Role(role_name).evaluate(value, **overrides)

    return evaluate_variable
