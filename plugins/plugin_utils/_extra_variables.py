# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables that a person gives to one run with option -e. An inventory cannot set them."""

from __future__ import annotations

from ansible.utils.vars import load_extra_vars

# Short name to name. The short names are accepted in release 0.1 only.
SHORT_NAMES = {
    short: "litefarm_%s" % short
    for short in (
        "cluster", "confirm", "database", "finish", "force", "key_file", "message", "migrations", "new_database",
        "new_secrets", "secret", "state", "to", "type",
    )
}  # fmt: skip
NAMES = {*SHORT_NAMES.values(), "litefarm_name", "litefarm_pull_images"}


def full(name):
    """The name that the platform reads for a name of option -e."""
    return SHORT_NAMES.get(name, name)


def values(loader, name):
    """The value of option -e in a list, which is empty if the option does not have the variable."""
    return [value for each, value in load_extra_vars(loader).items() if full(each) == name]


def given_twice(extra):
    """Sentences about variables that option -e has under both names."""
    both = [(short, name) for short, name in SHORT_NAMES.items() if {short, name} <= set(extra)]
    return ["Option -e has %s and %s, which are the same: give %s alone." % (short, name, name) for short, name in both]


def in_inventory(names, extra, places):
    """Sentences about variables of option -e that an inventory sets."""
    found = sorted((set(names) & NAMES) - set(extra))
    return ["%s in %s has no effect there: remove it, and give it with option -e to the run that needs it." % (name, places.of(name)) for name in found]
