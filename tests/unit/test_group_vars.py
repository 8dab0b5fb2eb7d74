# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has the last word: an inventory over playbooks/group_vars, in each of the ways in which a playbook can be run.

And: what an inventory and playbooks/group_vars hand to the roles is what the roles ask for.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import tempfile

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager
from ansible_collections.litefarm.platform.plugins.modules import droplet_info

from tests.support.ansible_run import ansible_playbook
from tests.support.playbooks import INVENTORIES, REPO

GROUP_VARS = REPO / "playbooks" / "group_vars" / "all.yml"
ENVIRONMENTS = sorted(path.parent.name for path in INVENTORIES.glob("*/hosts.yml"))
ROLES = sorted(path.parents[1].name for path in REPO.glob("roles/*/meta/argument_specs.yml"))

# Services that an environment has another one's droplets for.
ELSEWHERE = {("beta", "imaginary")}

PROBE = """---
- name: What the variables are is shown
  hosts: litefarmapp
  gather_facts: false
  tasks:
    - name: Variables that several places set are shown
      ansible.builtin.debug:
        msg: "PROBE{{ {'group': postgres_address, 'all': nginx_acme_email, 'host': api_node_env, 'role': firewall_services[0]['from'][0]} | to_json }}PROBE"
"""


def write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The real group_vars and production, in which three places contradict them; as a checkout and installed."""
    root = tmp_path_factory.mktemp("project")
    inventory = root / "inventory"
    source = INVENTORIES / "production"
    for path in [source / "hosts.yml", *source.glob("group_vars/litefarm/*.yml")]:
        if path.name != "vault.yml":
            write(inventory / path.relative_to(source), path.read_text(encoding="utf-8"))
    write(inventory / "group_vars/litefarm/override.yml", "---\npostgres_address: 198.51.100.1\n")
    write(inventory / "group_vars/all/override.yml", "---\nnginx_acme_email: nobody@example.org\n")
    write(inventory / "host_vars/litefarmapp.yml", "---\napi_node_env: from-the-host\n")
    for playbooks in (root / "playbooks", root / "installed/ansible_collections/litefarm/platform/playbooks"):
        write(playbooks / "probe.yml", PROBE)
        write(playbooks / "group_vars/all.yml", GROUP_VARS.read_text(encoding="utf-8"))
    write(root / "site.yml", "---\n- name: The probe runs\n  ansible.builtin.import_playbook: playbooks/probe.yml\n")
    write(root / "ansible.cfg", "[defaults]\ninject_facts_as_vars = False\n")
    return root


def run_probe(project, *command):
    env = {**os.environ, "ANSIBLE_CONFIG": str(project / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": str(project / "installed"), "ANSIBLE_NOCOLOR": "1"}
    done = ansible_playbook(["-i", "inventory", *command], cwd=project, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"PROBE(\{.*\})PROBE", done.stdout)
    assert found, done.stdout
    return json.loads(found[1].replace('\\"', '"'))


@pytest.mark.parametrize(
    "command",
    [("playbooks/probe.yml",), ("site.yml",), ("litefarm.platform.probe",)],
    ids=["playbook of the checkout", "site.yml at the root", "installed collection"],
)
def test_an_inventory_outranks_group_vars_of_the_playbooks(project, command):
    seen = run_probe(project, *command)
    assert seen["group"] == "198.51.100.1", "an inventory's group_vars/litefarm outranks those of the playbooks"
    assert seen["host"] == "from-the-host", "an inventory's host_vars outrank those of the playbooks"
    assert seen["role"] == "192.0.2.10", "what no inventory says comes from playbooks/group_vars"


def test_inventory_group_vars_all_would_lose(project):
    """Why an environment's variables are in group_vars/litefarm and not in group_vars/all."""
    assert run_probe(project, "site.yml")["all"] == "community@litefarm.org"


def test_no_environment_uses_group_vars_all():
    assert list(REPO.glob("inventories/*/group_vars/all*")) == []


def sample_of(documented):
    """The sample of a documented value, put together from its parts where it has some."""
    if "contains" in documented:
        return {name: sample_of(part) for name, part in documented["contains"].items()}
    return documented.get("sample", False)


@functools.cache
def facts():
    """What droplet_info says that it returns."""
    return sample_of(yaml.safe_load(droplet_info.RETURN)["ansible_facts"])


@functools.cache
def without_vault(environment):
    """A copy of the environment's inventory without the team's vault, whose password no test has."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="litefarm-group-vars-"))
    atexit.register(shutil.rmtree, folder)
    return shutil.copytree(INVENTORIES / environment, folder / environment, ignore=shutil.ignore_patterns("vault.yml"))


def values_of(environment, role, *further):
    """Each host with its variables in this environment and further inventories, as a task of the role sees them."""
    loader = DataLoader()
    loader.set_basedir(str(REPO / "playbooks"))
    inventory = InventoryManager(loader=loader, sources=[str(without_vault(environment)), *further])
    manager = VariableManager(loader=loader, inventory=inventory)
    names = re.findall(r"\bvault_\w+", "".join(path.read_text() for path in [GROUP_VARS, *INVENTORIES.glob("*/group_vars/litefarm/main.yml")]))
    hosts = inventory.get_hosts("litefarm")
    defaults_file = REPO / "roles" / role / "defaults" / "main.yml"
    defaults = loader.load_from_file(str(defaults_file), trusted_as_template=True) if defaults_file.exists() else {}
    for host in hosts:
        extra = {
            **{name: f"{name}-{'x' * 32}" for name in names},
            "ansible_facts": facts(),
            "litefarm_release": {"commit": "0" * 40, "images": {name: {"reference": f"registry.example/litefarm/{name}@sha256:{'0' * 64}"} for name in ROLES}},
        }
        variables = defaults | manager.get_vars(host=host, include_hostvars=True) | extra
        variables["hostvars"] = {other.name: manager.get_vars(host=other, include_hostvars=False) | extra for other in hosts}
        yield host, variables, Templar(loader=loader, variables=variables)


def options_of(role):
    return yaml.safe_load((REPO / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"].get("options") or {}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("role", ROLES)
def test_roles_get_what_they_ask_for(environment, role):
    options = options_of(role)
    asked = []
    for host, variables, templar in values_of(environment, role):
        # A service runs on the droplets of its group, the other roles on all of them.
        if role in variables["groups"] and host.name not in variables["groups"][role]:
            continue
        given = {name: templar.template(variables[name]) for name in options if name in variables}
        result = ArgumentSpecValidator(options).validate(given)
        assert result.error_messages == [], f"{host.name}: {result.error_messages}"
        asked.append(host.name)
    assert bool(asked) != ((environment, role) in ELSEWHERE), f"{role} runs on {asked or 'no droplet'} of {environment}"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_inventory_says_which_user_ssh_logs_in_as(environment):
    """Without it SSH takes the name of the person, whom a new droplet does not know."""
    assert [host.name for host, variables, _templar in values_of(environment, "base") if not variables.get("ansible_user")] == []


def test_group_vars_name_only_variables_that_roles_have():
    known = {name for role in ROLES for name in options_of(role)}
    given = yaml.safe_load(GROUP_VARS.read_text())
    unknown = [name for name in given if name.split("_")[0] in {role.split("_")[0] for role in ROLES} and name not in known]
    assert unknown == []


def test_each_secret_is_named_once():
    """One line per secret: whoever asks where it goes finds one place."""
    places: dict[str, list[str]] = {}
    for path in [*REPO.glob("playbooks/**/*.yml"), *INVENTORIES.glob("*/group_vars/**/main.yml"), *REPO.glob("roles/**/*")]:
        if path.is_file() and path.suffix != ".pyc":
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                for name in re.findall(r"\{\{[^}]*?\b(vault_\w+)", line):
                    places.setdefault(name, []).append(f"{path.relative_to(REPO)}:{number}")
    assert places, "no secret is on_droplets at all"
    assert {name: found for name, found in places.items() if len(found) != 1} == {}


SCALED = """---
litefarm: {hosts: {second: {litefarm_private_address: 192.0.2.13}}}
nginx: {hosts: {second: }}
api: {hosts: {second: }}
load_balancer: {hosts: {litefarmapp: }}
"""


@pytest.fixture
def on_droplets(tmp_path):
    """on_droplets("nginx", "nginx_sites"): the variable on each droplet of production, or of production with a second API behind a load balancer."""

    def read(role, name, load_balancer=True):
        write(tmp_path / "scaled.yml", SCALED)
        found = values_of("production", role, *([str(tmp_path / "scaled.yml")] if load_balancer else []))
        return {host.name: templar.template(variables[name]) for host, variables, templar in found}

    return read


def test_the_load_balancer_balances_over_all_droplets_and_each_of_them_listens_for_it(on_droplets):
    sites = {host: {site["name"]: site for site in found} for host, found in on_droplets("nginx", "nginx_sites").items()}
    assert {host: sorted(found) for host, found in sites.items()} == {
        "litefarmapp": ["api", "api_internal", "webapp", "webapp_internal"],
        "litefarm-imaginary": ["images"],
        "second": ["api_internal"],
    }
    assert sites["litefarmapp"]["api"]["servers"] == ["192.0.2.10:8090", "192.0.2.13:8090"]
    assert sites["litefarmapp"]["webapp"]["servers"] == ["192.0.2.10:8090"]
    assert [name for name, site in sites["litefarmapp"].items() if "upstream" in site] == ["webapp_internal", "api_internal"]
    assert sites["second"]["api_internal"]["event_paths"] == sites["litefarmapp"]["api"]["event_paths"]


SITE_OPTIONS = """---
litefarm_site_options:
  api: {body_max_mb: 50, read_timeout: 90, rate_per_second: 7, redirects: [{from: /old, to: /new}], host_names: [api.litefarm.org, api.example.org]}
  images: {files_max_age_seconds: 60}
"""


@pytest.mark.parametrize("load_balancer", [False, True])
def test_an_environment_sets_options_of_one_site_and_the_site_behind_it_has_the_same_limits(tmp_path, on_droplets, load_balancer):
    before = {(host, site["name"]): site for host, found in on_droplets("nginx", "nginx_sites", load_balancer=load_balancer).items() for site in found}
    write(tmp_path / "own" / "group_vars" / "litefarm" / "sites.yml", SITE_OPTIONS)
    write(tmp_path / "own" / "hosts.yml", SCALED if load_balancer else "---\nlitefarm: {hosts: {litefarmapp: }}\n")
    found = values_of("production", "nginx", str(tmp_path / "own" / "hosts.yml"))
    after = {(host.name, site["name"]): site for host, variables, templar in found for site in templar.template(variables["nginx_sites"])}
    assert after.keys() == before.keys()
    # A load balancer passes requests for each name on.
    limits = {"body_max_mb": 50, "read_timeout": 90, "host_names": ["api.litefarm.org", "api.example.org"]}
    changes = {
        "api": {**limits, "rate_per_second": 7, "redirects": [{"from": "/old", "to": "/new"}]},
        "api_internal": limits,
        "images": {"files_max_age_seconds": 60},
    }
    assert after == {(host, name): {**site, **changes.get(name, {})} for (host, name), site in before.items()}
    for site in after.values():
        assert ArgumentSpecValidator(options_of("nginx")).validate({"nginx_sites": [site]}).error_messages == []


# With imaginary on the droplet, and without it.
DRAINED = """---
litefarm: {hosts: {with: {litefarm_private_address: 192.0.2.13}, without: {litefarm_private_address: 192.0.2.14}}}
imaginary: {hosts: {with: }}
"""


@pytest.mark.parametrize(
    ("drains", "workers", "with_imaginary"),
    [
        ({}, 30, 60 + 30),
        ({"api": 10}, 30, 60 + 30),
        ({"api": 90}, 90, 90 + 30),
        ({"webapp": 90}, 90, 90 + 30),
        ({"imaginary": 10}, 30, 30 + 30),
        ({"imaginary": 90}, 30, 90 + 30),
        ({"api": 100, "imaginary": 90}, 100, 100 + 30),
    ],
)
def test_a_longer_drain_is_a_longer_life_of_the_workers_of_nginx(tmp_path, drains, workers, with_imaginary):
    write(tmp_path / "hosts.yml", DRAINED)
    write(tmp_path / "group_vars" / "litefarm" / "drain.yml", json.dumps({f"{service}_drain_timeout": drain for service, drain in drains.items()}))
    found = values_of("production", "nginx", str(tmp_path / "hosts.yml"))
    lives = {host.name: templar.template(variables["nginx_worker_shutdown_timeout"]) for host, variables, templar in found}
    assert (lives["without"], lives["with"]) == (workers, with_imaginary)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_worker_of_nginx_ends_before_the_drain_of_a_service_on_its_droplet(environment):
    for host, variables, templar in values_of(environment, "nginx"):
        for service in set(variables["group_names"]) & set(ROLES):
            defaults = yaml.safe_load((REPO / "roles" / service / "defaults" / "main.yml").read_text())
            drain = templar.template(variables.get(f"{service}_drain_timeout", defaults.get(f"{service}_drain_timeout", 0)))
            assert templar.template(variables["nginx_worker_shutdown_timeout"]) >= drain, f"{service} on {host.name}"


def test_a_role_that_is_used_alone_has_workers_of_nginx_that_live_as_long_as_its_drain():
    defaults = {role: yaml.safe_load((REPO / "roles" / role / "defaults" / "main.yml").read_text()) or {} for role in ROLES}
    drains = [values[f"{role}_drain_timeout"] for role, values in defaults.items() if f"{role}_drain_timeout" in values]
    assert len(drains) >= 3
    assert defaults["nginx"]["nginx_worker_shutdown_timeout"] == max(drains)


@pytest.mark.parametrize(
    ("memory", "at_once"),
    [({}, {"api": 1, "imaginary": 4}), ({"api": 1024, "imaginary": 1024}, {"api": 9, "imaginary": 9}), ({"api": 256, "imaginary": 128}, {"api": 1, "imaginary": 1})],
)
def test_a_service_works_on_as_many_requests_at_once_as_its_memory_is_enough_for(tmp_path, memory, at_once):
    write(tmp_path / "hosts.yml", DRAINED)
    write(tmp_path / "group_vars" / "litefarm" / "memory.yml", json.dumps({f"{service}_memory_mb": size for service, size in memory.items()}))
    for host, variables, templar in values_of("production", "nginx", str(tmp_path / "hosts.yml")):
        queues = templar.template(variables["nginx_queues"])
        assert {queue["upstream"]: queue["concurrency"] for queue in queues} == at_once, host.name
        assert ArgumentSpecValidator(options_of("nginx")).validate({"nginx_queues": queues}).error_messages == []


def test_no_port_is_used_twice():
    defaults = {role: yaml.safe_load((REPO / "roles" / role / "defaults" / "main.yml").read_text()) or {} for role in ROLES}
    ports = [port for role, values in defaults.items() for port in values.get(f"{role}_ports", [])]
    ports += [queue["port"] for queue in yaml.safe_load(GROUP_VARS.read_text())["nginx_queues"]]
    assert len(ports) >= 8
    assert len(set(ports)) == len(ports)


def test_droplets_keep_a_hash_of_the_environments_id_and_not_the_id(on_droplets):
    expected = hashlib.sha256(f"vault_environment_id-{'x' * 32}".encode()).hexdigest()
    assert set(on_droplets("base", "base_environment_id").values()) == {expected}


def test_a_droplet_copies_the_files_of_its_groups(on_droplets):
    found = {host: [each["tag"] for each in sets] for host, sets in on_droplets("file_backups", "file_backups_sets").items()}
    assert found == {"litefarmapp": ["certificates", "history", "dumps"], "litefarm-imaginary": ["redis", "images", "certificates"], "second": ["certificates"]}
    assert on_droplets("file_backups", "file_backups_maintains") == {"litefarmapp": True, "litefarm-imaginary": False, "second": False}
    # Two droplets that created the repository at once would damage it.
    assert on_droplets("file_backups", "file_backups_init_wait_seconds") == {"litefarmapp": 0, "litefarm-imaginary": 1200, "second": 1200}


def test_the_internal_port_is_open_for_the_load_balancer_alone(on_droplets):
    services = {host: [each for each in found if each["port"] == 8090] for host, found in on_droplets("firewall", "firewall_services").items()}
    open_for_load_balancer = [{"name": "edge", "port": 8090, "from": ["192.0.2.10"]}]
    assert services == {"litefarmapp": open_for_load_balancer, "litefarm-imaginary": [], "second": open_for_load_balancer}


def test_the_load_balancer_is_an_accepted_declaration(on_droplets):
    for host, sites in on_droplets("nginx", "nginx_sites").items():
        assert ArgumentSpecValidator(options_of("nginx")).validate({"nginx_sites": sites}).error_messages == [], host


def test_without_a_load_balancer_every_droplet_answers_for_what_it_has(on_droplets):
    sites = on_droplets("nginx", "nginx_sites", load_balancer=False)
    assert {host: [(site["name"], site.get("upstream")) for site in found] for host, found in sites.items()} == {
        # The last two for a load balancer that is given up: no port is open for them.
        "litefarmapp": [("webapp", "webapp"), ("api", "api"), ("webapp_internal", "webapp"), ("api_internal", "api")],
        "litefarm-imaginary": [("images", "imaginary")],
    }
    assert all(each["port"] != 8090 for found in on_droplets("firewall", "firewall_services", load_balancer=False).values() for each in found)


def test_what_the_world_sees_is_asked_of_who_answers_for_the_name(tmp_path):
    write(tmp_path / "scaled.yml", SCALED)
    checks_file = yaml.safe_load((REPO / "playbooks" / "vars" / "verify.yml").read_text())
    for further, at_api, at_load_balancer in (([], True, False), ([str(tmp_path / "scaled.yml")], False, True)):
        for host, variables, _templar in values_of("production", "nginx", *further):
            loader = DataLoader()
            loaded = loader.load_from_file(str(REPO / "playbooks" / "vars" / "verify.yml"), trusted_as_template=True)
            templar = Templar(loader=loader, variables=variables | loaded)
            names = {group: [check["check"] for check in templar.template(loaded["verify_checks"][group])] for group in ("api", "load_balancer")}
            assert ("api alive" in names["api"]) == at_api, host
            assert "redis" in names["api"], host
            assert "load_balancer" in variables["groups"] and (bool(variables["groups"]["load_balancer"]) == at_load_balancer), host
            assert {"page", "api alive", "export"} <= set(names["load_balancer"])
    assert {each["port"] for each in checks_file["verify_open_ports"]} <= set(checks_file["verify_ports"])
