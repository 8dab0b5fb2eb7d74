# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service is added to a copy of this project as CONTRIBUTING.md says in "Add a service", and each step that is left out is told.

The service makes PDFs on the droplet of the image files, on the private address alone, for the droplets of the API.
"""

from __future__ import annotations

import re
import shutil

import house
import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from tests.support.playbooks import INVENTORIES, REPO

ROLE = {
    "meta/main.yml": "---\ngalaxy_info: {role_name: pdf, license: GPL-3.0-or-later}\n",
    "meta/argument_specs.yml": """---
argument_specs:
  main:
    short_description: The PDF service in a container.
    options:
      pdf_image: {type: str, default: "gotenberg/gotenberg:8", description: The image that runs.}
      pdf_address: {type: str, default: 127.0.0.1, description: Address of the droplet on which it listens.}
      pdf_port: {type: int, default: 3000, description: Port on that address.}
      pdf_memory_mb: {type: int, default: 512, description: "Memory that the container may take, in MB."}
""",
    "defaults/main.yml": """---
# The image that runs.
pdf_image: gotenberg/gotenberg:8
# Address of the droplet on which it listens.
pdf_address: 127.0.0.1
# Port on that address.
pdf_port: 3000
# Memory that the container may take, in MB.
pdf_memory_mb: 512
""",
    "tasks/main.yml": """---
- name: Deploy the PDF service
  litefarm.platform.container_service:
    name: pdf
    image: "{{ pdf_image }}"
    update: recreate
    user: "65534:65534"
    tmpfs: {/tmp: size=256m}
    ports:
      - {container: 3000, address: "{{ pdf_address }}", host: ["{{ pdf_port }}"]}
    memory_mb: "{{ pdf_memory_mb }}"
    probes:
      - {name: health, kind: http, port: 3000, path: /health, status: [200]}
""",
}
SITE = """        - name: Deploy the PDF service
          ansible.builtin.import_role: {name: litefarm.platform.pdf, rolespec_validate: false}
          when: "'pdf' in group_names"
"""
CLIENTS = """litefarm_pdf_clients:
  name: pdf
  port: 3000
  from: "{{ groups['api'] | default([]) | map('extract', hostvars, 'litefarm_private_address') }}"
litefarm_pdf_servers: >-
  {{ groups['pdf'] | default([]) | map('extract', hostvars, 'litefarm_private_address') | map('regex_replace', '$', ':3000') }}
api_env: {PDF_URL: "{{ litefarm_pdf_servers | map('regex_replace', '^', 'http://') | first | default('') }}"}
"""
CLIENT = "([litefarm_pdf_clients] if 'pdf' in group_names else [])"
# Step to file, a text there that is there once, and what takes its place.
STEPS = {
    "playbook": ("playbooks/site.yml", "        - name: Create export folders\n", SITE + "        - name: Create export folders\n"),
    "preflight": ("playbooks/vars/preflight.yml", "preflight_roles: [", "preflight_roles: [pdf, "),
    "production": ("inventories/production/hosts.yml", "\nredis:\n", "\npdf:\n  hosts:\n    litefarm-imaginary:\n\nredis:\n"),
    "beta": ("inventories/beta/hosts.yml", "\nredis:\n", "\npdf:\n  hosts: {}\n\nredis:\n"),
    "fixed production": ("tests/support/inventories/production/hosts.yml", "\nredis:\n", "\npdf:\n  hosts:\n    litefarm-imaginary:\n\nredis:\n"),
    "fixed beta": ("tests/support/inventories/beta/hosts.yml", "\nredis:\n", "\npdf:\n  hosts: {}\n\nredis:\n"),
    "clients": ("playbooks/group_vars/all.yml", "\npostgres_address: ", "\n" + CLIENTS + "postgres_address: "),
    "address": ("playbooks/group_vars/all.yml", "\nredis_address: ", '\npdf_address: "{{ litefarm_private_address }}"\nredis_address: '),
    "firewall": ("playbooks/group_vars/all.yml", "firewall_services: >-\n  {{ ", f"firewall_services: >-\n  {{{{ {CLIENT} + "),
    "open port": ("playbooks/vars/verify.yml", "\nverify_open_ports:\n", "\nverify_open_ports:\n  - {port: 3000, of: pdf, for: [api]}\n"),
    "asked port": ("playbooks/vars/verify.yml", "  [22, 25, ", "  [22, 25, 3000, "),
    "verify": ("playbooks/vars/verify.yml", "\nverify_checks:\n", "\nverify_checks:\n  pdf:\n    - {check: container, kind: containers, service: pdf}\n"),
    "status": ("playbooks/status.yml", "status_services: [", "status_services: [pdf, "),
    "lab": ("lab/images.yml", '"node:22.21"', '"gotenberg/gotenberg:8": pdf\n"node:22.21"'),
}
TOLD = {
    "playbook": ["roles/pdf:1: no playbook runs the role pdf"],
    "preflight": ["playbooks/site.yml:*: pdf is not in preflight_roles of playbooks/vars/preflight.yml, so nothing checks its variables"],
    "production": ["inventories/production/hosts.yml:1: there is no group pdf: add it, empty where no droplet has the service"],
    "beta": ["inventories/beta/hosts.yml:1: there is no group pdf: add it, empty where no droplet has the service"],
    "fixed production": ["tests/support/inventories/production/hosts.yml:1: there is no group pdf: add it, empty where no droplet has the service"],
    "fixed beta": ["tests/support/inventories/beta/hosts.yml:1: there is no group pdf: add it, empty where no droplet has the service"],
    "address": ["playbooks/group_vars/all.yml:*: others may reach pdf, and pdf_address is not its droplet's litefarm_private_address"],
    "clients": [
        "playbooks/group_vars/all.yml:*: pdf is on the private address, and firewall_services lets nobody in: no entry has this name and the port 3000"
    ],
    "firewall": [
        "playbooks/group_vars/all.yml:*: pdf is on the private address, and firewall_services lets nobody in: no entry has this name and the port 3000"
    ],
    "open port": ["playbooks/vars/verify.yml:*: pdf is on the private address, and verify_open_ports has no entry “port: 3000, of: pdf, for: […]”"],
    "asked port": ["playbooks/vars/verify.yml:*: port 3000 of pdf is not in verify_ports, so nothing notices when it is open"],
    "verify": ["playbooks/vars/verify.yml:*: verify_checks has no check “kind: containers, service: pdf”"],
    "status": ["playbooks/status.yml:*: pdf is not in status_services"],
    "lab": ["lab/images.yml:1: gotenberg/gotenberg:8 is missing, the image of the role pdf"],
}


class Project:
    """A copy of what lists services, and of the roles."""

    def __init__(self, root):
        self.root = root
        for name in ("playbooks", "roles"):
            shutil.copytree(REPO / name, root / name)
        for folder in ("inventories", "tests/support/inventories"):
            shutil.copytree(INVENTORIES, root / folder)
        (root / "lab").mkdir()
        shutil.copy(REPO / "lab" / "images.yml", root / "lab")
        for role in (root / "roles").iterdir():
            (root / "tests" / "unit" / "templates" / role.name).mkdir(parents=True)

    def add(self, *, without=()):
        """The PDF service, without some of the steps."""
        for name, text in ROLE.items():
            path = self.root / "roles" / "pdf" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (self.root / "tests" / "unit" / "templates" / "pdf").mkdir()
        for step, (file, old, new) in STEPS.items():
            if step not in without:
                self.change(file, old, new)
        return self

    def change(self, file, old, new):
        path = self.root / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} has {old!r} {text.count(old)} times"
        path.write_text(text.replace(old, new))

    def told(self):
        role = self.root / "roles" / "pdf"
        breaches = [*house.check_services(self.root), *(house.check_role(role, ["pdf", "redis"]) if role.exists() else [])]
        found = [str(breach).removeprefix(f"{self.root}/") for breach in breaches]
        return [re.sub(r"^(playbooks/[^:]+):\d+:", r"\1:*:", sentence) for sentence in found]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_this_project_has_no_breach(project):
    assert project.told() == []


def test_a_service_that_was_added_as_the_page_says_has_no_breach(project):
    assert project.add().told() == []


@pytest.mark.parametrize("step", sorted(STEPS))
def test_a_step_that_is_left_out_is_told(project, step):
    assert project.add(without=[step]).told() == TOLD[step]


STAGE = """
- name: Stage the PDF service
  ansible.builtin.import_role: {name: litefarm.platform.pdf, rolespec_validate: false}
  when: "'pdf' in group_names"
"""
STAGES = ("playbooks/rollout_steps/stage.yml", "\n- name: Stage the API\n", STAGE + "\n- name: Stage the API\n")
RELEASES = ("playbooks/rollout_steps/vars.yml", "rollout_services: [", "rollout_services: [pdf, ")
IMAGE = ("playbooks/vars/images.yml", "litefarm_container_images:\n", "litefarm_container_images:\n  pdf: {repository: pdf}\n")
LACKING = "“api:export_scheduler:webapp” lacks pdf, which rollout_services has"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([STAGES], ["playbooks/rollout_steps/stage.yml:*: pdf is not in rollout_services of playbooks/rollout_steps/vars.yml"]),
        (
            [RELEASES],
            [
                "playbooks/rollout_steps/stage.yml:*: pdf is in rollout_services, and no task stages it",
                "playbooks/vars/images.yml:*: pdf is in rollout_services, and litefarm_container_images has no image of it",
            ],
        ),
        ([STAGES, RELEASES, IMAGE], []),
    ],
)
def test_a_service_that_is_released_is_in_every_list_of_those(project, changes, told):
    project.add()
    for change in changes:
        project.change(*change)
    lacking = [f"playbooks/{name}.yml:*: {LACKING}" for name in ("rollout", "rollout", "deploy", "rollback", "rollback", "rollback")]
    assert project.told() == told + (lacking if RELEASES in changes else [])


def test_a_role_that_runs_where_preflight_does_not_check_it_is_told(project):
    project.add()
    project.change("playbooks/site.yml", "          when: \"'pdf' in group_names\"\n", "")
    assert project.told() == ["playbooks/site.yml:*: pdf has no condition “'pdf' in group_names”, by which preflight chooses the roles that it checks"]


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        # A service with data.
        (
            "roles/pdf/tasks/main.yml",
            "    tmpfs:",
            "    mounts: [{source: /srv/litefarm/pdf, target: /data}]\n    tmpfs:",
            "playbooks/group_vars/all.yml:*: /srv/litefarm/pdf of pdf is in no copy of file_backups_sets, nor in NOT_COPIED of tools/house.py",
        ),
        (
            "roles/pdf/tasks/main.yml",
            "name: pdf\n",
            "name: pdf_maker\n",
            "playbooks/vars/verify.yml:*: the container pdf_maker is not named as its group pdf, so “misplaced containers” tells of it",
        ),
        (
            "playbooks/vars/preflight.yml",
            "preflight_roles: [pdf, ",
            "preflight_roles: [pdf, pfd, ",
            "playbooks/vars/preflight.yml:*: pfd is in preflight_roles, and there is no such role",
        ),
        (
            "playbooks/vars/preflight.yml",
            "    redis: the API",
            "    pfd: two are one too many\n    redis: the API",
            "playbooks/vars/preflight.yml:*: single_groups has pfd, which is a group of no inventory",
        ),
        (
            "playbooks/group_vars/all.yml",
            "if 'image_files' in group_names else [])\n     + ([litefarm_certificates_copy]",
            "if 'image_files' in group_names else []) + ([litefarm_pdf_copy] if 'pdf' in group_names else [])\n     + ([litefarm_certificates_copy]",
            "playbooks/vars/preflight.yml:*: pdf has copies and is not in backup_groups, so nothing checks the bucket for it",
        ),
        # The firewall would open another port than that of the service.
        (
            "roles/pdf/defaults/main.yml",
            "pdf_port: 3000",
            "pdf_port: 5432",
            "playbooks/group_vars/all.yml:*: pdf is on the private address, and firewall_services lets nobody in: no entry has this name and the port 5432",
        ),
    ],
)
def test_what_else_a_service_needs_is_told(project, file, old, new, sentence):
    project.add()
    project.change(file, old, new)
    assert sentence in project.told()


@pytest.mark.parametrize(
    ("environment", "url", "seen"),
    [
        ("production", "http://192.0.2.11:3000", {"litefarmapp": [], "litefarm-imaginary": [("192.0.2.11", 3000, ["192.0.2.10"])]}),
        ("beta", "", {"liteformbeta": [], "export-beta": []}),
    ],
)
def test_the_droplets_of_the_api_alone_reach_it_on_the_private_address(project, environment, url, seen):
    project.add()
    loader = DataLoader()
    loader.set_basedir(str(project.root / "playbooks"))
    inventory = InventoryManager(loader=loader, sources=[str(project.root / "inventories" / environment)])
    manager = VariableManager(loader=loader, inventory=inventory)
    HostVars(inventory, manager, loader)
    found = {}
    for host in inventory.get_hosts("litefarm"):
        templar = Templar(loader=loader, variables=manager.get_vars(host=host))
        services, address, given = (templar.template(trust_as_template("{{ %s }}" % name)) for name in ("firewall_services", "pdf_address", "api_env"))
        assert given == {"PDF_URL": url}
        found[host.name] = [(address, each["port"], each["from"]) for each in services if each["name"] == "pdf"]
    assert found == seen


def test_a_role_without_unit_tests_is_told(project):
    project.add()
    (project.root / "tests" / "unit" / "templates" / "pdf").rmdir()
    assert project.told() == ["roles/pdf:1: no unit test is in tests/unit/templates/pdf"]
