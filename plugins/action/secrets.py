# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, is_encrypted, match_encrypt_secret
from ansible.utils.display import Display

from ansible_collections.litefarm.platform.plugins.module_utils.droplet_rules import environment_problems
from ansible_collections.litefarm.platform.plugins.module_utils.secret_rules import needed
from ansible_collections.litefarm.platform.plugins.module_utils.variables import short_path
from ansible_collections.litefarm.platform.plugins.plugin_utils.control_node import ControlNodeAction, evaluate
from ansible_collections.litefarm.platform.plugins.plugin_utils.vault_file import SecretError, append, create_missing, vault_id_of, write_private

display = Display()


class ActionModule(ControlNodeAction):
    """Creates the secrets that an environment lacks, in its vault file. Never changes one that is there."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(
            argument_spec={"secrets": {"type": "list", "elements": "dict", "required": True}, "path": {"type": "path"}}
        )
        hostvars = task_vars["hostvars"]
        droplets = task_vars["groups"].get("litefarm") or []
        problems = environment_problems(
            {host: hostvars[host].get("litefarm_environment") for host in droplets}, {host: hostvars[host].get("inventory_dir") for host in droplets}
        )
        if problems:
            return dict(result, failed=True, msg=problems[0])
        path = arguments["path"] or self.places(task_vars).vault()
        secrets = needed(arguments["secrets"], dict(task_vars["groups"]))
        try:
            vault = VaultFile(path, self._loader)
            present = {secret["name"]: evaluate(self._templar, task_vars, secret["name"])[0] for secret in secrets if secret["name"] in task_vars}
            created = create_missing(secrets, dict(present, **vault.values), short_path(path))
            if created and not self._task.check_mode:
                vault.add(created)
        except SecretError as error:
            return dict(result, failed=True, msg=str(error))
        supplied = [secret for secret in secrets if secret["kind"] == "supplied" and not present.get(secret["name"])]
        for line in report(short_path(path), created, supplied, self._task.check_mode):
            display.display(line)
        result.update(changed=bool(created), path=path, created=sorted(created), to_supply=[secret["name"] for secret in supplied])
        return result


class VaultFile:
    """An encrypted file of variables, or the place of one."""

    def __init__(self, path, loader):
        self._path = path
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
            raise SecretError("%s is not encrypted: encrypt it with ansible-vault encrypt, and consider what is in it as known to others." % short_path(path))
        try:
            self._text = self._vault.decrypt(self._ciphertext).decode()
            self.values = loader.load(self._text, file_name=os.path.abspath(path), show_content=False) or {}
        except AnsibleError as error:
            raise SecretError(
                "%s cannot be read: give its vault password, and correct it with ansible-vault edit if it is no YAML." % short_path(path)
            ) from error

    def add(self, created):
        if not self._vault.secrets:
            raise SecretError(
                "No vault password is given, and %s must be encrypted: write a long random password to a file that only you can read, "
                "keep it in the team's password store, and give --vault-password-file FILE." % short_path(self._path)
            )
        if self._ciphertext:
            _text, _vault_id, secret = self._vault.decrypt_and_get_vault_id(self._ciphertext)
            vault_id = vault_id_of(self._ciphertext)
        else:
            vault_id, secret = match_encrypt_secret(self._vault.secrets, encrypt_vault_id=C.config.get_config_value("DEFAULT_VAULT_ENCRYPT_IDENTITY"))
        encrypted = self._vault.encrypt(append(self._text, created), secret, vault_id=vault_id)
        write_private(self._path, encrypted.decode())


def report(path, created, supplied, check_mode):
    verb = "would be created" if check_mode else "created"
    lines = ["Every secret that can be created is there already."] if not created else ["%s in %s:" % (verb.capitalize(), path)]
    lines += ["  %s" % name for name in created]
    required = [secret for secret in supplied if secret.get("required")]
    optional = [secret for secret in supplied if not secret.get("required")]
    for title, members in (("Only a person can supply, and it is needed", required), ("Only a person can supply, if it is wanted", optional)):
        if members:
            lines += ["%s (ansible-vault edit %s):" % (title, path)] + ["  %s: %s" % (secret["name"], secret["obtain"]) for secret in members]
    return lines
