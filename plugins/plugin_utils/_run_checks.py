# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of how a playbook was started: its options, its extra variables, and the settings of Ansible. Every check answers with whole sentences."""

from __future__ import annotations

import difflib
import os
import re
import typing as t

import jinja2
import jinja2.meta
import yaml
from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager, split_host_pattern
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars
from ansible.vars.manager import VariableManager

from ansible_collections.litefarm.platform.plugins.plugin_utils import (
    _extra_variables as extra_variables,
    _renamed as renamed,
    _secret_rules as secret_rules,
)
from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import COLLECTION, available_roles, evaluate, inventory_folders, report
from ansible_collections.litefarm.platform.plugins.plugin_utils._droplet_rules import environment_problems, first_line
from ansible_collections.litefarm.platform.plugins.plugin_utils._variables import SOURCE_FILES, Places, nearest, not_text, short_path, variable_files

display = Display()

# Files whose variables are inputs of every playbook that runs preflight.yml.
PREFLIGHT = ["vars/preflight.yml", "vars/images.yml"]


class Playbook(t.NamedTuple):
    """What a playbook reads from option -e beside the variables of roles, inventory and playbooks/group_vars/all.yml."""

    # Name to type: text, bool, or switch (on and off, which YAML reads as true and false).
    variables: dict
    # Files of playbooks/ whose variables may be given, too.
    files: list = []
    # A playbook that only looks runs even if a file of the inventory would be refused.
    only_looks: bool = False
    # One that brings the environment back does so, too, and warns of that file.
    brings_back: bool = False


# What an environment does not have yet, or has lost for good.
FIRST_TIME = {"litefarm_new_database": "bool", "litefarm_new_secrets": "bool"}
# Which playbook reads which of extra_variables.NAMES: one that is not listed for a playbook is refused there.
PLAYBOOKS = {
    "backup": Playbook({"litefarm_type": "text", "litefarm_name": "text"}),
    "backups": Playbook({"litefarm_key_file": "text"}, only_looks=True),
    "build": Playbook({}, ["vars/images.yml"]),
    "deploy": Playbook({"litefarm_force": "bool"}, PREFLIGHT),
    "maintenance": Playbook({"litefarm_state": "switch", "litefarm_message": "text"}),
    "preflight": Playbook(FIRST_TIME, PREFLIGHT),
    "recover": Playbook({"litefarm_confirm": "text", "litefarm_cluster": "text", **FIRST_TIME}, PREFLIGHT),
    "restore": Playbook({"litefarm_to": "text", "litefarm_confirm": "text", "litefarm_cluster": "text", "litefarm_database": "text"}, PREFLIGHT),
    "rollback": Playbook({"litefarm_to": "text", "litefarm_force": "bool"}, PREFLIGHT, brings_back=True),
    "rotate": Playbook({"litefarm_secret": "text", "litefarm_finish": "bool", "litefarm_force": "bool"}, PREFLIGHT),
    "secrets": Playbook({"litefarm_new_secrets": "bool"}),
    "site": Playbook({"litefarm_force": "bool", "litefarm_pull_images": "bool", **FIRST_TIME}, PREFLIGHT),
    "status": Playbook({}, only_looks=True),
    "storage": Playbook({}, ["vars/storage.yml"]),
    "unlock": Playbook({"litefarm_migrations": "bool"}, brings_back=True),
    "verify": Playbook({}, ["vars/verify.yml"], only_looks=True),
}

# Settings of Ansible under which a playbook would do something else than it says: value that is good, and what any other one does.
# What else a person may set changes how a run looks, how it logs in or how long it takes, or is overruled by keywords of the plays.
SETTINGS = {
    "DEFAULT_HASH_BEHAVIOUR": ("replace", "dictionaries of several files would be merged instead of replaced"),
    "VARIABLE_PRECEDENCE": (
        ["all_inventory", "groups_inventory", "all_plugins_inventory", "all_plugins_play", "groups_plugins_inventory", "groups_plugins_play"],
        "the value of another file would win",
    ),
    "RUN_VARS_PLUGINS": ("demand", "playbooks/group_vars/all.yml would not be read"),
    "DEFAULT_KEEP_REMOTE_FILES": (False, "files with secrets would stay on the droplets"),
    "TASK_TIMEOUT": (0, "a task would be given up here while it goes on on the droplet"),
}

# Molecule always gives these, and no task has them.
HARMLESS_TAGS = {"molecule-notest", "notest", "molecule-idempotence-notest"}


def check(loader, variables, pattern, may_be_empty=False, host_problems=()):
    """The report of everything that is wrong with this run, or an empty text. The last argument is what vault_problems or named_host says."""
    if any(context.CLIARGS.get(option) for option in ("syntax", "listhosts", "listtasks", "listtags")):
        return ""
    names = playbook_names(context.CLIARGS.get("args") or ())
    problems = option_problems(context.CLIARGS) + setting_problems(C.config.get_config_value_and_origin) + checkout_problems(variables)
    problems += extra_problems(load_extra_vars(loader), names, loader, inventory_folders(variables))
    if not variables["groups"].get("litefarm"):
        problems += environment_problems({}, {})
    elif host_problems:
        problems += host_problems
    else:
        problems += limit_problems(loader, variables, pattern, may_be_empty)
    if "verify" in names:
        # It asks by group, and without preflight.yml.
        problems += renamed.group_problems(variables["groups"], inventory_folders(variables))
    if not names or not all(PLAYBOOKS[name].only_looks for name in names):
        open_files = plain_text_problems(inventory_folders(variables))
        if names and all(PLAYBOOKS[name].only_looks or PLAYBOOKS[name].brings_back for name in names):
            for sentence in open_files:
                display.warning(sentence)
        else:
            problems += open_files
    return report(problems) if problems else ""


def playbook_names(arguments):
    """The platform's playbooks among those of the command line. There are none if another playbook imports ours."""
    names = []
    for argument in arguments:
        file = os.path.basename(argument)
        names.append(os.path.splitext(file)[0] if file.endswith((".yml", ".yaml")) else file.rpartition(".")[2])
    return [name for name in names if name in PLAYBOOKS]


def option_problems(options):
    """Sentences about options that would leave tasks out: no playbook is right without all of its tasks."""
    tags, skipped = set(options.get("tags") or ["all"]), set(options.get("skip_tags") or []) - HARMLESS_TAGS
    found = []
    if "all" not in tags:
        found.append("--tags %s (or ANSIBLE_RUN_TAGS)" % ",".join(sorted(tags)))
    if skipped:
        found.append("--skip-tags %s (or ANSIBLE_SKIP_TAGS)" % ",".join(sorted(skipped)))
    if options.get("start_at_task"):
        found.append("--start-at-task '%s'" % options["start_at_task"])
    if options.get("step"):
        found.append("--step")
    problems = ["A run with %s would leave out tasks that the others need: start it without that option." % option for option in found]
    if str(options.get("connection")).rpartition(".")[2] == "local":
        problems.append(
            "With connection local (option -c, or ANSIBLE_TRANSPORT) this machine would be changed instead of the droplets: start the run without it."
        )
    return problems


def setting_problems(value_and_origin):
    """Sentences about settings of Ansible that change what a playbook means."""
    problems = []
    for name, (good, harm) in SETTINGS.items():
        value, origin = value_and_origin(name)
        if value != good:
            shown = ", ".join(value) if isinstance(value, list) else value
            problems.append("Ansible's setting %s is %s (%s), so %s: remove it there." % (name, shown, origin, harm))
    return problems


def checkout_problems(variables):
    """A sentence if the playbooks are those of another copy of the collection than its roles and plugins."""
    folder = os.path.realpath(variables["playbook_dir"])
    for root in (folder, os.path.dirname(folder)):
        if os.path.isfile(os.path.join(root, "galaxy.yml")) and os.path.isdir(os.path.join(root, "roles")) and root != os.path.realpath(COLLECTION):
            return [
                "The playbook is of %s, and its roles and plugins would be of %s: run it in its own folder, without ANSIBLE_COLLECTIONS_PATH."
                % (short_path(root), short_path(os.path.realpath(COLLECTION)))
            ]
    return []


def vault_problems(loader, variables):
    """A sentence if variables of droplets are encrypted and the run has no password, or another one."""
    groups = {name: members for name, members in variables["groups"].items() if members}
    used = {"group_vars": set(groups), "host_vars": {host for members in groups.values() for host in members}}
    for folder in inventory_folders(variables):
        for kind, names in used.items():
            for path in sorted(variable_files(os.path.join(folder, kind))):
                owner = os.path.relpath(path, os.path.join(folder, kind)).split(os.sep)[0]
                if owner in names or os.path.splitext(owner)[0] in names:
                    problem = _vault_problem(loader, path)
                    if problem:
                        return [problem]
    return []


def _vault_problem(loader, path):
    with open(path, encoding="utf-8", errors="replace") as stream:
        text = stream.read()
    if "$ANSIBLE_VAULT;" not in text:
        return None
    if not loader._vault.secrets:
        return (
            "%s is encrypted, and this run has no vault password: put it into a file that only you can read and export ANSIBLE_VAULT_PASSWORD_FILE=FILE, "
            "or add --ask-vault-pass." % short_path(path)
        )
    try:
        # Ansible reads the file again as one with templates, so it must not find this answer in the loader's cache.
        loader.load_from_file(path, cache="none")
    except AnsibleError as error:
        if "Decryption failed" in str(error):
            return "The vault password of this run does not open %s: give the one that it was encrypted with (ANSIBLE_VAULT_PASSWORD_FILE)." % short_path(path)
    return None


def inventory_of(loader, variables):
    """The inventories of this run, whole: C(--limit) leaves nothing out."""
    return InventoryManager(loader=loader, sources=list(variables.get("ansible_inventory_sources") or []))


def named_host(loader, templar, variables, pattern, name):
    """The host of the pattern that an environment-wide variable names, or the pattern and a sentence about why it names none."""
    inventory = inventory_of(loader, variables)
    hosts = inventory.get_hosts(pattern)
    if not hosts:
        return pattern, []
    manager = VariableManager(loader=loader, inventory=inventory)
    values = manager.get_vars(host=hosts[0])
    value, reason = evaluate(templar.copy_with_new_env(available_variables=values), values, name)
    if value in [host.name for host in hosts]:
        return value, []
    told = "has no value (%s)" % first_line(reason) if reason else "is '%s', which is not the name of a droplet" % (value or "")
    place = Places(inventory_folders(variables), [os.path.join(variables["playbook_dir"], "group_vars")], load_extra_vars(loader)).of(name)
    return pattern, ["%s in %s %s: name one of the inventory's hosts.yml." % (name, place, told)]


def limit_problems(loader, variables, pattern, may_be_empty=False):
    """Sentences about names in --limit that match nothing, which Ansible leaves out, or one if the limit leaves a play without a droplet."""
    limit = context.CLIARGS.get("subset")
    if not limit:
        return []
    inventory = inventory_of(loader, variables)
    unknown = unknown_in_limit(inventory, limit)
    if unknown or may_be_empty or not inventory.get_hosts(pattern):
        return unknown
    inventory.subset(limit)
    if inventory.get_hosts(pattern):
        return []
    return ["--limit %s leaves no droplet of %s, so nothing would be done: name one of these, or leave --limit out." % (limit, pattern)]


def unknown_in_limit(inventory, limit):
    """Sentences about the parts of --limit, also excluded ones, that are neither a droplet nor a group."""
    problems = []
    for part in limit_parts(limit):
        # A group may be empty. A number in brackets chooses from its members.
        if re.sub(r"\[[-0-9:]+\]$", "", part) in inventory.groups or inventory.get_hosts(part):
            continue
        close = difflib.get_close_matches(part, [*inventory.hosts, *inventory.groups], n=1, cutoff=0.6)
        advice = "write %s if that is meant" % close[0] if close else "name one of %s" % ", ".join(inventory.hosts)
        problems.append("--limit names %s, which is no droplet and no group of the inventory: %s, or leave it out." % (part, advice))
    return problems


def limit_parts(limit):
    """The single patterns of option --limit, without the signs for exclusion and intersection. A part @FILE has one pattern a line."""
    parts = []
    for part in split_host_pattern(limit):
        if part.startswith("@"):
            # Ansible has opened it before, or has failed.
            with open(part[1:], encoding="utf-8") as file:
                parts += [line.strip() for line in file]
        else:
            parts.append(part)
    return [part.lstrip("!&") for part in parts if part.lstrip("!&")]


def extra_problems(extra, names, loader, folders):
    """Sentences about variables of option -e that no playbook of the run reads, or whose value YAML has changed."""
    problems = []
    if extra.get("_raw_params"):
        problems.append(
            "Option -e has words that belong to no variable: '%s'. Put a value that has spaces into two pairs of quotes: "
            "-e \"litefarm_message='Back at 14:00'\"."
            % extra["_raw_params"]
        )
    given = [name for name in extra if name != "_raw_params" and not name.startswith("ansible_")]
    own = {name: kind for playbook in names or PLAYBOOKS for name, kind in PLAYBOOKS[playbook].variables.items()}
    problems += extra_variables.given_twice(extra)
    texts = [name for name in given if own.get(extra_variables.full(name)) == "text"]
    problems += [not_text(name, "option -e", extra[name]) for name in texts if not isinstance(extra[name], str)]
    unknown = [name for name in given if extra_variables.full(name) not in own]
    if unknown:
        known = known_variables(loader, names or PLAYBOOKS, unknown) | names_in_expressions(folders)
        found = [unknown_variable(name, names, known | set(own)) for name in unknown if name not in known]
        # Another playbook may read variables of its own.
        problems += [sentence for sentence, meant in found if names or meant]
    return problems


def unknown_variable(name, names, known):
    """A sentence, and the variable that was probably meant."""
    prefixes = ["%s_" % role for role in available_roles()] + ["litefarm_", "vault_"]
    # Without the prefix, which would make any two names alike.
    own = {each.removeprefix("litefarm_"): each for playbook in names for each in PLAYBOOKS[playbook].variables}
    close = difflib.get_close_matches(name.removeprefix("litefarm_"), own, n=1, cutoff=0.7)
    meant = renamed.VARIABLES.get(name) or (own[close[0]] if close else None)
    if not meant:
        meant = "litefarm_%s" % name if "litefarm_%s" % name in known else nearest(name, known, prefixes)
    others = ["playbooks/%s.yml" % playbook for playbook in PLAYBOOKS if extra_variables.full(name) in PLAYBOOKS[playbook].variables and playbook not in names]
    advice = "leave it out, or correct its name"
    if others:
        advice = "it belongs to %s, so leave it out here" % " and ".join(others)
    elif meant:
        advice = "write %s if that is meant, or leave it out" % meant
    subject = "playbooks/%s.yml reads no variable" % names[0] if len(names) == 1 else "No playbook of this run reads the variable"
    return "%s %s, which option -e gives: %s." % (subject, name, advice), meant


def known_variables(loader, names, given=()):
    """Inputs of the platform: options of roles, of the platform itself, and secrets; of secrets before a rotation those that are given."""

    def load(*path):
        file = os.path.join(COLLECTION, *path)
        return (loader.load_from_file(file, trusted_as_template=True) or {}) if os.path.exists(file) else {}

    known = set(load("playbooks", "vars", "preflight.yml").get("preflight_options") or {}) | set(load("playbooks", "group_vars", "all.yml"))
    known |= secret_rules.names(load("playbooks", "vars", "secrets.yml").get("litefarm_secrets") or [], given)
    for role in available_roles():
        known |= set((((load("roles", role, "meta", "argument_specs.yml").get("argument_specs") or {}).get("main") or {}).get("options")) or {})
    for file in {file for name in names for file in PLAYBOOKS[name].files}:
        known |= set(load("playbooks", *file.split("/")))
    return known


def names_in_expressions(folders):
    """Variables that the inventory's own expressions read."""
    names, environment = set(), jinja2.Environment()
    # Ansible's filters and tests are not known here, and only names are asked for.
    environment.filters, environment.tests = _AnyName(environment.filters), _AnyName(environment.tests)
    for path in (path for folder in folders for path in variable_files(folder)):
        for text in _texts(_values_of(path)):
            try:
                names |= jinja2.meta.find_undeclared_variables(environment.parse(text))
            except jinja2.TemplateError:
                continue
    return names


def _texts(value):
    if isinstance(value, str):
        yield from [value] if "{{" in value or "{%" in value else []
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


class _AnyName(dict):
    def get(self, key, default=None):
        return super().get(key) or str


class _Loader(yaml.SafeLoader):
    """Reads a file of variables without its password: what is encrypted in it has no value."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def plain_text_problems(folders):
    """Sentences about files of the inventory that hold secrets in plain text."""
    problems = []
    for folder in folders:
        paths = [path for name in ("group_vars", "host_vars") for path in sorted(variable_files(os.path.join(folder, name)))]
        beside = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        paths += [os.path.join(folder, name) for name in beside if name.endswith(SOURCE_FILES[:2]) and os.path.isfile(os.path.join(folder, name))]
        for path in paths:
            values = _values_of(path)
            secrets = [name for name, value in _secrets(values) if value and "{{" not in value]
            if not secrets:
                continue
            shown = secrets[0] if len(secrets) == 1 else "%s and %d more" % (secrets[0], len(secrets) - 1)
            name = short_path(path)
            if all(str(each).startswith("vault_") for each in values):
                advice = "encrypt it with ansible-vault encrypt %s" % name
            else:
                advice = "move them with ansible-vault edit %s" % Places([folder]).vault()
            problems.append("%s holds secrets in plain text (%s) and is not encrypted: %s." % (name, shown, advice))
    return problems


def _values_of(path):
    """The variables of a file, without those that are encrypted."""
    with open(path, encoding="utf-8", errors="replace") as stream:
        text = stream.read()
    try:
        values = {} if text.startswith("$ANSIBLE_VAULT") else yaml.load(text, _Loader)  # a subclass of SafeLoader
    except yaml.YAMLError:
        # An inventory in another format, or a mistake that Ansible itself tells.
        return {}
    return values if isinstance(values, dict) else {}


def _secrets(values):
    """Names and texts, also of those that stand beside a host or a group."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _secrets(value)
        elif str(name).startswith("vault_") and value is not None:
            yield str(name), str(value)
