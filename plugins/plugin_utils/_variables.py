# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of variables: known names, types, ranges and where a value comes from. Every check answers with whole sentences."""

from __future__ import annotations

import difflib
import fnmatch
import os
import re

SOURCE_FILES = (".yml", ".yaml", ".ini", ".json", "")


def short_path(path):
    """As a person at this folder would write it."""
    relative = os.path.relpath(path)
    return os.path.abspath(path) if relative.startswith("..") else relative


def definitions(name, folders):
    """The files below the folders in which a variable is defined, cheaply found by its name before a colon or an equals sign."""
    pattern = re.compile(r"^(?![ \t]*#)(?:.*[\s{,])?[\"']?%s[\"']?[ \t]*(?::(?=\s|$)|=(?!=))" % re.escape(name), re.MULTILINE)
    found = []
    for folder in folders:
        for path in sorted(variable_files(folder)):
            with open(path, encoding="utf-8", errors="replace") as stream:
                if pattern.search(stream.read()):
                    found.append(short_path(path))
    return found


def variable_files(folder):
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if os.path.splitext(name)[1] in SOURCE_FILES and os.path.isfile(os.path.join(parent, name)):
                yield os.path.join(parent, name)


def not_text(name, place, value):
    """A sentence about a value that YAML did not read as text: 3.10 is 3.1 then, and 0123456 another number."""
    return "%s in %s is read as %s and not as text, which may have changed it: put it in quotes, as in %s: \"1.10\"." % (name, place, _kind(value), name)


def _kind(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return "the number %s" % value
    return "a date" if hasattr(value, "isoformat") else "something else"


class Places:
    """Says in which file a variable is, or where it should be."""

    def __init__(self, inventory_folders, playbook_folders=(), extra_names=()):
        self._inventory = list(inventory_folders)
        self._playbooks = list(playbook_folders)
        self._extra = set(extra_names)

    def of(self, name, otherwise=None):
        if name in self._extra:
            return "option -e of the command line"
        found = definitions(name, self._inventory) or definitions(name, self._playbooks)
        if found:
            return " and ".join(found)
        if otherwise:
            return otherwise
        return self.vault() if name.startswith("vault_") else self.home()

    def in_inventory(self, name):
        """The inventory's files that set it."""
        return definitions(name, self._inventory)

    def home(self):
        return self._in_environment("main.yml")

    def vault(self):
        return self._in_environment("vault.yml")

    def _in_environment(self, name):
        # An inventory beside the environment's own (Molecule has one) has no variables of it.
        folders = [folder for folder in self._inventory if os.path.isdir(os.path.join(folder, "group_vars", "litefarm"))]
        folder = (folders or self._inventory or ["inventories/<environment>"])[0]
        return short_path(os.path.join(folder, "group_vars", "litefarm", name))


def nearest(name, known, prefixes=()):
    """The known name that was probably meant, or None: first among those of the same prefix."""
    candidates = sorted(each for each in known if "__" not in each)
    for prefix in sorted(prefixes, key=len, reverse=True):
        if name.startswith(prefix):
            # Without the prefix, which would make any two names alike.
            rests = [each[len(prefix) :] for each in candidates if each.startswith(prefix)]
            close = difflib.get_close_matches(name[len(prefix) :], rests, n=1, cutoff=0.6)
            if close:
                return prefix + close[0]
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.85)
    return close[0] if close else None


def misspelled(names, known, prefixes, places):
    """Sentences about variables that nothing reads: with a prefix of ours, or all but equal to a known name."""
    problems = []
    for name in sorted(set(names) - set(known)):
        meant = nearest(name, known, prefixes)
        if not meant and not name.startswith(tuple(prefixes)):
            continue
        advice = "rename it to %s if that is meant, or remove it" % meant if meant else "remove it"
        problems.append("Nothing reads the variable %s in %s: %s." % (name, places.of(name), advice))
    return problems


def out_of_range(name, value, limits, place):
    """Sentences about a value outside the limits of its name's pattern."""
    problems = []
    for pattern, limit in sorted(limits.items()):
        if not fnmatch.fnmatch(name, pattern):
            continue
        for item in value if isinstance(value, list) else [value]:
            problems += _outside(name, item, limit, place)
    return problems


def _outside(name, value, limit, place):
    if value is None or value == "":
        return []
    if "matches" in limit:
        if re.fullmatch(limit["matches"], str(value)):
            return []
        return ["%s in %s is '%s', which is not %s: correct it." % (name, place, value, limit["meaning"])]
    try:
        number = float(value)
    except (TypeError, ValueError):
        return []
    low, high = limit.get("minimum"), limit.get("maximum")
    if (low is None or number >= low) and (high is None or number <= high):
        return []
    bounds = "at least %s" % low if high is None else "at most %s" % high if low is None else "from %s to %s" % (low, high)
    return ["%s in %s is %s: set it to a number %s." % (name, place, int(number) if number.is_integer() else number, bounds)]


def replaced(name, given, own, place):
    """A sentence if entries of a dictionary take the place of those that its role sets itself."""
    both = sorted(key for key, value in own.items() if value not in (None, "") and key in given and str(given[key]) != str(value))
    return ["%s in %s replaces %s of the role: remove what is not meant." % (name, place, " and ".join(both))] if both else []


def scattered(name, files):
    """A sentence if several files set a dictionary: Ansible takes one of them whole."""
    if len(files) < 2:
        return []
    return ["%s is set in %s, and a droplet gets the entries of one of them only: put them into one file." % (name, " and ".join(files))]


def independent(problems, raw_values):
    """Without the problems of variables that are computed from another one with a problem: correcting that one corrects them."""
    return [sentence for name, sentences in problems.items() if not _used(name, raw_values) & (set(problems) - {name}) for sentence in sentences]


def _used(name, raw_values):
    """The words of a variable's expression, and of those of the variables among them."""
    words, waiting = set(), [name]
    while waiting:
        text = str(raw_values.get(waiting.pop(), ""))
        found = set(re.findall(r"\w+", text)) - words if "{{" in text else set()
        words |= found
        # Not hostvars and the like, whose text is every variable.
        waiting += [word for word in found if isinstance(raw_values.get(word), str)]
    return words


def first_sentence(description):
    """What a variable is for, in few words."""
    text = description[0] if isinstance(description, list) and description else description
    return str(text or "").split(". ", maxsplit=1)[0].rstrip(".")
