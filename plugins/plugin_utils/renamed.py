# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables and groups that were renamed: an inventory with an old name is refused with the new one."""

from __future__ import annotations

import os
import re

from ansible_collections.litefarm.platform.plugins.plugin_utils.variables import short_path, variable_files

# Old name to new one. A line here is all that a rename needs, beside one in CHANGELOG.md.
VARIABLES: dict[str, str] = {}
GROUPS: dict[str, str] = {}


def variable_problems(names, places, renamed=None):
    """Sentences about variables that have their old names."""
    table = VARIABLES if renamed is None else renamed
    found = sorted(set(names) & set(table))
    return ["The variable %s in %s is called %s now: rename it there." % (name, places.of(name), table[name]) for name in found]


def group_problems(groups, folders, renamed=None):
    """Sentences about groups that have their old names."""
    table = GROUPS if renamed is None else renamed
    found = sorted(set(groups) & set(table))
    return ["The group %s in %s is called %s now: rename it there." % (name, _group_places(name, folders), table[name]) for name in found]


def _group_places(group, folders):
    """The files that name a group, and those that have its variables."""
    name = re.escape(group)
    key = re.compile(r"""^(?:[ \t]*|[^#\n]*[{,][ \t]*)["']?%s["']?[ \t]*:(?=\s|$)|^\[%s(?::\w+)?\]""" % (name, name), re.MULTILINE)
    found = []
    for folder in folders:
        for path in sorted(variable_files(folder)):
            parts = os.path.relpath(path, folder).split(os.sep)
            if parts[0] == "group_vars":
                named = os.path.splitext(parts[1])[0] == group
            else:
                named = parts[0] != "host_vars" and _has(path, key)
            if named:
                found.append(short_path(path))
    return " and ".join(found) or "the inventory"


def _has(path, pattern):
    with open(path, encoding="utf-8", errors="replace") as stream:
        return bool(pattern.search(stream.read()))
