# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, is_encrypted, match_encrypt_secret
from ansible.utils.display import Display

from ansible_collections.litefarm.platform.plugins.plugin_utils import (
    _deployed_secrets as deployed_secrets,
    _vault_file as vault_file,
)
from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import ControlNodeAction, evaluate
from ansible_collections.litefarm.platform.plugins.plugin_utils._droplet_rules import environment_problems
from ansible_collections.litefarm.platform.plugins.plugin_utils._secret_rules import kept, needed, previous, rotated_together, rotation_meaning
from ansible_collections.litefarm.platform.plugins.plugin_utils._variables import short_path
from ansible_collections.litefarm.platform.plugins.plugin_utils._vault_file import SecretError

display = Display()


class ActionModule(ControlNodeAction):
    """Creates the secrets that an environment lacks, in its vault file. Changes one that is there only when it is named, to rotate it."""

    OPTIONS = {
        "secrets": {"type": "list", "elements": "dict", "required": True},
        "path": {"type": "path"},
        "rotate": {"type": "str"},
        "phase": {"type": "str", "choices": ["begin", "resume", "finish"], "default": "begin"},
    }

    def execute(self, result, arguments, task_vars):
        hostvars = task_vars["hostvars"]
        droplets = task_vars["groups"].get("litefarm") or []
        problems = environment_problems(
            {host: hostvars[host].get("litefarm_environment") for host in droplets}, {host: hostvars[host].get("inventory_dir") for host in droplets}
        )
        if problems:
            return dict(result, failed=True, msg=problems[0])
        path = arguments["path"] or self.places(task_vars).vault()
        secrets = needed(arguments["secrets"], dict(task_vars["groups"]))
        if arguments["rotate"] == "":
            for line in rotation_list(secrets, short_path(path)):
                display.display(line)
            return dict(result, changed=False, created=[], path=os.path.abspath(path))
        try:
            vault = VaultFile(path, self._loader)
            if arguments["rotate"] is None:
                answer, lines = self._create(vault, secrets, task_vars)
            else:
                answer, lines = self._rotate(vault, secrets, arguments["rotate"], arguments["phase"], task_vars)
        except SecretError as error:
            return dict(result, failed=True, msg=str(error))
        for line in lines:
            display.display(line)
        result.update(answer, path=os.path.abspath(path))
        return result

    def _refuse_foreign(self, vault, task_vars):
        """What droplets of another vault have must neither be made anew nor rotated. Returns why droplets could not be asked, by droplet."""
        asked = {host: task_vars["hostvars"][host].get("litefarm_secrets_in_use") or {} for host in task_vars["groups"]["litefarm"]}
        deployed = {host: answer["deployed_with"] for host, answer in asked.items() if answer.get("deployed_with")}
        told = deployed_secrets.foreign(deployed, self._templar, self._loader, task_vars, vault.name)
        if told:
            raise SecretError("Nothing was changed. %s" % told[0])
        return {host: answer["problem"] for host, answer in asked.items() if answer.get("problem")}

    def _create(self, vault, secrets, task_vars):
        silent = self._refuse_foreign(vault, task_vars)
        present = {secret["name"]: evaluate(self._templar, task_vars, secret["name"])[0] for secret in secrets if secret["name"] in task_vars}
        created = vault_file.create_missing(secrets, dict(present, **vault.values), vault.name)
        self._write(vault, created)
        supplied = [secret for secret in secrets if secret["kind"] == "supplied" and not present.get(secret["name"])]
        shared = [secret for secret in secrets if secret.get("used_by")]
        answer = {"changed": bool(created), "created": sorted(created), "to_supply": [secret["name"] for secret in supplied]}
        return answer, report(vault.name, created, supplied, shared, silent, self._task.check_mode)

    def _rotate(self, vault, secrets, wanted, phase, task_vars):
        """With every droplet or not at all: one that was left out would be refused as soon as the old value is."""
        renewed = renewable(secrets, wanted, vault.name)
        if phase != "finish":
            self._refuse_foreign(vault, task_vars)
        name = " and ".join(secret["name"] for secret in renewed)
        left_out = sorted(set(task_vars["groups"]["litefarm"]) - set(task_vars["ansible_play_hosts"]))
        if left_out and phase == "finish":
            raise SecretError(
                "The rotation of %s stays open, because %s did not get through this run: correct what failed, and start the run again."
                % (name, ", ".join(left_out))
            )
        if left_out:
            raise SecretError("A rotation needs every droplet of the environment, and this run leaves %s out: start it without --limit." % ", ".join(left_out))
        accepted_twice = [secret for secret in renewed if secret.get("accepted_twice")]
        elsewhere = any(secret.get("elsewhere") for secret in renewed)
        answer = {
            "name": renewed[0]["name"],
            "created": [],
            "rolls_out": phase == "begin" or not elsewhere,
            "waits": phase == "begin" and elsewhere,
            "closes": bool(accepted_twice) and (phase != "begin" or not elsewhere),
            "backs_up": any(secret.get("encrypts_backups") for secret in renewed),
            "used_by": next((secret["used_by"] for secret in renewed if secret.get("used_by")), ""),
        }
        if phase == "finish":
            removed = [previous(secret["name"]) for secret in accepted_twice if previous(secret["name"]) in vault.values]
            self._write(vault, {}, removed)
            done = "would be finished" if self._task.check_mode else "is finished"
            return dict(answer, changed=bool(removed)), ["The rotation of %s %s: the old value is not in %s any more." % (name, done, vault.name)]
        if any(vault_file.is_open(secret, vault.values) for secret in renewed):
            return dict(answer, changed=False), ["The rotation of %s is open: this run goes on with the value that was made for it." % name]
        if phase == "resume":
            raise SecretError("No rotation of %s is open, so there is none to finish: begin one without -e litefarm_finish=true." % name)
        entries = vault_file.begin_rotation(renewed, vault.values, vault.name)
        for secret in renewed:
            # Next time that other value would count again, when nothing accepts it any more.
            if task_vars.get(secret["name"]) != vault.values[secret["name"]]:
                place = self.places(task_vars).of(secret["name"])
                raise SecretError("The value of %s that counts is not the one in %s: remove it from %s." % (secret["name"], vault.name, place))
        self._write(vault, entries)
        answer.update(changed=True, created=[secret["name"] for secret in renewed])
        verb = "would get a new value" if self._task.check_mode else "has a new value" if len(renewed) == 1 else "have new values"
        lines = ["%s %s in %s." % (name, verb, vault.name), "What that means for people: %s." % rotation_meaning(renewed)]
        stay = [kept(secret["name"], vault.values[secret["name"]]) for secret in renewed if secret.get("keep_previous")]
        return answer, lines + [
            "The old value %s there as %s: remove it with ansible-vault edit when nothing needs it any more."
            % ("would stay" if self._task.check_mode else "stays", each)
            for each in stay
        ]

    def _write(self, vault, entries, removed=()):
        if (entries or removed) and not self._task.check_mode:
            vault.change(entries, removed)


def renewable(secrets, wanted, vault):
    """The secrets that a person means, if they can be renewed here."""
    renewed = rotated_together(secrets, wanted)
    if not renewed:
        what = "This environment has no secret %s. Give -e litefarm_secret=NAME. The names, and what their rotation means for people:" % wanted
        raise SecretError("\n".join([what, *rotation_choice(secrets)]))
    for secret in renewed:
        if secret["kind"] == "supplied":
            raise SecretError(
                "Only a person can supply %s (%s): put the new value in with ansible-vault edit %s, run site.yml, and have the old one revoked where it "
                "comes from." % (secret["name"], secret["obtain"], vault)
            )
        if secret.get("fixed"):
            raise SecretError("%s is not rotated: %s." % (secret["name"], secret["rotation"]))
    return renewed


def rotation_choice(secrets):
    return ["  %s: %s" % (secret["name"], secret["rotation"]) for secret in secrets if secret.get("rotation") and not secret.get("fixed")]


def rotation_list(secrets, vault):
    """What a person can rotate, and what only others can renew."""
    lines = ["Secrets that ansible-playbook playbooks/rotate.yml -e litefarm_secret=NAME rotates, and what that means for people:", *rotation_choice(secrets)]
    supplied = ["  %s: %s" % (secret["name"], secret["obtain"]) for secret in secrets if secret["kind"] == "supplied"]
    if supplied:
        lines += ["Secrets of which a person gets a new value, puts it in with ansible-vault edit %s, and runs site.yml:" % vault, *supplied]
    return lines


class VaultFile:
    """An encrypted file of variables, or the place of one."""

    def __init__(self, path, loader):
        self._path = path
        self.name = short_path(path)
        self._loader = loader
        # The passwords of this run are known to the loader of variables only.
        self._vault = VaultLib(loader._vault.secrets or [])
        self._text = ""
        self.values = {}
        self._ciphertext = None
        if not os.path.exists(path):
            return
        with open(path, encoding="utf-8") as stream:
            self._ciphertext = stream.read()
        if not is_encrypted(self._ciphertext):
            raise SecretError("%s is not encrypted: encrypt it with ansible-vault encrypt, and consider what is in it as known to others." % self.name)
        try:
            self._text = self._vault.decrypt(self._ciphertext).decode()
            self.values = self._load(self._text)
        except AnsibleError as error:
            raise SecretError(
                "%s cannot be read: give its vault password, and correct it with ansible-vault edit if it is no YAML." % self.name
            ) from error

    def _load(self, text):
        return self._loader.load(text, file_name=os.path.abspath(self._path), show_content=False) or {}

    def change(self, entries, removed=()):
        """Write entries and leave others out, at once."""
        if not self._vault.secrets:
            raise SecretError(
                "No vault password is given, and %s must be encrypted: write a long random password to a file that only you can read, "
                "keep it in the team's password store, and give --vault-password-file FILE." % self.name
            )
        try:
            text = vault_file.put(vault_file.remove(self._text, removed), entries)
            values = self._load(text)
        except (AnsibleError, vault_file.yaml.YAMLError):
            # Its message shows lines of the file.
            values = {}
        if set(values) != (set(self.values) - set(removed)) | set(entries) or any(values[name] != value for name, value in entries.items()):
            raise SecretError("%s is written in a way that only a person can change: make each secret an entry of its own with ansible-vault edit." % self.name)
        if self._ciphertext:
            _text, _vault_id, secret = self._vault.decrypt_and_get_vault_id(self._ciphertext)
            vault_id = vault_file.vault_id_of(self._ciphertext)
        else:
            vault_id, secret = match_encrypt_secret(self._vault.secrets, encrypt_vault_id=C.config.get_config_value("DEFAULT_VAULT_ENCRYPT_IDENTITY"))
        encrypted = self._vault.encrypt(text, secret, vault_id=vault_id)
        vault_file.write_private(self._path, encrypted.decode())


def report(path, created, supplied, shared, silent, check_mode):
    verb = "would be created" if check_mode else "created"
    lines = ["Every secret that can be created is there already."] if not created else ["%s in %s:" % (verb.capitalize(), path)]
    lines += ["  %s" % name for name in created]
    required = [secret for secret in supplied if secret.get("required")]
    optional = [secret for secret in supplied if not secret.get("required")]
    for title, members in (("Only a person can supply, and it is needed", required), ("Only a person can supply, if it is wanted", optional)):
        if members:
            lines += ["%s (ansible-vault edit %s):" % (title, path)] + ["  %s: %s" % (secret["name"], secret["obtain"]) for secret in members]
    if silent:
        hosts = {reason: sorted(host for host in silent if silent[host] == reason) for reason in silent.values()}
        lines += [
            "%s, so it is not known whether other secrets are in use there. Preflight asks again before anything is changed."
            % ", ".join("%s cannot be asked (%s)" % (" and ".join(hosts[reason]), reason) for reason in sorted(hosts))
        ]
    if shared:
        lines += ["Others need a copy of (ansible-vault view %s):" % path] + ["  %s: %s" % (secret["name"], secret["used_by"]) for secret in shared]
    return lines
