# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every playbook as a person starts it wrongly: refused with a sentence before its first task."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret
from ansible.template import Templar
from ansible_collections.litefarm.platform.plugins.action.announce import announcement, inventory_given
from ansible_collections.litefarm.platform.plugins.plugin_utils._run_checks import PLAYBOOKS, unknown_in_limit, vault_problems

from tests.support.ansible_run import ansible_playbook
from tests.support.playbooks import REPO, Environment, inherited
from tools import house

# A run that is not refused must not change the machine of the tests.
NOWHERE = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
ENTRIES = sorted(path.name for path in (REPO / "playbooks").glob("*.yml") if path.name not in house.PARTS) + ["../site.yml"]
CHANGING = sorted(set(PLAYBOOKS) - {"backups", "preflight", "status", "verify"})


@pytest.fixture(name="environment", scope="module")
def fixture_environment(tmp_path_factory):
    environment = Environment(tmp_path_factory.mktemp("run") / "inventory")
    for droplet in environment.droplets:
        environment.host(droplet, **NOWHERE)
    return environment


@pytest.fixture(name="environment_with_vault", scope="module")
def fixture_environment_with_vault(tmp_path_factory):
    environment = Environment(tmp_path_factory.mktemp("vault") / "inventory")
    for droplet in environment.droplets:
        environment.host(droplet, **NOWHERE)
    environment.vault.write_text(environment.encrypted("vault_jwt_secret: abc\n"))
    return environment


def refused(process):
    """What was said, if no task was begun."""
    output = process.stdout + process.stderr
    assert process.returncode != 0, output
    assert "PLAY [" not in output and "TASK [" not in output and "Traceback" not in output, output
    assert "Nothing was changed" in output, output
    return " ".join(output.split())


def test_every_playbook_has_an_entry_in_the_list_of_names():
    assert {entry.removeprefix("../").removesuffix(".yml") for entry in ENTRIES} == set(PLAYBOOKS)


@pytest.mark.parametrize("entry", ENTRIES)
def test_no_option_leaves_out_a_task(environment, entry):
    """Several at once, because each run takes a second."""
    name = entry.removeprefix("../").removesuffix(".yml")
    output = refused(environment.play(entry, "--tags", "api", "--skip-tags", "always", "--step", "-e", "version=v1.4.0", "-e", "litefarm_version=We are back"))
    assert "A run with --tags api (or ANSIBLE_RUN_TAGS) would leave out tasks that the others need: start it without that option." in output
    assert "A run with --skip-tags always (or ANSIBLE_SKIP_TAGS) would leave out tasks" in output
    assert "A run with --step would leave out tasks" in output
    assert "playbooks/%s.yml reads no variable version, which option -e gives: write litefarm_version if that is meant" % name in output
    assert "Option -e has words that belong to no variable: 'are back'." in output
    assert "because 5 things stand in the way" in output


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_run_begins_at_its_beginning(environment, entry):
    """Also where the task that is named is the last one, or none."""
    tasks = re.findall(r"^ {4,}- name: (.+)$", (REPO / "playbooks" / entry).read_text(), re.MULTILINE)
    output = refused(environment.play(entry, "--start-at-task", tasks[-1] if tasks else "Images can be pulled"))
    assert "A run with --start-at-task '" in output


def test_a_run_in_another_folder_reads_the_settings_of_this_one(tmp_path):
    """As README says. Without them Ansible knows neither the collection nor the inventory."""
    settings = dict(inherited(), ANSIBLE_CONFIG=str(REPO / "ansible.cfg"))
    done = ansible_playbook([str(REPO / "playbooks" / "preflight.yml"), "--list-hosts"], cwd=tmp_path, env=settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pattern: ['litefarm']" in done.stdout


def test_tags_of_the_environment_are_options_too(environment):
    assert "--tags api (or ANSIBLE_RUN_TAGS)" in refused(environment.play("unlock.yml", env={"ANSIBLE_RUN_TAGS": "api"}))
    assert "--skip-tags api (or ANSIBLE_SKIP_TAGS)" in refused(environment.play("unlock.yml", env={"ANSIBLE_SKIP_TAGS": "api"}))


def test_what_leaves_nothing_out_is_taken(environment):
    for options in (["--tags", "all"], ["--skip-tags", "molecule-notest,notest,molecule-idempotence-notest"], ["--list-tasks", "--tags", "api"], ["--syntax-check", "--step"]):
        process = environment.play("secrets.yml", "--check", *options)
        assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"ANSIBLE_HASH_BEHAVIOUR": "merge"}, "Ansible's setting DEFAULT_HASH_BEHAVIOUR is merge (env: ANSIBLE_HASH_BEHAVIOUR), so dictionaries"),
        ({"ANSIBLE_PRECEDENCE": "all_inventory,groups_inventory"}, "Ansible's setting VARIABLE_PRECEDENCE is all_inventory, groups_inventory (env: ANSIBLE_PREC"),
        ({"ANSIBLE_RUN_VARS_PLUGINS": "start"}, "Ansible's setting RUN_VARS_PLUGINS is start"),
        ({"ANSIBLE_KEEP_REMOTE_FILES": "1"}, "Ansible's setting DEFAULT_KEEP_REMOTE_FILES is True"),
        ({"ANSIBLE_TASK_TIMEOUT": "30"}, "Ansible's setting TASK_TIMEOUT is 30"),
        ({"ANSIBLE_TRANSPORT": "local"}, "With connection local (option -c, or ANSIBLE_TRANSPORT) this machine would be changed"),
    ],
)
def test_a_setting_that_changes_what_a_playbook_does(environment, settings, sentence):
    assert sentence in refused(environment.play("unlock.yml", env=settings))


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_vault_without_its_password(environment_with_vault, entry):
    """Ansible says that it is attempting to decrypt, and not what."""
    environment = environment_with_vault
    output = refused(environment.play(entry, password=False))
    assert (
        "Nothing was changed. %s is encrypted, and this run has no vault password: put it into a file that only you can read and export "
        "ANSIBLE_VAULT_PASSWORD_FILE=FILE, or add --ask-vault-pass." % environment.vault in output
    )


@pytest.mark.parametrize("entry", ["preflight.yml", "unlock.yml"])
def test_a_vault_with_another_password(tmp_path, environment_with_vault, entry):
    environment = environment_with_vault
    (tmp_path / "other").write_text("another password\n")
    output = refused(environment.play(entry, "--vault-password-file", str(tmp_path / "other"), password=False))
    assert "The vault password of this run does not open %s: give the one that it was encrypted with" % environment.vault in output


def test_templates_in_a_vault_are_still_templates(environment_with_vault):
    loader, path = DataLoader(), environment_with_vault.folder / "host_vars" / "litefarmapp.yml"
    loader.set_vault_secrets([("default", VaultSecret(environment_with_vault.password.read_bytes().strip()))])
    before = path.read_text()
    path.write_text(environment_with_vault.encrypted("vault_sum: '{{ 1 + 1 }}'\n"))
    variables = {"groups": {"litefarm": ["litefarmapp"]}, "ansible_inventory_sources": [str(environment_with_vault.folder)]}
    assert vault_problems(loader, variables) == []
    values = loader.load_from_file(str(path), trusted_as_template=True)
    path.write_text(before)
    assert Templar(loader=loader, variables=values).template(values["vault_sum"]) == 2


def test_one_encrypted_value_without_the_password(tmp_path):
    environment = Environment(tmp_path / "inventory")
    environment.set(vault_webhook="https://example.org")
    assert "group_vars/litefarm/test.yml is encrypted, and this run has no vault password" in refused(environment.play("unlock.yml", password=False))


def test_a_vault_that_no_droplet_uses_needs_no_password(environment):
    other = environment.folder / "group_vars" / "elsewhere.yml"
    other.write_text(environment.encrypted("a: b"))
    process = environment.play("storage.yml", password=False)
    other.unlink()
    assert "PLAY [" in process.stdout and "no vault password" not in process.stdout + process.stderr


def test_another_copy_of_the_collection_is_not_mixed_in(environment, tmp_path):
    """ANSIBLE_COLLECTIONS_PATH of a person's shell outranks this project's ansible.cfg."""
    (tmp_path / "copy" / "playbooks").mkdir(parents=True)
    (tmp_path / "copy" / "roles").mkdir()
    (tmp_path / "copy" / "galaxy.yml").write_text((REPO / "galaxy.yml").read_text())
    playbook = tmp_path / "copy" / "playbooks" / "unlock.yml"
    playbook.write_text((REPO / "playbooks" / "unlock.yml").read_text())
    assert "The playbook is of %s, and its roles and plugins would be of " % (tmp_path / "copy") in refused(environment.play(str(playbook)))


def test_an_inventory_without_droplets_and_a_limit_that_leaves_none_are_no_success(environment, tmp_path):
    (tmp_path / "hosts.yml").write_text("ungrouped: {hosts: {one: }}\n")
    other = Environment(tmp_path / "inventory")
    (other.folder / "hosts.yml").write_text("all: {hosts: {one: }}\n")
    assert "No droplet is in the group litefarm: give an inventory that has one" in refused(other.play("site.yml"))
    output = refused(environment.play("unlock.yml", "--limit", "litefarm-imaginary"))
    assert "--limit litefarm-imaginary leaves no droplet of litefarmapp, so nothing would be done" in output


def test_a_name_in_the_limit_that_matches_nothing_is_refused_next_to_a_right_one(environment):
    output = refused(environment.play("deploy.yml", "--limit", "litefarmapp,litefarm-imagnary"))
    assert "--limit names litefarm-imagnary, which is no droplet and no group of the inventory: write litefarm-imaginary if that is meant" in output
    # An exclusion that matches nothing would change the droplet that was to be left alone.
    output = refused(environment.play("site.yml", "--limit", "all:!litefarm_imaginary"))
    assert "--limit names litefarm_imaginary, which is no droplet and no group of the inventory: write litefarm-imaginary" in output
    assert "stands in the way" not in output


@pytest.fixture(name="inventory")
def fixture_inventory(tmp_path):
    path = tmp_path / "hosts.yml"
    path.write_text("litefarm: {hosts: {app-1: , app-2: , files: }}\napi: {hosts: {app-1: , app-2: }}\nload_balancer: {hosts: {}}\n")
    return InventoryManager(loader=DataLoader(), sources=[str(path)])


@pytest.mark.parametrize(
    "limit", ["app-1", "app-1,files", "app-1:files", "all", "all:!app-2", "api:&app-1", "api[0]", "api[0:1]", "app-*", "~app-.", "load_balancer:app-1", "localhost"]
)
def test_a_limit_that_names_what_there_is(inventory, limit):
    assert unknown_in_limit(inventory, limit) == []


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        ("app-1,fils", "--limit names fils, which is no droplet and no group of the inventory: write files if that is meant, or leave it out."),
        ("all:!fils", "--limit names fils, which is no droplet and no group of the inventory: write files if that is meant, or leave it out."),
        ("app-1:&apis", "--limit names apis, which is no droplet and no group of the inventory: write api if that is meant, or leave it out."),
        ("app-1,db-*", "--limit names db-*, which is no droplet and no group of the inventory: name one of app-1, app-2, files, or leave it out."),
    ],
)
def test_a_limit_that_names_what_there_is_not(inventory, limit, sentence):
    assert unknown_in_limit(inventory, limit) == [sentence]


def test_a_file_of_names_is_read_too(inventory, tmp_path):
    (tmp_path / "names").write_text("app-1\nfils\n")
    assert [sentence.split(",")[0] for sentence in unknown_in_limit(inventory, "@%s" % (tmp_path / "names"))] == ["--limit names fils"]


@pytest.mark.parametrize(
    ("playbook", "given", "sentence"),
    [
        ("site.yml", {"secret": "x"}, "playbooks/site.yml reads no variable secret, which option -e gives: it belongs to playbooks/rotate.yml, so leave it out here."),
        ("deploy.yml", {"to": "v1"}, "which option -e gives: it belongs to playbooks/restore.yml and playbooks/rollback.yml, so leave it out here."),
        ("deploy.yml", {"litefarm_verson": "v1"}, "reads no variable litefarm_verson, which option -e gives: write litefarm_version if that is meant"),
        ("deploy.yml", {"rollout_failed": False}, "reads no variable rollout_failed"),
        ("deploy.yml", {"litefarm_release": {}}, "reads no variable litefarm_release"),
        ("site.yml", {"groups": {}}, "reads no variable groups"),
        ("deploy.yml", {"litefarm_to": "v1"}, "which option -e gives: it belongs to playbooks/restore.yml and playbooks/rollback.yml, so leave it out here."),
        ("deploy.yml", {"litefarm_forse": True}, "reads no variable litefarm_forse, which option -e gives: write litefarm_force if that is meant"),
        ("rollback.yml", {"litefarm_to": 3.10}, "litefarm_to in option -e is read as the number 3.1 and not as text"),
        ("rollback.yml", {"to": "v1", "litefarm_to": "v2"}, "Option -e has to and litefarm_to, which are the same: give litefarm_to alone."),
        ("rollback.yml", {"to": 3.10}, "to in option -e is read as the number 3.1 and not as text, which may have changed it: put it in quotes"),
        ("restore.yml", {"to": 2026}, "to in option -e is read as the number 2026 and not as text"),
        ("restore.yml", {"confirm": True}, "confirm in option -e is read as true and not as text"),
        ("backup.yml", {"name": "x"}, "reads no variable name, which option -e gives: write litefarm_name if that is meant"),
        ("rotate.yml", {"secret": True}, "secret in option -e is read as true and not as text"),
        ("maintenance.yml", {"state": "on", "message": 14}, "message in option -e is read as the number 14 and not as text"),
    ],
)
def test_a_variable_of_the_command_line(environment, playbook, given, sentence):
    assert sentence in refused(environment.play(playbook, "-e", json.dumps(given)))


def test_a_file_of_variables_is_looked_at_too(environment, tmp_path):
    (tmp_path / "given.yml").write_text("forse: true\n")
    assert "playbooks/deploy.yml reads no variable forse, which option -e gives: write litefarm_force" in refused(
        environment.play("deploy.yml", "-e", "@%s" % (tmp_path / "given.yml"))
    )


def test_variables_that_something_reads_are_taken(tmp_path):
    """Of a role, the platform, Ansible, a vault, the playbook itself, and one that the inventory's own expressions read."""
    environment = Environment(tmp_path / "inventory")
    environment.set(litefarm_contact_email="{{ our_name | default('team') | our_filter }}@example.org")
    given = {"nginx_body_max_mb": 3, "litefarm_version": "v1", "ansible_user": "x", "vault_webhook": "y", "our_name": "z", "litefarm_operator": "ben"}
    process = environment.play("secrets.yml", "--check", "-e", json.dumps(given))
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.parametrize("playbook", ["site.yml", "deploy.yml", "preflight.yml", "maintenance.yml"])
def test_an_open_vault_is_refused(tmp_path, playbook):
    environment = Environment(tmp_path / "inventory")
    for droplet in environment.droplets:
        environment.host(droplet, **NOWHERE)
    environment.vault.write_text("---\nvault_jwt_secret: abc\nvault_old: def\n")
    environment.vault.chmod(0o600)
    sentence = "%s holds secrets in plain text (vault_jwt_secret and 1 more) and is not encrypted: encrypt it with ansible-vault encrypt %s."
    assert sentence % (environment.vault, environment.vault) in refused(environment.play(playbook))


@pytest.mark.parametrize("playbook", ["rollback.yml", "unlock.yml"])
def test_what_brings_an_environment_back_warns_of_an_open_vault(tmp_path, playbook):
    environment = Environment(tmp_path / "inventory")
    for droplet in environment.droplets:
        environment.host(droplet, **NOWHERE)
    environment.vault.write_text("---\nvault_jwt_secret: abc\nvault_old: def\n")
    process = environment.play(playbook)
    output = " ".join((process.stdout + process.stderr).split())
    # It goes on as far as the droplet, which is nowhere.
    assert re.search(r"litefarmapp\]: UNREACHABLE!|could not be reached", output) and "holds secrets in plain text (vault_jwt_secret and 1 more)" in output, output


def test_one_secret_among_other_variables_is_moved(tmp_path):
    environment = Environment(tmp_path / "inventory")
    environment.host(vault_webhook="https://example.org/secret", vault_other="{{ lookup('ansible.builtin.env', 'OTHER') }}")
    sentence = "host_vars/litefarmapp.yml holds secrets in plain text (vault_webhook) and is not encrypted: move them with ansible-vault edit %s."
    output = refused(environment.play("site.yml"))
    assert sentence % environment.vault in output
    assert "https://example.org/secret" not in output


def test_looking_is_possible_with_an_open_vault(tmp_path):
    environment = Environment(tmp_path / "inventory")
    environment.vault.write_text("---\nvault_jwt_secret: abc\n")
    assert "TASK [" in environment.play("status.yml").stdout


def test_checks_of_a_group_with_its_old_name_are_not_left_out(tmp_path):
    """verify.yml is run without preflight.yml, and would ask nothing of that group's droplets."""
    environment = Environment(tmp_path / "inventory")
    hosts = environment.folder / "hosts.yml"
    hosts.write_text(hosts.read_text().replace("\nimage_files:\n", "\nimages:\n"))
    assert "The group images in %s is called image_files now: rename it there." % hosts in refused(environment.play("verify.yml"))


@pytest.mark.parametrize("name", CHANGING)
def test_what_changes_an_environment_announces_it(name):
    """Before any task that changes something: in the playbook's first play, or by preflight.yml, which changes nothing."""
    text = (REPO / "playbooks" / ("%s.yml" % name)).read_text()
    plays = yaml.safe_load(text)
    if name in ("site", "deploy", "rollback"):
        (preflight,) = [play for play in plays if play.get("ansible.builtin.import_playbook") == "preflight.yml"]
        assert "litefarm_release.version" in preflight["vars"]["preflight_announcement"]
        assert "litefarm.platform.announce" in yaml.safe_load((REPO / "playbooks" / "preflight.yml").read_text())[0]["tasks"][-1]
    else:
        tasks = [task for task in plays[0]["tasks"] if "ansible.builtin.fail" not in task]
        assert "litefarm.platform.announce" in tasks[0]


def test_the_environment_is_named_before_it_is_changed(environment):
    process = environment.play("secrets.yml", "--check")
    line = "production: create the secrets that are missing in the vault (inventory %s; check run: nothing is changed)" % environment.folder
    assert process.stdout.index(line) < process.stdout.index("Would be created")


def test_a_default_inventory_is_pointed_out():
    assert announcement("production", "break the deploy lock", ["inventories/production"], given=False, check_mode=False) == (
        "production: break the deploy lock (inventory inventories/production, the default, because no -i was given)"
    )
    assert announcement("beta", "deploy v1", ["a", "b"], given=True, check_mode=False) == "beta: deploy v1 (inventory a and b)"
    assert inventory_given(["ansible-playbook", "-i", "x"]) and inventory_given(["ansible-playbook", "--inventory=x"])
    assert not inventory_given(["ansible-playbook", "playbooks/unlock.yml", "-e", "to=-i"])


def test_the_strategy_of_a_persons_environment_does_not_count(environment):
    process = environment.play("secrets.yml", "--check", env={"ANSIBLE_STRATEGY": "no_such_strategy"})
    assert process.returncode == 0, process.stdout + process.stderr
