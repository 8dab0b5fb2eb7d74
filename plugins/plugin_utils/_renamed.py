# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables and groups that were renamed: an inventory with an old name is refused with the new one."""

from __future__ import annotations

import os
import re

from ansible_collections.litefarm.platform.plugins.plugin_utils._variables import short_path, variable_files

# Old name to new one. A line here is all that a rename needs, beside one in CHANGELOG.md.
VARIABLES: dict[str, str] = {
    "api_healthy_after": "api_success_threshold",
    "export_scheduler_healthy_after": "export_scheduler_success_threshold",
    "imaginary_healthy_after": "imaginary_success_threshold",
    "litefarm_edge_addresses": "litefarm_load_balancer_addresses",
    "litefarm_edge_clients": "litefarm_load_balancer_clients",
    "litefarm_edge_sites": "litefarm_load_balancer_sites",
    "litefarm_images": "litefarm_container_images",
    "litefarm_images_copy": "litefarm_image_files_copy",
    "litefarm_images_site": "litefarm_image_files_site",
    "litefarm_images_site_base": "litefarm_image_files_site_base",
    "verify_behind_edge": "verify_behind_load_balancer",
    "webapp_healthy_after": "webapp_success_threshold",
}
GROUPS: dict[str, str] = {
    "edge": "load_balancer",
    "images": "image_files",
}


def variable_problems(names, places, renamed=None):
    """Sentences about variables that have their old names."""
    table = VARIABLES if renamed is None else renamed
    found = sorted(set(names) & set(table))
    return ["The variable %s in %s is called %s now: rename it there." % (name, places.of(name), table[name]) for name in found]


def group_problems(groups, folders, renamed=None):
    """Sentences about groups that have their old names, also of those that only a file of variables names."""
    table = GROUPS if renamed is None else renamed
    problems = []
    for name, new in sorted(table.items()):
        files = _with_variables(name, folders)
        if name in groups:
            files = sorted(set(files) | set(_with_group(name, folders))) or ["the inventory"]
        if files:
            problems.append("The group %s in %s is called %s now: rename it there." % (name, " and ".join(files), new))
    return problems


def by_new_names(groups, renamed=None):
    """The groups as they will be once they have their new names."""
    table = GROUPS if renamed is None else renamed
    found = {}
    for name, members in groups.items():
        known = found.setdefault(table.get(name, name), [])
        known += [host for host in members if host not in known]
    return found


def _with_variables(group, folders):
    """The files of variables of a group."""
    found = []
    for parent in (os.path.join(folder, "group_vars") for folder in folders):
        for path in variable_files(parent):
            if os.path.splitext(os.path.relpath(path, parent).split(os.sep)[0])[0] == group:
                found.append(short_path(path))
    return sorted(found)


def _with_group(group, folders):
    """The files of inventories that name a group."""
    name = re.escape(group)
    key = re.compile(r"""^(?:[ \t]*|[^#\n]*[{,][ \t]*)["']?%s["']?[ \t]*:(?=\s|$)|^\[%s(?::\w+)?\]""" % (name, name), re.MULTILINE)
    found = []
    for folder in folders:
        for path in variable_files(folder):
            if os.path.relpath(path, folder).split(os.sep)[0] not in ("group_vars", "host_vars") and _has(path, key):
                found.append(short_path(path))
    return sorted(found)


def _has(path, pattern):
    with open(path, encoding="utf-8", errors="replace") as stream:
        return bool(pattern.search(stream.read()))
