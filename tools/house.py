# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of this project that no linter knows: roles keep their contract, files keep their form.

`python tools/house.py [root]` prints every breach as `path:line: what is wrong` and exits with 1 if there is one.
"""

from __future__ import annotations

import ast
import dataclasses
import pathlib
import re
import subprocess
import sys
import typing as t

import jinja2
import jinja2.meta
import yaml

TASKS_FILE_LIMIT = 100

# Names that any task or template may use without declaring them.
MAGIC = {
    "ansible_check_mode", "ansible_diff_mode", "ansible_facts", "ansible_managed", "ansible_port", "ansible_version", "inventory_hostname",
    "inventory_hostname_short", "item", "omit", "playbook_dir", "role_name", "role_path", "ansible_loop", "ansible_run_tags",
    "lookup", "query", "q", "now", "undef", "range", "dict", "namespace", "cycler", "joiner", "lipsum", "true", "false", "none",
}  # fmt: skip

# Task keywords whose values are expressions without braces.
EXPRESSIONS = {"when", "until", "changed_when", "failed_when", "that"}

SECRET_NAME = re.compile(r"(^|_)(password|passwords|secret|secrets|token|private_key|tls_key|access_key|api_key)$")
UNIT = re.compile(
    r"\b(milliseconds?|seconds?|minutes?|hours?|days?|weeks?|bytes|kB|KiB|[MG]i?B|megabytes?|gigabytes?|percent|ports?|number|how many|count"
    r"|times|CPUs?|processors?|cores?|per second|bits|files|connections|processes|releases|copies|uid|gid|major version|share|factor|dumps|probes|prefix length|lines|attempts|requests|users|workers|rows)\b|%|\bO\(",
    re.IGNORECASE,
)


class Breach(t.NamedTuple):
    path: pathlib.Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


# ---- roles


@dataclasses.dataclass
class Uses:
    """Names that a role reads, each with the place where it was first seen, and names that it brings into being itself."""

    read: dict[str, tuple[pathlib.Path, int]] = dataclasses.field(default_factory=dict)
    made: set[str] = dataclasses.field(default_factory=set)
    unreadable: list[Breach] = dataclasses.field(default_factory=list)


class LineLoader(yaml.SafeLoader):
    """Remembers on which line each scalar stood; tags it does not know (!vault, !unsafe) are read as plain strings."""


class LineText(str):
    line = 0


def _text(loader: yaml.Loader, node: yaml.ScalarNode) -> LineText:
    text = LineText(loader.construct_scalar(node))
    text.line = node.start_mark.line + 1
    return text


LineLoader.add_constructor("tag:yaml.org,2002:str", _text)
LineLoader.add_multi_constructor("!", lambda loader, suffix, node: _text(loader, node))


def load(path: pathlib.Path) -> t.Any:
    return yaml.load(path.read_text(encoding="utf-8"), LineLoader)  # a subclass of SafeLoader


class AnyName(dict[str, t.Any]):
    """Ansible's filters and tests come from plugins; here it only matters which variables they are given."""

    def get(self, key: str, default: t.Any = None) -> t.Any:
        return super().get(key) or str


JINJA = jinja2.Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])
JINJA.filters = AnyName(JINJA.filters)
JINJA.tests = AnyName(JINJA.tests)


def _scan_template(source: str, path: pathlib.Path, line: int, uses: Uses, *, exact: bool = False) -> None:
    try:
        tree = JINJA.parse(source)
    except jinja2.TemplateSyntaxError as error:
        uses.unreadable.append(Breach(path, error.lineno if exact else line, f"not valid Jinja: {error.message}"))
        return
    for name in tree.find_all(jinja2.nodes.Name):
        if name.ctx in ("store", "param"):
            uses.made.add(name.name)
    for node in tree.find_all((jinja2.nodes.Import, jinja2.nodes.Macro)):
        uses.made.add(node.target if isinstance(node, jinja2.nodes.Import) else node.name)
    lines = {name.name: name.lineno for name in reversed(list(tree.find_all(jinja2.nodes.Name)))}
    for name in jinja2.meta.find_undeclared_variables(tree):
        uses.read.setdefault(name, (path, lines.get(name, 1) if exact else line))


def _scan_value(value: t.Any, path: pathlib.Path, uses: Uses, *, expression: bool = False) -> None:
    if isinstance(value, str):
        line = getattr(value, "line", 1)
        source = "{{ (%s) }}" % value if expression and "{{" not in value else str(value)
        if "{{" in source or "{%" in source:
            _scan_template(source, path, line, uses)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "vars" and isinstance(item, dict):
                uses.made |= {str(name) for name in item}
            elif key == "register":
                uses.made.add(str(item))
            elif key == "loop_var" or key == "index_var":
                uses.made.add(str(item))
            elif str(key).endswith("set_fact") and isinstance(item, dict):
                uses.made |= {str(name) for name in item}
            _scan_value(key, path, uses)
            _scan_value(item, path, uses, expression=key in EXPRESSIONS)
    elif isinstance(value, list):
        for item in value:
            _scan_value(item, path, uses, expression=expression)


def _yaml_files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".yml", ".yaml")) if folder.is_dir() else []


def _walk_options(options: dict[str, t.Any], trail: str = "") -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    for name, option in options.items():
        yield trail + str(name), option
        if isinstance(option, dict) and isinstance(option.get("options"), dict):
            yield from _walk_options(option["options"], f"{trail}{name}.")


def _described(option: dict[str, t.Any]) -> str:
    description = option.get("description", "")
    return " ".join(map(str, description)) if isinstance(description, list) else str(description)


def _defaults_without_comment(path: pathlib.Path) -> t.Iterator[tuple[str, int]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        match = re.match(r"([A-Za-z_]\w*):", line)
        if match and not (number and lines[number - 1].startswith("# ")):
            yield match[1], number + 1


def check_role(role: pathlib.Path, all_roles: t.Collection[str]) -> t.Iterator[Breach]:
    """The role's contract: specs and defaults say the same, everything promised is used, nothing foreign is."""
    name = role.name
    specs_path = role / "meta" / "argument_specs.yml"
    if not specs_path.exists():
        yield Breach(role, 1, "a role has meta/argument_specs.yml")
        return
    if not (role / "meta" / "main.yml").exists():
        yield Breach(role, 1, "a role has meta/main.yml")
    specs = (load(specs_path) or {}).get("argument_specs") or {}
    if "main" not in specs:
        yield Breach(specs_path, 1, "there is no entry point main")
        return
    if not specs["main"].get("short_description"):
        yield Breach(specs_path, 1, "the entry point main has no short_description")
    options: dict[str, t.Any] = specs["main"].get("options") or {}

    def at(option: str) -> int:
        return next((getattr(key, "line", 1) for key in options if key == option.split(".")[0]), 1)

    for trail, option in _walk_options(options):
        leaf = trail.split(".")[-1]
        if not _described(option):
            yield Breach(specs_path, at(trail), f"{trail} has no description")
        if not option.get("type"):
            yield Breach(specs_path, at(trail), f"{trail} has no type")
        if option.get("type") in ("int", "float") and not UNIT.search(_described(option)):
            yield Breach(specs_path, at(trail), f"{trail} is a number whose description names no unit")
        if option.get("type") in ("str", "raw") and SECRET_NAME.search(leaf) and not option.get("no_log"):
            parents = trail.split(".")[:-1]
            if not any(options.get(parent, {}).get("no_log") for parent in parents[:1]):
                yield Breach(specs_path, at(trail), f"{trail} looks like a secret and is not no_log")

    defaults_path = role / "defaults" / "main.yml"
    defaults: dict[str, t.Any] = (load(defaults_path) or {}) if defaults_path.exists() else {}
    if defaults_path.exists():
        for variable, line in _defaults_without_comment(defaults_path):
            yield Breach(defaults_path, line, f"{variable} has no comment line above it that says its unit and effect")

    for variable, value in defaults.items():
        line = getattr(variable, "line", 1)
        if variable not in options:
            yield Breach(defaults_path, line, f"{variable} is not in meta/argument_specs.yml")
        elif "default" not in options[variable]:
            yield Breach(specs_path, at(variable), f"{variable} has a default in defaults/main.yml and none here")
        elif options[variable]["default"] != value or type(options[variable]["default"]) is not type(value):
            yield Breach(specs_path, at(variable), f"{variable} is {options[variable]['default']!r} here and {value!r} in defaults/main.yml")
    for variable, option in options.items():
        if not re.match(rf"{name}_[a-z0-9]", variable):
            yield Breach(specs_path, at(variable), f"{variable} does not begin with {name}_ and a letter")
        if variable not in defaults:
            if "default" in option:
                yield Breach(specs_path, at(variable), f"{variable} has a default here and none in defaults/main.yml")
            elif not option.get("required"):
                yield Breach(specs_path, at(variable), f"{variable} is neither required nor has it a default")
        elif option.get("required"):
            yield Breach(specs_path, at(variable), f"{variable} is required and yet has a default")

    uses = Uses()
    internal: set[str] = set()
    for folder in ("tasks", "handlers", "vars", "defaults"):
        for path in _yaml_files(role / folder):
            document = load(path)
            _scan_value(document, path, uses)
            if folder == "vars":
                internal |= {str(key) for key in document or {}}
            if folder == "tasks":
                length = len(path.read_text(encoding="utf-8").splitlines())
                if length > TASKS_FILE_LIMIT:
                    yield Breach(path, length, f"a tasks file has at most {TASKS_FILE_LIMIT} lines")
    for path in sorted((role / "templates").rglob("*")) if (role / "templates").is_dir() else []:
        if path.is_file():
            _scan_template(path.read_text(encoding="utf-8"), path, 1, uses, exact=True)

    yield from uses.unreadable
    for variable in options:
        if variable not in uses.read:
            yield Breach(specs_path, at(variable), f"{variable} is declared and used nowhere in the role")
    for variable in sorted(internal):
        if not variable.startswith(f"{name}__"):
            yield Breach(role / "vars" / "main.yml", 1, f"{variable} is internal, so its name begins with {name}__")
        if variable not in uses.read:
            yield Breach(role / "vars" / "main.yml", 1, f"{variable} is declared and used nowhere in the role")
    known = set(options) | internal | uses.made | MAGIC
    for variable, (path, line) in sorted(uses.read.items()):
        if variable in known:
            continue
        other = next((role_name for role_name in all_roles if role_name != name and variable.startswith(f"{role_name}_")), None)
        if variable in ("groups", "hostvars"):
            yield Breach(path, line, f"{variable}: a role knows no other host or group; pass it what it needs as a variable")
        elif other:
            yield Breach(path, line, f"{variable} belongs to the role {other}; playbooks/group_vars passes values on")
        else:
            yield Breach(path, line, f"{variable} is declared nowhere (a spec, vars/main.yml, register or vars:)")


def check_roles(root: pathlib.Path) -> t.Iterator[Breach]:
    folder = root / "roles"
    roles = sorted(path for path in folder.iterdir() if (path / "tasks").is_dir() or (path / "meta").is_dir()) if folder.is_dir() else []
    for role in roles:
        try:
            yield from check_role(role, {path.name for path in roles})
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            yield Breach(role, line, f"not valid YAML: {error}")


# ---- playbooks

# A part of other playbooks, which begin with a play of their own.
PARTS = {"restore_copy.yml", "restore_data.yml", "rollout.yml"}
# Which droplet has the database is decided in playbooks/group_vars/all.yml alone.
DATABASE_DROPLET = re.compile(r"groups(?:\.postgres\b|\.get\(['\"]postgres['\"]|\[['\"]postgres['\"]\])|\bpostgres\[\d+\]")
PLAYBOOK_FILES = (".yml", ".yaml", ".sh", ".j2")


def check_playbooks(root: pathlib.Path) -> t.Iterator[Breach]:
    """What a person's environment would decide otherwise: the order of tasks, and whether the way in which a run was started is looked at. And what a playbook
    must not know of roles."""
    for path in [*sorted((root / "playbooks").glob("*.yml")), *sorted(root.glob("site.yml"))]:
        plays = load(path) or []
        for play in plays:
            if "ansible.builtin.import_playbook" not in play and "strategy" not in play:
                yield Breach(path, getattr(play.get("hosts"), "line", 1), "a play says its strategy, or ANSIBLE_STRATEGY does")
        first = next(iter(plays), {})
        if path.name not in PARTS and "hosts" in first and "litefarm.platform.checked_hosts" not in str(first["hosts"]):
            yield Breach(path, getattr(first["hosts"], "line", 1), "hosts of the first play come from the lookup litefarm.platform.checked_hosts")
    names = "|".join(path.name for path in (root / "roles").glob("*"))
    internal = (re.compile(rf"\b(?:{names or 'no role'})__\w+"), "a playbook reads no internal variable of a role")
    droplet = (DATABASE_DROPLET, "playbooks read litefarm_database_address, litefarm_history_host or litefarm_backup_host")
    for path in sorted(path for path in (root / "playbooks").rglob("*") if path.suffix in PLAYBOOK_FILES):
        layers = [internal] if path == root / "playbooks" / "group_vars" / "all.yml" else [internal, droplet]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            for pattern, reason in layers:
                match = pattern.search(line)
                if match:
                    yield Breach(path, number, f"“{match[0]}”: {reason}")


# ---- services

CONTAINER = "litefarm.platform.container_service"
PREFLIGHT, VERIFY, STATUS, GROUP_VARS = "vars/preflight.yml", "vars/verify.yml", "status.yml", "group_vars/all.yml"
# Folders of containers of which no copy is needed, each with the reason.
NOT_COPIED = {
    "/srv/litefarm/exports": "an export is made again",
    "/srv/litefarm/postgres": "the archive and the dumps have the database",
    "/srv/litefarm/webapp": "releases fill it from their images",
}

CHOSEN = "by which preflight chooses the roles that it checks"


class Import(t.NamedTuple):
    """A role that a playbook runs, and the conditions of its task and of the blocks around it."""

    path: pathlib.Path
    line: int
    role: str
    validated: bool
    conditions: str


def _imports(value: t.Any, path: pathlib.Path, conditions: str = "") -> t.Iterator[Import]:
    if isinstance(value, list):
        for item in value:
            yield from _imports(item, path, conditions)
    elif isinstance(value, dict):
        conditions += f" {value.get('when', '')}"
        for key, item in value.items():
            if str(key).endswith(("import_role", "include_role")) and isinstance(item, dict):
                name = item.get("name", "")
                yield Import(path, getattr(name, "line", 1), name.split(".")[-1], item.get("rolespec_validate", True) is not False, conditions)
            else:
                yield from _imports(item, path, conditions)


def _dicts(value: t.Any) -> t.Iterator[dict[str, t.Any]]:
    if isinstance(value, (list, dict)):
        for item in value if isinstance(value, list) else value.values():
            yield from _dicts(item)
    if isinstance(value, dict):
        yield value


class Lists:
    """What lists the services: the playbooks' variables, the inventories, and the images of the lab."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.playbooks = root / "playbooks"
        self.preflight, self.verify, self.group_vars = (load(self.playbooks / name) for name in (PREFLIGHT, VERIFY, GROUP_VARS))
        self.requirements: dict[str, t.Any] = self.preflight["preflight_requirements"]
        self.everywhere: list[str] = self.requirements["everywhere"]
        self.roles: list[str] = self.preflight["preflight_roles"]
        self.hosts = sorted([*root.glob("inventories/*/hosts.yml"), *root.glob("tests/support/inventories/*/hosts.yml")])
        self.groups = {path: set(load(path)) for path in self.hosts}
        self.shown = next(play["vars"]["status_services"] for play in load(self.playbooks / STATUS) if "status_services" in play.get("vars", {}))
        self.lab_images = load(root / "lab" / "images.yml")
        self.copied = {path for each in _dicts(self.group_vars) if "tag" in each for path in [*each.get("paths", []), each.get("restore_to", "")]}

    def breach(self, name: str, variable: str, message: str) -> Breach:
        """A breach in the list `variable` of a file of playbooks/."""
        document = {PREFLIGHT: self.preflight, VERIFY: self.verify, GROUP_VARS: self.group_vars}.get(name, {})
        line = next((getattr(key, "line", 1) for key in document if key == variable), 1)
        return Breach(self.playbooks / name, line, message)


def check_services(root: pathlib.Path) -> t.Iterator[Breach]:
    """What CONTRIBUTING.md asks for in "Add a service": where services are listed, each of them is."""
    if not (root / "playbooks" / "site.yml").exists():
        return
    lists = Lists(root)
    imports = [each for path in _yaml_files(lists.playbooks) for each in _imports(load(path), path)]
    there = sorted(path.parents[1].name for path in root.glob("roles/*/meta/argument_specs.yml"))
    for each in imports:
        if not each.validated and each.role not in lists.roles:
            yield Breach(each.path, each.line, f"{each.role} is not in preflight_roles of playbooks/{PREFLIGHT}, so nothing checks its variables")
        elif each.path.name == "site.yml" and each.role not in lists.everywhere and f"'{each.role}' in group_names" not in each.conditions:
            yield Breach(each.path, each.line, f"{each.role} has no condition “'{each.role}' in group_names”, {CHOSEN}")
    for role in sorted(set(lists.roles) - set(there)):
        yield lists.breach(PREFLIGHT, "preflight_roles", f"{role} is in preflight_roles, and there is no such role")
    for role in there:
        if role not in {each.role for each in imports}:
            yield Breach(root / "roles" / role, 1, f"no playbook runs the role {role}")
        if not (root / "tests" / "unit" / "templates" / role).is_dir():
            yield Breach(root / "roles" / role, 1, f"no unit test is in tests/unit/templates/{role}")
        if role in lists.roles and role not in lists.everywhere:
            yield from _check_service(root / "roles" / role, lists)
    yield from _check_groups(lists)
    yield from _check_released(lists, imports)


def _check_service(role: pathlib.Path, lists: Lists) -> t.Iterator[Breach]:
    name = role.name
    for path, groups in lists.groups.items():
        if name not in groups:
            yield Breach(path, 1, f"there is no group {name}: add it, empty where no droplet has the service")
    variables = {key: value for folder in ("defaults", "vars") for path in _yaml_files(role / folder) for key, value in (load(path) or {}).items()}

    def resolved(text: t.Any) -> str:
        return re.sub(r"\{\{ (\w+) \}\}", lambda match: str(variables.get(match[1], match[0])), str(text))

    tasks = [task[CONTAINER] for path in _yaml_files(role / "tasks") for task in _dicts(load(path)) if isinstance(task.get(CONTAINER), dict)]
    if not tasks:
        return
    checks = [*_dicts(lists.verify)]
    if not any((check.get("kind"), check.get("service")) == ("containers", name) for check in checks):
        yield lists.breach(VERIFY, "verify_checks", f"verify_checks has no check “kind: containers, service: {name}”")
    if name not in lists.shown:
        yield lists.breach(STATUS, "status_services", f"{name} is not in status_services")
    expected = str(next((check.get("groups") for check in checks if check.get("kind") == "misplaced_containers"), ""))
    for container in sorted({resolved(task.get("name")) for task in tasks} - {name}):
        if f"'{container}'" not in expected:
            message = f"the container {container} is not named as its group {name}, so “misplaced containers” tells of it"
            yield lists.breach(VERIFY, "verify_every_droplet", message)
    image = variables.get(f"{name}_image")
    if image and image not in lists.lab_images:
        yield Breach(lists.root / "lab" / "images.yml", 1, f"{image} is missing, the image of the role {name}")
    yield from _check_ports(name, variables, lists)
    for source in sorted({resolved(mount["source"]) for task in tasks for mount in task.get("mounts", []) if not mount.get("read_only")}):
        if source.startswith("/srv/litefarm/") and source not in lists.copied | set(NOT_COPIED):
            yield lists.breach(GROUP_VARS, "file_backups_sets", f"{source} of {name} is in no copy of file_backups_sets, nor in NOT_COPIED of tools/house.py")


def _check_ports(name: str, variables: dict[str, t.Any], lists: Lists) -> t.Iterator[Breach]:
    port = variables.get(f"{name}_port")
    for number in [*variables.get(f"{name}_ports", []), *([port] if port else [])]:
        if number not in lists.verify["verify_ports"]:
            yield lists.breach(VERIFY, "verify_ports", f"port {number} of {name} is not in verify_ports, so nothing notices when it is open")
    opened = any((each.get("of"), each.get("port")) == (name, port) and each.get("for") for each in lists.verify["verify_open_ports"])
    # The entry of firewall_services is a variable of its own, which is used where the service is.
    entries = {key for key, value in lists.group_vars.items() if isinstance(value, dict) and value.get("name") == name and value.get("port") == port}
    if "litefarm_private_address" not in str(lists.group_vars.get(f"{name}_address", "")):
        if port and (opened or entries):
            message = f"others may reach {name}, and {name}_address is not its droplet's litefarm_private_address"
            yield lists.breach(GROUP_VARS, "firewall_services", message)
        return
    services = str(lists.group_vars.get("firewall_services", ""))
    if not any(re.search(rf"\b{key}\b.*?'{name}' in group_names", services, re.DOTALL) for key in entries):
        message = f"{name} is on the private address, and firewall_services lets nobody in: no entry has this name and the port {port}"
        yield lists.breach(GROUP_VARS, "firewall_services", message)
    if not opened:
        message = f"{name} is on the private address, and verify_open_ports has no entry “port: {port}, of: {name}, for: […]”"
        yield lists.breach(VERIFY, "verify_open_ports", message)


def _check_groups(lists: Lists) -> t.Iterator[Breach]:
    """Groups that preflight is told about exist, and those with copies have the bucket for them checked."""
    known = set().union(*lists.groups.values())
    needs = lists.requirements
    named = {
        "needed_groups": re.findall(r"'(\w+)'", str(needs.get("needed_groups", ""))),
        "single_groups": needs.get("single_groups", {}),
        "within_groups": [name for pair in needs.get("within_groups", {}).items() for name in pair],
        "storage_groups": needs.get("storage_groups", []),
        "backup_groups": needs.get("backup_groups", []),
    }
    for where, names in named.items():
        for name in sorted(set(names) - known):
            yield lists.breach(PREFLIGHT, "preflight_requirements", f"{where} has {name}, which is a group of no inventory")
    for name in sorted(set(re.findall(r"'(\w+)' in group_names", str(lists.group_vars.get("file_backups_sets", "")))) - set(named["backup_groups"])):
        yield lists.breach(PREFLIGHT, "preflight_requirements", f"{name} has copies and is not in backup_groups, so nothing checks the bucket for it")


def _check_released(lists: Lists, imports: list[Import]) -> t.Iterator[Breach]:
    """Services that are built and released with LiteFarm: each list of them has them all."""
    services: list[str] = load(lists.playbooks / "rollout_steps" / "vars.yml")["rollout_services"]
    for each in imports:
        if each.path.name == "stage.yml" and each.role not in services:
            yield Breach(each.path, each.line, f"{each.role} is not in rollout_services of playbooks/rollout_steps/vars.yml")
    for role in sorted(set(services) - {each.role for each in imports if each.path.name == "stage.yml"}):
        yield Breach(lists.playbooks / "rollout_steps" / "stage.yml", 1, f"{role} is in rollout_services, and no task stages it")
    for role in sorted(set(services) - set(load(lists.playbooks / "vars" / "images.yml")["litefarm_container_images"])):
        yield Breach(lists.playbooks / "vars" / "images.yml", 1, f"{role} is in rollout_services, and litefarm_container_images has no image of it")
    for name in ("rollout.yml", "deploy.yml", "rollback.yml"):
        path = lists.playbooks / name
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            for pattern in re.findall(r"\b\w+(?::\w+)+\b", line):
                missing = set(services) - set(pattern.split(":"))
                if missing and set(services) & set(pattern.split(":")):
                    yield Breach(path, number, f"“{pattern}” lacks {', '.join(sorted(missing))}, which rollout_services has")


# ---- plugins


def check_modules(root: pathlib.Path) -> t.Iterator[Breach]:
    """Modules say where their code is, because ansible-doc wants an action plugin's documentation in a module's file. What they share is private."""
    for action in sorted((root / "plugins" / "action").glob("*.py")):
        module = root / "plugins" / "modules" / action.name
        text = module.read_text(encoding="utf-8")
        place = action.relative_to(root)
        first = f"# {place} runs first, on the control node." if "AnsibleModule" in text else f"# Documentation only: the code is in {place}."
        if first not in text.splitlines():
            yield Breach(module, 1, f"the line that says where the code is, is missing: {first}")
    for path in sorted(root.glob("plugins/*_utils/*")):
        if not path.name.startswith("_") and (path.suffix == ".py" or any(path.glob("*.py"))):
            yield Breach(path, 1, "the name begins with an underscore, or other collections may rely on the code")


# ---- files

# Written in halves so that this file does not contain what it forbids.
FORBIDDEN = [
    (re.compile("ignore" + "_errors"), "a failure is handled or it fails", (".yml", ".yaml")),
    (re.compile("failed_when" + r":\s*(false|no)\b", re.IGNORECASE), "a failure is handled or it fails", (".yml", ".yaml")),
    (re.compile(r"\b(TO" + "DO|FIX" + "ME|XX" + r"X)\b"), "what is left to do belongs in an issue", ()),
    (re.compile(r"#\s*(no" + r"qa|pylint:|type:\s*ignore|nosec|yamllint disable)"), "checks are obeyed, not switched off", (".py", ".yml", ".yaml", ".sh")),
    (re.compile(r"\bpytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b"), "a test runs or it is not there", (".py",)),
    (
        re.compile(
            r"\b(py" + r"pi\.org|pythonhosted\.org|registry\.np" + r"mjs\.org|deb\.deb" + r"ian\.org|ftp\.[a-z.]*deb" + r"ian\.org"
            r"|archive\.ubun" + r"tu\.com|registry\.yarn" + r"pkg\.com)\b"
        ),
        "package registries are taken from the machine's own configuration",
        (),
    ),
    (re.compile(r"(?<![\w.}])/(wo" + r"rk/(main|shared)|root/ve" + r"nv|root/\.py" + r"env|tmp/sp" + r"ike)\b"), "a path of one person's machine", ()),
    (re.compile(r"^\s*#\s*[=*#~-]{5,}"), "no banners", (".py", ".yml", ".yaml", ".sh", ".j2", ".cfg")),
]  # fmt: skip
# Licences, lock files of the lab's sample application and images of other formats are not ours to phrase.
UNPHRASED = {"LICENSE", "package-lock.json", "requirements.txt"}


def tracked_files(root: pathlib.Path) -> list[pathlib.Path]:
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", "-z"], check=True, capture_output=True, text=True)
    return [root / name for name in sorted(set(listed.stdout.split("\0"))) if name and (root / name).is_file() and not (root / name).is_symlink()]


def check_files(paths: t.Iterable[pathlib.Path]) -> t.Iterator[Breach]:
    for path in paths:
        if path.name in UNPHRASED:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            for pattern, reason, suffixes in FORBIDDEN:
                match = pattern.search(line)
                if match and (not suffixes or path.suffix in suffixes):
                    yield Breach(path, number, f"“{match[0].strip()}”: {reason}")
        shell = path.suffix == ".sh" or (path.suffix != ".j2" and re.match(r"#!.*\b(sh|bash)\b", text))
        if path.suffix == ".py" or shell:
            if "SPDX-License-Identifier: GPL-3.0-or-later" not in text[:600] and text.strip():
                yield Breach(path, 1, "the SPDX licence line is missing")
        if path.suffix == ".py":
            yield from _check_python(path, text)
        elif shell:
            syntax = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
            if syntax.returncode:
                yield Breach(path, 1, syntax.stderr.strip())


def _check_python(path: pathlib.Path, text: str) -> t.Iterator[Breach]:
    # Modules run with the droplet's Python, and the oldest supported distribution (Ubuntu 22.04) has 3.10.
    on_droplet = "plugins" in path.parts and {"modules", "module_utils"} & set(path.parts)
    try:
        ast.parse(text, feature_version=(3, 10) if on_droplet else (3, 11))
    except SyntaxError as error:
        yield Breach(path, error.lineno or 1, f"not valid for the oldest supported Python: {error.msg}")


def main(arguments: list[str]) -> int:
    root = pathlib.Path(arguments[0] if arguments else ".").resolve()
    breaches = [*check_roles(root), *check_playbooks(root), *check_services(root), *check_modules(root), *check_files(tracked_files(root))]
    for breach in breaches:
        print(breach._replace(path=breach.path.relative_to(root)))
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
