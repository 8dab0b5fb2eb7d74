# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks run for real against a copy of an environment's inventory whose droplets are all this machine."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.support.ansible_run import ansible_playbook

REPO = pathlib.Path(__file__).resolve().parents[2]
# Production and beta as the README shows them. What an operator writes into inventories/ must not decide whether a test passes.
INVENTORIES = REPO / "tests" / "support" / "inventories"
# What a machine that is no droplet lacks, whoever runs the tests on it.
OF_THIS_MACHINE = re.compile(r"is not run by systemd|Modules run as uid|which is not supported: rebuild|MB free below|MB of memory|has no Python 3")
# What only an inventory's own droplets, object storage and repository have: its addresses, buckets and version.
OF_NO_DROPLET = re.compile(r"^litefarm_private_address of \S+ is [\d.]+ in .*, and the droplet has only|^There is no (bucket|tag, branch or commit) ")


# How a play on this machine begins; its variables go on behind it.
THIS_MACHINE = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ lookup('env', 'TEST_PYTHON') }}"
"""


class LocalPlay:
    """A play that begins as THIS_MACHINE says, with the collection of the checkout and the Python of the tests."""

    def __init__(self, folder, rest):
        self.folder = folder
        (folder / "play.yml").write_text(THIS_MACHINE + rest)
        self.command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", str(folder / "play.yml")]
        self.environment = dict(
            inherited(),
            ANSIBLE_CONFIG=str(REPO / "ansible.cfg"),
            ANSIBLE_COLLECTIONS_PATH=str(REPO / "collections"),
            ANSIBLE_LOCAL_TEMP=str(folder / "tmp"),
            TEST_PYTHON=sys.executable,
        )

    def results(self, *options):
        """The finished process, and the results by name of task."""
        (self.folder / "ansible.cfg").write_text("[defaults]\nstdout_callback = ansible.posix.json\n")
        environment = dict(self.environment, ANSIBLE_CONFIG=str(self.folder / "ansible.cfg"))
        done = subprocess.run([*self.command, *options], env=environment, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        output = json.loads(done.stdout[done.stdout.index("{\n") :])
        return done, {task["task"]["name"].split(" : ")[-1]: task["hosts"].get("localhost") for task in output["plays"][0]["tasks"]}


def inherited():
    """The caller's environment without its settings of Ansible: what a shell says about inventories and passwords must not reach the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}


class _Encrypted(str):
    """The ciphertext of a value."""


class _Dumper(yaml.SafeDumper):
    """Writes ciphertexts with the tag that Ansible decrypts."""


_Dumper.add_representer(_Encrypted, lambda dumper, text: dumper.represent_scalar("!vault", str(text), style="|"))


class Environment:
    """An inventory folder in which a test changes one thing."""

    def __init__(self, folder, source="production", inventories=INVENTORIES):
        self.folder = folder
        shutil.copytree(inventories / source, folder, ignore=shutil.ignore_patterns("vault*.yml"))
        self.droplets = list(yaml.safe_load((folder / "hosts.yml").read_text())["litefarm"]["hosts"])
        # The first one has the API and the database.
        self.droplet = self.droplets[0]
        self.password = folder.parent / "vault-password"
        self.password.write_text("a long vault password of a test\n")
        self.vault = folder / "group_vars" / "litefarm" / "vault.yml"
        for droplet in self.droplets:
            self.host(droplet)

    def host(self, name=None, **variables):
        """Set variables of a droplet."""
        local = {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "litefarm_private_address": "127.0.0.1",
            # This machine has no database, and a new environment need not have one.
            "postgres_new_database": "{{ litefarm_new_database | default(new_database | default(true)) }}",
        }
        path = self.folder / "host_vars" / ("%s.yml" % (name or self.droplet))
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump({key: value for key, value in {**local, **variables}.items() if value is not None}))

    def set(self, **variables):
        """Set variables of the environment, over those of its main.yml. Secrets are encrypted one by one, as a person may do, too."""
        written = {name: self.encrypted(value) if name.startswith("vault_") else value for name, value in variables.items()}
        (self.folder / "group_vars" / "litefarm" / "test.yml").write_text(yaml.dump(written, Dumper=_Dumper))

    def encrypted(self, value):
        return _Encrypted(self._vault().encrypt(value).decode())

    def edit_vault(self, change):
        """What a person does to the secrets with ansible-vault edit."""
        secrets = yaml.safe_load(self._vault().decrypt(self.vault.read_text()))
        change(secrets)
        self.vault.write_text(self._vault().encrypt(yaml.safe_dump(secrets)).decode())

    def _vault(self):
        return VaultLib([("default", VaultSecret(self.password.read_bytes().strip()))])

    def play(self, playbook, *options, inventories=(), password=True, env=None):
        arguments = ["-i", str(self.folder)]
        for inventory in inventories:
            arguments += ["-i", str(inventory)]
        if password:
            arguments += ["--vault-password-file", str(self.password)]
        environment = dict(inherited(), ANSIBLE_CONFIG=str(REPO / "ansible.cfg"), ANSIBLE_NOCOLOR="1", ANSIBLE_FORCE_COLOR="0", LC_ALL="C.UTF-8", COLUMNS="500")
        environment.update(env or {})
        arguments += [str(REPO / "playbooks" / playbook), *options]
        if env or "PYTHONPATH" in environment:
            # A server would serve this environment only once.
            command = [sys.executable, "-m", "ansible", "playbook", *arguments]
            return subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False, timeout=120)
        return ansible_playbook(arguments, cwd=REPO, env=environment)


def problems(process):
    """The sentences of a failed preflight, without those about the machine that the test runs on."""
    text = process.stdout[process.stdout.rfind("FAILED! =>") :]
    found = re.findall(r"^ +\d+\. (.+)$", text, re.MULTILINE)
    if not found:
        one = re.search(r"msg: ['\"]?Nothing was changed\. (.+?)['\"]?\n\n", text, re.DOTALL)
        found = [" ".join(one.group(1).split()).replace("''", "'")] if one else []
    return [sentence for sentence in found if not OF_THIS_MACHINE.search(sentence)]
