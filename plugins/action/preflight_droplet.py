# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import fnmatch
import os
import re

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.utils.vars import load_extra_vars

from ansible_collections.litefarm.platform.plugins.plugin_utils import (
    _droplet_rules as droplet_rules,
    _extra_variables as extra_variables,
    _host_names as host_names,
    _imported_certificates as imported_certificates,
    _renamed as renamed,
    _secret_rules as secret_rules,
    _ssh_failures as ssh_failures,
)
from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import COLLECTION, ControlNodeAction, available_roles, evaluate
from ansible_collections.litefarm.platform.plugins.plugin_utils._variables import (
    first_sentence,
    independent,
    misspelled,
    not_text,
    out_of_range,
    replaced,
    scattered,
)

MAGIC = re.compile(r"^(ansible_|inventory_|group_names$|groups$|hostvars$|omit$|play|role_|vars$|environment$)")


class ActionModule(ControlNodeAction):
    """Looks at one droplet with one module call and checks everything that will run on it. Reports, never fails."""

    _requires_connection = True
    OPTIONS = {
        "roles": {"type": "list", "elements": "str", "required": True},
        "options": {"type": "dict", "required": True},
        "limits": {"type": "dict", "required": True},
        "requirements": {"type": "dict", "required": True},
        "secrets": {"type": "list", "elements": "dict", "required": True},
        "releases": {"type": "dict", "default": {}},
        "playbook_variables": {"type": "list", "elements": "str", "default": []},
        "going_back": {"type": "bool", "default": False},
    }

    def execute(self, result, arguments, task_vars):
        host = task_vars["inventory_hostname"]
        places = self.places(task_vars)
        releases = {service: image for service, image in arguments["releases"].items() if service in task_vars["group_names"]}
        # The DNS answers while the droplet is looked at.
        sites = self._public_sites(arguments, task_vars)
        lookup = host_names.Lookup(name for names in sites.values() for name in names)
        facts, running, problems = self._look(host, releases, task_vars)
        if facts:
            requirements = arguments["requirements"]
            if arguments["going_back"]:
                requirements = droplet_rules.requirements_to_go_back(requirements, running)
            problems += droplet_rules.droplet_problems(host, facts, requirements)
            problems += droplet_rules.room_problems(host, running, releases)
        variables = dict(task_vars, ansible_facts=dict(task_vars.get("ansible_facts") or {}, **facts))
        problems += self._database(variables) if "postgres" in arguments["roles"] else []
        found, warnings = self._variables(host, arguments, variables, places, facts)
        problems += found
        found, told = self._imported_certificates(sites, arguments, variables, places)
        problems += found
        warnings += told
        outdated = droplet_rules.outdated(running, releases)
        result.update(changed=False, ansible_facts=facts, running=running, outdated=outdated, problems=problems, warnings=warnings)
        result.update(host_names=lookup.answers())
        return result

    def _look(self, host, releases, task_vars):
        """The one module call."""
        arguments = {"services": list(releases), "images": list(releases.values())}
        try:
            answer = self._execute_module(module_name="litefarm.platform.droplet_info", module_args=arguments, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            return {}, {}, [self._unreachable(host, str(error))]
        except AnsibleError as error:
            return {}, {}, ["%s cannot be looked at (%s): correct its connection variables in the inventory." % (host, droplet_rules.first_line(error))]
        if answer.get("unreachable"):
            return {}, {}, [self._unreachable(host, answer.get("msg"))]
        if answer.get("failed"):
            return {}, {}, [droplet_rules.module_problem(host, answer)]
        return answer.get("ansible_facts") or {}, answer.get("running") or {}, []

    def _unreachable(self, host, reason):
        context = self._play_context
        return ssh_failures.unreachable_problem(host, context.remote_addr or host, context.port, context.remote_user, self.ssh_reason(reason))

    def _variables(self, host, arguments, task_vars, places, facts):
        own = [role for role in arguments["roles"] if role in task_vars["group_names"] or role in arguments["requirements"]["everywhere"]]
        specs, defaults = {}, {}
        for role in available_roles():
            spec, values, inner = self._load_role(role)
            specs[role] = spec
            if role in own:
                defaults.update(values)
                defaults.update(inner)
        patterns = {name for name in arguments["playbook_variables"] if "*" in name}
        known = set(arguments["playbook_variables"]) - patterns | set(arguments["options"]) | secret_rules.names(arguments["secrets"], task_vars)
        known |= {name for spec in specs.values() for name in spec} | self._environment_wide(task_vars)
        prefixes = ["%s_" % role for role in specs] + ["litefarm_", "vault_"]
        # A role's internal variables and results have two underscores.
        names = [name for name in task_vars if not MAGIC.match(name) and "__" not in name and not any(fnmatch.fnmatch(name, each) for each in patterns)]
        extra = load_extra_vars(self._loader)
        # What nothing reads is not used by a run that goes back either.
        names = [] if arguments["going_back"] else names
        problems = extra_variables.in_inventory(set(names) - known, extra, places)
        problems += renamed.variable_problems(task_vars, places)
        problems += misspelled(names, known | extra_variables.NAMES | set(renamed.VARIABLES), prefixes, places)
        variables = dict(defaults, **task_vars)
        templar = self._templar.copy_with_new_env(available_variables=variables)
        silent = {secret["name"] for secret in arguments["secrets"]}
        check = VariableCheck(templar, variables, places, arguments["limits"], silent, bool(facts))
        by_name = check.all(arguments["options"], None)
        for role in own:
            by_name.update(check.all(specs.get(role, {}), role))
        address, reason = evaluate(templar, variables, "litefarm_private_address")
        if not reason:
            wrong = droplet_rules.address_problems(host, address, facts, places.of("litefarm_private_address"))
            if wrong:
                by_name["litefarm_private_address"] = wrong
        # What depends on several variables of a role.
        told = [sentence for role in own for sentence in evaluate(templar, variables, "%s__problems" % role)[0] or []]
        warnings = [sentence for role in own for name in specs[role] for sentence in environment_warnings(role, name, templar, variables, places)]
        return problems + independent(by_name, variables) + told, warnings

    def _public_sites(self, arguments, task_vars):
        """Sites of this droplet's nginx with the names that the world reaches them by. A run that goes back needs none of them."""
        if arguments["going_back"] or "nginx" not in arguments["roles"] or "nginx" not in task_vars["group_names"]:
            return {}
        _spec, defaults, inner = self._load_role("nginx")
        variables = {**defaults, **inner, **task_vars}
        sites, reason = evaluate(self._templar.copy_with_new_env(available_variables=variables), variables, "nginx__public_sites")
        # A value that has another form is told by the check of variables.
        if reason or not isinstance(sites, list):
            return {}
        return {str(site.get("name")): [str(name) for name in site.get("host_names") or []] for site in sites if isinstance(site, dict)}

    def _imported_certificates(self, sites, arguments, task_vars, places):
        """Sentences about certificates that the inventory brings in for sites of this droplet: problems, and warnings."""
        if not sites:
            return [], []
        # A value that cannot be had is told by the check of variables.
        value, _reason = evaluate(self._templar, task_vars, imported_certificates.VARIABLE)
        # What another droplet of the environment may serve.
        known = (arguments["options"].get("litefarm_site_options") or {}).get("options") or {}
        return imported_certificates.look_at(value, sites, known, places.of(imported_certificates.VARIABLE)) if value else ([], [])

    def _database(self, task_vars):
        """A sentence if this run would give users an empty database. A droplet that did not answer is reported already."""
        has_one = (task_vars["ansible_facts"].get("litefarm_droplet") or {}).get("database")
        if "postgres" not in task_vars["group_names"] or has_one is not False:
            return []
        _spec, defaults, inner = self._load_role("postgres")
        variables = {**defaults, **inner, **task_vars}
        templar = self._templar.copy_with_new_env(available_variables=variables)
        wanted = [evaluate(templar, variables, name) for name in ("postgres_new_database", "postgres_recover")]
        # A value that is no boolean is told by the check of variables.
        fine = any(reason or boolean(value, strict=False) for value, reason in wanted)
        return [] if fine else [evaluate(templar, variables, "postgres__no_cluster")[0]]

    def _environment_wide(self, task_vars):
        """Variables of the platform that group_vars/all.yml defines. One with a role's prefix must still be in the role's specs."""
        path = os.path.join(task_vars["playbook_dir"], "group_vars", "all.yml")
        return {name for name in self._load(path) if name.startswith("litefarm_")}

    def _load_role(self, role):
        folder = os.path.join(COLLECTION, "roles", role)
        document = self._load(os.path.join(folder, "meta", "argument_specs.yml"))
        options = (((document.get("argument_specs") or {}).get("main") or {}).get("options")) or {}
        return options, self._load(os.path.join(folder, "defaults", "main.yml")), self._load(os.path.join(folder, "vars", "main.yml"))

    def _load(self, path):
        # Nothing here changes what is read, so no copy of it is needed: they were a third of this action's time.
        return (self._loader.load_from_file(path, unsafe=True, trusted_as_template=True) or {}) if os.path.exists(path) else {}


def environment_warnings(role, name, templar, variables, places):
    """Sentences about entries of a container's environment that are replaced: by an option of the role, as api_env, or within it."""
    name_of_own = name.replace(role + "_", role + "__own_", 1)
    if name_of_own not in variables:
        return []
    given, _reason = evaluate(templar, variables, name)
    own, _reason = evaluate(templar, variables, name_of_own)
    if not isinstance(given, dict) or not isinstance(own, dict) or not given:
        return []
    files = places.in_inventory(name)
    return replaced(name, given, own, places.of(name)) + scattered(name, files)


def altered(name, option, value):
    """Names and values of what should be text and YAML has read as something else, which loses characters: 3.10, 0123456, 2026-01-01."""
    if option.get("type") == "str":
        return [] if isinstance(value, str) or not isinstance(value, (bool, int, float, datetime.date)) else [(name, value)]
    if isinstance(value, list):
        element = {"type": option.get("elements"), "options": option.get("options")}
        return [found for each in value for found in altered(name, element, each)]
    if option.get("type") == "dict" and isinstance(value, dict):
        inner = option.get("options") or {}
        return [found for key, each in value.items() if key in inner for found in altered("%s.%s" % (name, key), inner[key], each)]
    return []


class VariableCheck:
    """Checks the variables of one argument spec, each by itself, so that one wrong value hides no other."""

    def __init__(self, templar, variables, places, limits, silent, has_facts):
        self._templar = templar
        self._variables = variables
        self._places = places
        self._limits = limits
        self._silent = silent
        self._has_facts = has_facts
        self._seen = set()

    def all(self, spec, role):
        """Sentences by variable."""
        problems = {}
        for name, option in sorted(spec.items()):
            if name not in self._seen:
                self._seen.add(name)
                found = self._one(name, option, role)
                if found:
                    problems[name] = found
        return problems

    def _one(self, name, option, role):
        value, reason = evaluate(self._templar, self._variables, name)
        if reason:
            return self._undefined(name, reason, role)
        if value is None:
            if not option.get("required"):
                return []
            owner = "the role %s" % role if role else "the platform"
            meaning = first_sentence(option.get("description"))
            return ["%s is not set, and %s needs it%s: set it in %s." % (name, owner, " (%s)" % meaning if meaning else "", self._places.home())]
        found = [not_text(where, self._place(name, role), each) for where, each in altered(name, option, self._variables[name])]
        if found:
            return found
        result = ArgumentSpecValidator({name: option}).validate({name: value})
        if result.error_messages:
            # A value that must not be logged may be in the message of its own check.
            hidden = result._no_log_values | ({str(value)} if option.get("no_log") else set())
            messages = ["it has a wrong type"] if option.get("no_log") else remove_values(result.error_messages, hidden)
            place = self._place(name, role)
            return ["%s in %s does not fit: %s: correct it." % (name, place, message.rstrip(".")) for message in messages]
        if not out_of_range(name, result.validated_parameters[name], self._limits, ""):
            return []
        return out_of_range(name, result.validated_parameters[name], self._limits, self._place(name, role))

    def _place(self, name, role):
        """Looked for only when there is something to say, because it reads files."""
        return self._places.of(name, "the defaults of the role %s" % role if role else None)

    def _undefined(self, name, reason, role):
        missing = re.search(r"'(\w+)' is undefined", reason)
        if missing and missing.group(1) in self._silent:
            return []
        # What is computed from facts has no value on a droplet that did not answer, which is reported already.
        if not self._has_facts and "has no attribute" in reason:
            return []
        return ["%s in %s has no value (%s): define what it uses, or correct it." % (name, self._place(name, role), droplet_rules.first_line(reason))]
