# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the database, the history and the backups are: three variables, by default the droplet of the group postgres, that an inventory may set."""

from __future__ import annotations

import json
import shutil

import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from tests.support.playbooks import INVENTORIES, REPO, Environment

PLACES = ("litefarm_database_address", "litefarm_history_host", "litefarm_backup_host")


class Droplets:
    """Variables of every droplet of production, whose group postgres has the given droplets, with the given variables of the environment."""

    def __init__(self, folder, postgres=None, **variables):
        inventory = folder / "inventory"
        shutil.copytree(INVENTORIES / "production", inventory, ignore=shutil.ignore_patterns("vault*.yml"))
        hosts = yaml.safe_load((inventory / "hosts.yml").read_text())
        if postgres is not None:
            hosts["postgres"]["hosts"] = dict.fromkeys(postgres)
            for name in postgres:
                hosts["litefarm"]["hosts"].setdefault(name, {"litefarm_private_address": "192.0.2.20"})
        (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts, sort_keys=False))
        (inventory / "group_vars" / "litefarm" / "test.yml").write_text(yaml.safe_dump(variables))
        self.loader = DataLoader()
        self.loader.set_basedir(str(REPO / "playbooks"))
        self.inventory = InventoryManager(loader=self.loader, sources=[str(inventory)])
        self.manager = VariableManager(loader=self.loader, inventory=self.inventory)
        HostVars(self.inventory, self.manager, self.loader)

    def value(self, name, *files, of=()):
        """The variable on each droplet; files of playbooks/ are those that a play names as vars_files."""
        found = {}
        for host in self.inventory.get_hosts("litefarm"):
            variables = self.manager.get_vars(host=host)
            for file in files:
                variables |= self.loader.load_from_file(str(REPO / "playbooks" / file), trusted_as_template=True)
            value = variables[name]
            for key in of:
                value = value[key]
            found[host.name] = Templar(loader=self.loader, variables=variables).template(value)
        return found

    def one(self, name, *files):
        """A value that all droplets have to agree on."""
        values = {json.dumps(value) for value in self.value(name, *files).values()}
        assert len(values) == 1, values
        return json.loads(values.pop())


def checks(droplets, kind):
    """The droplets for which verify.yml makes checks of this kind."""
    made = set()
    for group in yaml.safe_load((REPO / "playbooks" / "vars" / "verify.yml").read_text())["verify_checks"]:
        if group not in ("litefarm", "postgres"):
            continue
        members = {host.name for host in droplets.inventory.get_hosts(group)}
        given = droplets.value("verify_checks", "vars/verify.yml", of=[group])
        made |= {host for host, found in given.items() if host in members and any(check["kind"] == kind for check in found)}
    return made


def copies(droplets):
    return {host: [each["tag"] for each in sets] for host, sets in droplets.value("file_backups_sets").items()}


def test_by_default_they_are_on_the_droplet_of_the_database(tmp_path):
    droplets = Droplets(tmp_path)
    assert [droplets.one(name) for name in PLACES] == ["192.0.2.10", "litefarmapp", "litefarmapp"]
    assert droplets.one("api_database_address") == "192.0.2.10"
    assert droplets.one("restore_droplet", "vars/restore.yml") == "litefarmapp"
    assert copies(droplets) == {"litefarmapp": ["certificates", "history", "dumps"], "litefarm-imaginary": ["redis", "images", "certificates"]}
    assert (checks(droplets, "releases"), checks(droplets, "backups")) == ({"litefarmapp"}, {"litefarmapp"})


def test_another_first_droplet_of_the_group_takes_all_three(tmp_path):
    droplets = Droplets(tmp_path, ["third", "litefarmapp"])
    assert [droplets.one(name) for name in PLACES] == ["192.0.2.20", "third", "third"]
    assert droplets.one("api_database_address") == "192.0.2.20"
    assert droplets.one("restore_droplet", "vars/restore.yml") == "third"
    assert {host for host, tags in copies(droplets).items() if {"history", "dumps"} & set(tags)} == {"third"}
    assert (checks(droplets, "releases"), checks(droplets, "backups")) == ({"third"}, {"third"})


def test_an_inventory_puts_each_of_them_somewhere_else(tmp_path):
    places = dict(zip(PLACES, ["192.0.2.99", "litefarm-imaginary", "third"]))
    droplets = Droplets(tmp_path, ["litefarmapp", "third"], **places)
    assert {name: droplets.one(name) for name in PLACES} == places
    assert droplets.one("api_database_address") == "192.0.2.99"
    assert droplets.one("restore_droplet", "vars/restore.yml") == "third"
    assert copies(droplets) == {"litefarmapp": ["certificates"], "litefarm-imaginary": ["redis", "images", "certificates", "history"], "third": ["dumps"]}
    assert (checks(droplets, "releases"), checks(droplets, "backups")) == ({"litefarm-imaginary"}, {"third"})


def test_a_managed_database_needs_no_droplet(tmp_path):
    droplets = Droplets(tmp_path, [], litefarm_database_address="192.0.2.99")
    assert [droplets.one(name) for name in PLACES] == ["192.0.2.99", "litefarmapp", ""]
    assert droplets.one("api_database_address") == "192.0.2.99"
    assert (checks(droplets, "releases"), checks(droplets, "backups")) == ({"litefarmapp"}, set())
    assert not any("dumps" in tags for tags in copies(droplets).values())
    needed = droplets.one("preflight_requirements", "vars/preflight.yml")["needed_groups"]
    assert needed == ["nginx", "redis", "image_files", "api", "export_scheduler", "webapp"]


def test_without_an_address_an_environment_needs_a_droplet_with_the_database(tmp_path):
    needed = Droplets(tmp_path, []).one("preflight_requirements", "vars/preflight.yml")["needed_groups"]
    assert needed == ["nginx", "postgres", "redis", "image_files", "api", "export_scheduler", "webapp"]


def test_a_place_that_is_no_droplet_is_refused_before_anything_is_asked(tmp_path):
    environment = Environment(tmp_path / "inventory")
    environment.set(litefarm_history_host="nowhere", litefarm_backup_host="")
    file = environment.folder / "group_vars" / "litefarm" / "test.yml"
    for playbook, sentence in (
        ("unlock.yml", "litefarm_history_host in %s is 'nowhere', which is not the name of a droplet: name one of the inventory's hosts.yml." % file),
        ("backups.yml", "litefarm_backup_host in %s is '', which is not the name of a droplet: name one of the inventory's hosts.yml." % file),
    ):
        process = environment.play(playbook)
        assert process.returncode != 0 and sentence in process.stdout + process.stderr, process.stdout + process.stderr
        assert "TASK" not in process.stdout
