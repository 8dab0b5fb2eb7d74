# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations as a person starts them: rotate.yml with the real group_vars, and a site.yml that only notes what each droplet would be given."""

from __future__ import annotations

import json
import shutil
import stat

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.litefarm.platform.plugins.action.preflight import certificate_problems
from ansible_collections.litefarm.platform.plugins.module_utils._fingerprint import key_id
from ansible_collections.litefarm.platform.plugins.plugin_utils import _vault_file as vault_file
from ansible_collections.litefarm.platform.plugins.plugin_utils._secret_rules import names

from tests.support.night import sample
from tests.support.playbooks import REPO, Environment, problems

SECRETS = yaml.safe_load((REPO / "playbooks" / "vars" / "secrets.yml").read_text())["litefarm_secrets"]
TOKEN = {"name": "vault_token", "services": ["api"], "kind": "token", "length": 40, "minimum": 24, "rotation": "none"}
TWICE = dict(TOKEN, accepted_twice=True)
KEPT = dict(TOKEN, keep_previous=True)
TEXT = """---
# Why it is here.
vault_other: 'x'  # a note
vault_token: "old"  # another note
vault_key: |
  -----BEGIN
  abc

# About the last one.
"vault_last": >-
  one
  two
"""

SITE = """
- name: redis
  hosts: redis
  gather_facts: false
  tasks: &tasks
    - ansible.builtin.shell:
        cmd: cat >> {log}
        stdin: >-
          {{{{ {{'host': inventory_hostname, 'redis': redis_password, 'redis_previous': redis_previous_password, 'client': api_redis_password,
              'elsewhere': hostvars[groups['api'][0]]['vault_redis_password'], 'jwt': api_jwt_secret,
              'backup': litefarm_backup_encryption_key, 'backups_before': litefarm_backup_previous_encryption_keys,
              'keys': nginx_keys.images.beta | default([])}} | to_json }}}}
      when: ansible_play_name != 'all'
      no_log: true
    - ansible.builtin.command: kill -KILL {{{{ lookup('ansible.builtin.pipe', 'cut -d" " -f4 /proc/$PPID/stat') }}}}
      when: kill_after | default(0) | int == lookup('ansible.builtin.file', '{log}').splitlines() | length
    - ansible.builtin.fail:
        msg: This droplet fails.
      when:
        - fail_at | default('') == [ansible_play_name, inventory_hostname] | join(' ')
        - fail_after | default(0) | int <= lookup('ansible.builtin.file', '{log}').splitlines() | length
- name: api
  hosts: api
  gather_facts: false
  tasks: *tasks
- name: all
  hosts: litefarm
  gather_facts: false
  tasks: *tasks
"""


class World:
    """An environment, a copy of the playbooks whose site.yml notes what it sees, and the notes."""

    def __init__(self, folder, source, vault):
        self.environment = Environment(folder / "inventory", source)
        for droplet in yaml.safe_load((self.environment.folder / "hosts.yml").read_text())["litefarm"]["hosts"]:
            self.environment.host(droplet)
        self.environment.vault.write_text(vault)
        self.log = folder / "log"
        self.playbooks = folder / "playbooks"
        shutil.copytree(REPO / "playbooks", self.playbooks)
        (self.playbooks / "site.yml").write_text(SITE.format(log=self.log))
        self.backups = folder / "backups"
        for name in ("litefarm-postgres-backup", "litefarm-file-backup"):
            self.program(name, 'echo "${0##*/} $*" >> %s' % self.backups)
        rotation = self.playbooks / "rotate.yml"
        rotation.write_text(rotation.read_text().replace("/usr/local/sbin", str(folder / "programs")))

    def program(self, name, text):
        """One of a droplet's, which this machine lacks."""
        path = self.log.parent / "programs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n%s\n" % text)
        path.chmod(0o755)

    def rotate(self, secret, *options, **harm):
        """Harm is read by the site.yml above, and is no variable of option -e, of which only known ones are taken."""
        self.log.write_text("")
        self.backups.write_text("")
        (self.environment.folder / "group_vars" / "litefarm" / "harm.yml").write_text(yaml.safe_dump(harm))
        self.process = self.environment.play(str(self.playbooks / "rotate.yml"), "-e", "secret=%s" % secret, *options)
        return self.process.returncode

    def seen(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def backed_up(self):
        return sorted(self.backups.read_text().splitlines())

    def secrets(self):
        return yaml.safe_load(self._vault().decrypt(self.environment.vault.read_text()))

    def set(self, **values):
        secrets = {name: value for name, value in dict(self.secrets(), **values).items() if value is not None}
        self.environment.vault.write_text(self._vault().encrypt(yaml.safe_dump(secrets)).decode())

    def _vault(self):
        return VaultLib([("default", VaultSecret(self.environment.password.read_bytes().strip()))])

    def assert_nothing_is_told(self, *before):
        output = self.process.stdout + self.process.stderr
        for values in (*before, self.secrets()):
            assert not [name for name, value in values.items() if value and value.strip() in output]


@pytest.fixture(name="vaults", scope="module")
def fixture_vaults(tmp_path_factory):
    """Both environments' vaults, made once."""
    vaults = {}
    for source in ("production", "beta"):
        environment = Environment(tmp_path_factory.mktemp("vault") / "inventory", source)
        process = environment.play("secrets.yml")
        assert process.returncode == 0, process.stdout
        vaults[source] = environment.vault.read_text(), process.stdout
    return vaults


@pytest.fixture(name="world")
def fixture_world(tmp_path, vaults):
    return World(tmp_path, "production", vaults["production"][0])


def test_a_value_is_replaced_where_it_is_and_every_other_line_stays():
    text = vault_file.put(TEXT, {"vault_token": "new", "vault_token_previous": "o'l\"d"})
    assert text == TEXT.replace('"old"', '"new"') + 'vault_token_previous: "o\'l\\"d"\n'
    assert yaml.safe_load(text)["vault_token_previous"] == "o'l\"d"
    assert vault_file.remove(text, ["vault_token_previous"]).splitlines() == TEXT.replace('"old"', '"new"').splitlines()


@pytest.mark.parametrize("name", ["vault_other", "vault_token", "vault_key", "vault_last"])
@pytest.mark.parametrize("value", ["new", "-----BEGIN\ndef\n-----END\n"])
@pytest.mark.parametrize("text", [TEXT, TEXT.rstrip("\n")])
def test_every_form_of_an_entry_can_be_replaced_and_removed(name, value, text):
    before = yaml.safe_load(text)
    changed = vault_file.put(text, {name: value})
    assert yaml.safe_load(changed) == dict(before, **{name: value})
    removed = vault_file.remove(text, [name])
    assert yaml.safe_load(removed) == {each: value for each, value in before.items() if each != name}
    assert "# Why it is here." in changed and "# About the last one." in removed


def test_a_rotation_begins_once():
    assert set(vault_file.begin_rotation([TOKEN], {"vault_token": "old"}, "vault.yml")) == {"vault_token"}
    entries = vault_file.begin_rotation([TWICE], {"vault_token": "old", "vault_token_previous": ""}, "vault.yml")
    assert entries["vault_token_previous"] == "old" and len(entries["vault_token"]) == 40
    assert vault_file.begin_rotation([TWICE], entries, "vault.yml") == {}


def test_the_value_before_a_rotation_is_kept_by_a_name_of_its_own():
    entries = vault_file.begin_rotation([KEPT], {"vault_token": "old"}, "vault.yml")
    assert set(entries) == {"vault_token", "vault_token_cba06b57"} and entries["vault_token_cba06b57"] == "old"
    # The rotation is not open, so the next one makes another value, and both old ones stay.
    again = vault_file.begin_rotation([KEPT], entries, "vault.yml")
    assert "vault_token_cba06b57" not in again and again["vault_token_%s" % key_id(entries["vault_token"])] == entries["vault_token"]


def test_only_secrets_that_are_kept_have_such_names():
    present = {"vault_token": "", "vault_token_cba06b57": "", "vault_token_previous": "", "vault_token_cba06b5": "", "vault_token_cba06b573": ""}
    assert names([KEPT], present) == {"vault_token", "vault_token_cba06b57"}
    assert names([TOKEN], present) == {"vault_token"}
    assert names([KEPT]) == {"vault_token"}


@pytest.mark.parametrize("values", [{}, {"vault_token": ""}, {"vault_token": None}, {"vault_token": 12}])
def test_what_is_not_there_is_not_rotated(values):
    with pytest.raises(vault_file.SecretError, match="The secret vault_token is not in vault.yml: run playbooks/secrets.yml"):
        vault_file.begin_rotation([TWICE], values, "vault.yml")


def test_secrets_yml_says_who_needs_a_copy(vaults):
    assert "vault_imaginary_token_beta: the environment beta, as vault_imaginary_token" in vaults["production"][1]
    assert "vault_imaginary_token: vault_imaginary_token_beta in production's vault" in vaults["beta"][1]
    assert "Others need a copy" not in vaults["beta"][1]


def test_both_values_are_accepted_until_every_client_has_the_new_one(world):
    before = world.secrets()
    assert world.rotate("redis_password", "-vvv", "--diff") == 0, world.process.stdout
    after, old = world.secrets(), before["vault_redis_password"]
    new = after["vault_redis_password"]
    assert new != old and len(new) == 40
    assert dict(after, vault_redis_password=old) == before
    assert stat.S_IMODE(world.environment.vault.stat().st_mode) == 0o600
    assert [line["host"] for line in world.seen()] == ["litefarm-imaginary", "litefarmapp"] * 2
    assert {(line["redis"], line["client"], line["elsewhere"]) for line in world.seen()} == {(new, new, new)}
    assert [line["redis_previous"] for line in world.seen()] == [old, old, "", ""]
    assert "What that means for people: the queues restart twice" in world.process.stdout
    world.assert_nothing_is_told(before)


@pytest.mark.nightly
def test_the_next_run_knows_the_finished_rotation(world):
    assert world.rotate("vault_redis_password") == 0, world.process.stdout
    first = world.secrets()["vault_redis_password"]
    assert world.rotate("vault_redis_password") == 0, world.process.stdout
    assert [line["redis_previous"] for line in world.seen()] == [first, first, "", ""]
    assert "vault_redis_password_previous" not in world.secrets()


@pytest.mark.parametrize("lines", sample([3, 1, 2, 4]))
def test_a_run_that_was_killed_is_started_again(world, lines):
    old = world.secrets()["vault_redis_password"]
    assert world.rotate("redis_password", kill_after=lines) != 0
    between = world.secrets()
    assert between["vault_redis_password_previous"] == old
    assert len(world.seen()) == lines
    assert world.rotate("redis_password") == 0, world.process.stdout
    assert "The rotation of vault_redis_password is open: this run goes on" in world.process.stdout
    assert {line["redis"] for line in world.seen()} == {between["vault_redis_password"]}
    assert [line["redis_previous"] for line in world.seen()] == [old, old, "", ""]
    assert world.secrets() == {name: value for name, value in between.items() if name != "vault_redis_password_previous"}


@pytest.mark.parametrize(
    ("where", "after", "lines", "sentence"),
    sample(
        [
            # A play all of whose droplets failed is the last one.
            ("redis litefarm-imaginary", 0, 1, "This droplet fails."),
            ("all litefarmapp", 3, 4, "The rotation of vault_redis_password stays open, because litefarmapp did not get through this run: correct"),
            ("api litefarmapp", 3, 4, "This droplet fails."),
            ("all litefarm-imaginary", 0, 2, "The old value of vault_redis_password is still accepted, because litefarm-imaginary failed: correct"),
            ("all litefarmapp", 0, 2, "The old value of vault_redis_password is still accepted, because litefarmapp failed: correct"),
        ],
        by_day=2,
    ),
)
def test_the_old_value_is_accepted_as_long_as_a_droplet_failed(world, where, after, lines, sentence):
    old = world.secrets()["vault_redis_password"]
    assert world.rotate("redis_password", fail_at=where, fail_after=after) != 0
    assert len(world.seen()) == lines, world.process.stdout
    assert world.secrets()["vault_redis_password_previous"] == old
    assert sentence in " ".join(world.process.stdout.split())
    assert world.rotate("redis_password") == 0, world.process.stdout
    assert "vault_redis_password_previous" not in world.secrets()


def test_preflight_knows_every_name_of_a_rotation(world):
    (world.playbooks / "site.yml").write_text("- ansible.builtin.import_playbook: preflight.yml\n")
    world.environment.set(litefarm_registry="127.0.0.1:9/litefarm", litefarm_repo="/nowhere", litefarm_spaces_endpoint="https://127.0.0.1:9")
    world.set(
        vault_imaginary_token_beta_previous="an-old-value-that-is-still-accepted",
        vault_jwt_secret_previous="nothing-reads-this",
        vault_backup_encryption_key_0a1b2c3d="older-backups-need-this",
    )
    assert world.rotate("imaginary_token_beta", "-e", "finish=false") != 0
    found = [sentence for sentence in problems(world.process) if "Nothing reads" in sentence]
    assert len(found) == 1 and found[0].startswith("Nothing reads the variable vault_jwt_secret_previous"), world.process.stdout


def test_a_secret_that_is_accepted_once_is_rolled_out_once(world):
    before = world.secrets()
    assert world.rotate("jwt_secret", "-vvv", "--diff") == 0, world.process.stdout
    new = world.secrets()["vault_jwt_secret"]
    assert new != before["vault_jwt_secret"]
    assert set(world.secrets()) == set(before)
    assert [line["jwt"] for line in world.seen()] == [new, new]
    assert "What that means for people: everybody is logged out and has to log in again." in world.process.stdout
    world.assert_nothing_is_told(before)


@pytest.mark.nightly
def test_older_backups_can_be_read_until_a_person_removes_the_keys_before(world):
    keys = [world.secrets()["vault_backup_encryption_key"]]
    for _rotation in range(2):
        before = world.secrets()
        assert world.rotate("backup_encryption_key", "-vvv", "--diff") == 0, world.process.stdout
        after = world.secrets()
        name = "vault_backup_encryption_key_%s" % key_id(keys[-1])
        assert after == dict(before, **{name: keys[-1], "vault_backup_encryption_key": after["vault_backup_encryption_key"]})
        assert "The old value stays there as %s: remove it with ansible-vault edit" % name in " ".join(world.process.stdout.split())
        assert "What that means for people: a new archive begins with a full backup" in world.process.stdout
        assert {line["backup"] for line in world.seen()} == {after["vault_backup_encryption_key"]} and len(world.seen()) == 2
        assert {tuple(sorted(line["backups_before"])) for line in world.seen()} == {tuple(sorted(keys))}
        world.assert_nothing_is_told(before)
        keys.append(after["vault_backup_encryption_key"])
    assert len(set(keys)) == 3 and all(len(key) == 64 for key in keys)


# Both droplets have files, and one has the database.
BACKED_UP = ["litefarm-file-backup --wait", "litefarm-file-backup --wait", "litefarm-postgres-backup full"]


def test_a_run_that_died_before_its_new_key_was_rolled_out_loses_no_key(world):
    first = world.secrets()["vault_backup_encryption_key"]
    assert world.rotate("backup_encryption_key", kill_after=1) != 0
    assert world.backed_up() == []
    assert world.rotate("backup_encryption_key") == 0, world.process.stdout
    assert first in {value for name, value in world.secrets().items() if name.startswith("vault_backup_encryption_key_")}
    assert world.backed_up() == BACKED_UP


@pytest.mark.nightly
def test_a_new_backup_key_has_backups_before_the_run_ends(world):
    assert world.rotate("backup_encryption_key") == 0, world.process.stdout
    assert world.backed_up() == BACKED_UP
    said = " ".join(world.process.stdout.split())
    assert "The bucket has backups under the new key: a full one of the database, and the files of litefarm-imaginary, litefarmapp." in said
    assert world.rotate("jwt_secret") == 0, world.process.stdout
    assert world.backed_up() == [] and "under the new key" not in world.process.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("litefarm-postgres-backup", "<3>The full backup failed: unable to acquire lock on file '/tmp/x'"),
        ("litefarm-file-backup", "<3>The copy of files failed: images: /srv/litefarm/images does not exist."),
    ],
)
def test_a_backup_under_the_new_key_that_fails_is_told(world, name, words):
    world.program(name, 'echo "%s" >&2; exit 1' % words)
    assert world.rotate("backup_encryption_key") != 0
    said = " ".join(world.process.stdout.split())
    assert "The new key is in use, but not everything is backed up under it yet. On litefarmapp:" in said
    assert ("wait until it ends." if "lock" in words else words.removeprefix("<3>")) + " Correct that, then run" in said, said
    assert "The bucket has backups under the new key" not in said


@pytest.mark.nightly
def test_what_is_used_elsewhere_stays_open_until_a_person_has_copied_it(world):
    old = world.secrets()["vault_imaginary_token_beta"]
    for again in (False, True):
        assert world.rotate("imaginary_token_beta") == 0, world.process.stdout
        assert ("is open: this run goes on" in world.process.stdout) == again
        new = world.secrets()["vault_imaginary_token_beta"]
        assert new != old and world.secrets()["vault_imaginary_token_beta_previous"] == old
        assert [line["keys"] for line in world.seen()] == [[new, old], []]
        output = " ".join(world.process.stdout.split())
        assert "vault_imaginary_token_beta is used by the environment beta, as vault_imaginary_token." in output and "Copy the new value" in output
        assert "playbooks/rotate.yml -e litefarm_secret=vault_imaginary_token_beta -e litefarm_finish=true" in output
        world.assert_nothing_is_told()
    assert world.rotate("imaginary_token_beta", "-e", "finish=true") == 0, world.process.stdout
    assert [line["keys"] for line in world.seen()] == [[new, ""], []]
    assert "vault_imaginary_token_beta_previous" not in world.secrets()
    assert world.rotate("imaginary_token_beta", "-e", "finish=true") != 0
    assert "No rotation of vault_imaginary_token_beta is open" in world.process.stdout
    assert world.seen() == [] and world.secrets()["vault_imaginary_token_beta"] == new


def test_nobody_is_told_to_copy_a_value_that_a_droplet_does_not_accept_yet(world):
    assert world.rotate("imaginary_token_beta", fail_at="all litefarm-imaginary") != 0
    assert "is still accepted, because litefarm-imaginary failed" in " ".join(world.process.stdout.split())
    assert "Copy the new value" not in world.process.stdout


def test_a_pair_is_rotated_together(world):
    before = world.secrets()
    assert world.rotate("postgres_tls_certificate") == 0, world.process.stdout
    after = world.secrets()
    assert {name for name in after if after[name] != before[name]} == {"vault_postgres_tls_key", "vault_postgres_tls_certificate"}
    assert certificate_problems([secret for secret in SECRETS if secret["kind"] == "tls_certificate"], after, "vault.yml") == []
    assert "What that means for people: the database restarts" in world.process.stdout


def test_a_check_run_changes_nothing(world):
    text = world.environment.vault.read_text()
    assert world.rotate("redis_password", "--check") == 0, world.process.stdout
    assert "vault_redis_password would get a new value in %s." % world.environment.vault in world.process.stdout
    assert world.environment.vault.read_text() == text
    world.set(vault_redis_password_previous="an-old-value-that-is-still-accepted")
    text = world.environment.vault.read_text()
    assert world.rotate("redis_password", "--check") == 0, world.process.stdout
    assert "The rotation of vault_redis_password would be finished" in world.process.stdout
    assert world.environment.vault.read_text() == text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["secret=redis_pasword"], "This environment has no secret redis_pasword. Give -e litefarm_secret=NAME."),
        (["secret=registry_password"], "Only a person can supply vault_registry_password (an access token of the image registry"),
        (["secret=redis_password", "finish=true"], "No rotation of vault_redis_password is open"),
        (["secret=redis_password", "vault_redis_password=other"], "The value of vault_redis_password that counts is not the one in"),
    ],
)
def test_what_cannot_be_rotated_is_told_before_anything_happens(world, options, sentence):
    text = world.environment.vault.read_text()
    assert world.rotate("", *(word for option in options for word in ("-e", option))) != 0
    output = " ".join(world.process.stdout.split()).replace("''", "'")
    assert sentence in output
    assert ("vault_redis_password: the queues restart twice" in output) == ("The names, and what" in output)
    assert world.seen() == [] and world.environment.vault.read_text() == text


@pytest.mark.parametrize("options", [[], ["-e", "finish=true"], ["--limit", "litefarm-imaginary"]])
def test_without_a_name_it_lists_them_and_ends_well(world, options):
    text = world.environment.vault.read_text()
    assert world.rotate("", *options) == 0, world.process.stdout
    lines = world.process.stdout.splitlines()
    assert "production: list the secrets that can be rotated, and change nothing (inventory" in world.process.stdout
    begin = lines.index("Secrets that ansible-playbook playbooks/rotate.yml -e litefarm_secret=NAME rotates, and what that means for people:")
    middle = lines.index("Secrets of which a person gets a new value, puts it in with ansible-vault edit %s, and runs site.yml:" % world.environment.vault)
    assert any(line.startswith("  vault_redis_password: the queues restart twice") for line in lines[begin:middle])
    assert any(line.startswith("  vault_registry_password: an access token of the image registry") for line in lines[middle:])
    assert "vault_environment_id:" not in world.process.stdout
    assert world.seen() == [] and world.environment.vault.read_text() == text
    world.assert_nothing_is_told()


def test_a_part_of_an_environment_cannot_be_rotated(world):
    text = world.environment.vault.read_text()
    assert world.rotate("redis_password", "--limit", "litefarm-imaginary") != 0
    assert "this run leaves litefarmapp out: start it without --limit." in " ".join(world.process.stdout.split())
    assert world.environment.vault.read_text() == text


def test_a_secret_that_is_missing_is_not_rotated(world):
    world.set(vault_redis_password=None)
    assert world.rotate("redis_password") != 0
    assert "The secret vault_redis_password is not in %s: run playbooks/secrets.yml" % world.environment.vault in " ".join(world.process.stdout.split())


def test_a_vault_that_only_a_person_can_change_stays_as_it_is(world):
    anchored = yaml.safe_dump(world.secrets()).replace("vault_redis_password: ", "vault_redis_password: &name ") + "vault_again: *name\n"
    world.environment.vault.write_text(VaultLib().encrypt(anchored, VaultSecret(world.environment.password.read_bytes().strip())).decode())
    before, text = world.secrets(), world.environment.vault.read_text()
    assert world.rotate("redis_password", "-vvv") != 0
    assert "is written in a way that only a person can change" in world.process.stdout
    assert world.environment.vault.read_text() == text
    world.assert_nothing_is_told(before)


def test_beta_gets_its_key_from_production(tmp_path, vaults):
    world = World(tmp_path, "beta", vaults["beta"][0])
    assert not [name for name in world.secrets() if "imaginary" in name]
    assert world.rotate("imaginary_token") != 0
    output = " ".join(world.process.stdout.split()).replace("''", "'")
    assert "Only a person can supply vault_imaginary_token (vault_imaginary_token_beta in production's vault" in output
    assert world.rotate("imaginary_token_beta") != 0
    assert "This environment has no secret imaginary_token_beta." in world.process.stdout
