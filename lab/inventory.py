# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The overlay inventory: links to the real inventory's files, plus what differs in the lab: addresses, credentials, endpoints."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Iterable
from pathlib import Path

import yaml

from .errors import LabError
from .keys import Keys, write_private
from .settings import BUILDER_DROPLET, Droplet, Settings, main_of

# Never linked: it is encrypted with a password that the lab does not have.
_VAULT = "vault.yml"

# Variables that the earlier checkout of the upgrade scenario does not know, and would refuse.
SINCE = "since.yml"


class Overlay:
    def __init__(self, settings: Settings, environment: str):
        self.settings = settings
        self.real = settings.inventories(environment)
        self.path = settings.state / "inventory" / environment
        self.main = settings.state / "inventory" / main_of(environment)
        self.group_vars = self.path / "group_vars" / "litefarm"

    def write(self, droplets: Iterable[Droplet], endpoints: dict[str, object], keys: Keys) -> None:
        """A variation has the very folder of variables of its main environment, so that both have one vault: write that one, too."""
        # Also for a variation that is written first: the link must not lead nowhere.
        (self.main / "group_vars" / "litefarm").mkdir(parents=True, exist_ok=True)
        self._link_real_files()
        # Every lab is a new environment; what is lost in it is no one's data. Option -e still has the last word.
        new_database = {"postgres_new_database": "{{ litefarm_new_database | default(new_database | default(true)) }}"}
        # Sorts after main.yml, which it outranks.
        _write_yaml(self.group_vars / "overlay.yml", {**endpoints, **new_database})
        _write_yaml(self.group_vars / SINCE, _architecture())
        _write_yaml(self.path / "builder.yml", {"builder": {"hosts": {BUILDER_DROPLET.name: None}}})
        for droplet in droplets:
            _write_yaml(self.path / "host_vars" / f"{droplet.name}.yml", self._host_variables(droplet, keys))

    def write_vault(self, supplied: dict[str, str], password: str) -> None:
        """The vault starts with what only a person can supply; secrets.yml adds the rest, and what is there is never changed."""
        from ansible.errors import AnsibleError
        from ansible.parsing.vault import VaultLib, VaultSecret

        path, secret = self.group_vars / _VAULT, VaultSecret(password.encode())
        vault = VaultLib([("default", secret)])
        try:
            text = vault.decrypt(path.read_bytes()).decode() if path.exists() else "---\n"
        except AnsibleError as error:
            raise LabError(f"{path} cannot be decrypted with the lab's password: remove it, and a new one is made ({error}).") from error
        missing = {name: value for name, value in supplied.items() if name not in (yaml.safe_load(text) or {})}
        if missing:
            text = text.rstrip("\n") + "\n" + yaml.safe_dump(missing, sort_keys=False)
            write_private(path, vault.encrypt(text, secret).decode())

    def _link_real_files(self) -> None:
        shared = self.path / "group_vars"
        if self.path != self.main and not shared.is_symlink():
            self.path.mkdir(parents=True, exist_ok=True)
            shared.symlink_to(Path("..", self.main.name, "group_vars"))
        for link in self.path.rglob("*"):
            if link.is_symlink() and not link.exists():
                link.unlink()
        for folder in self.real:
            for file in sorted(folder.rglob("*")):
                if file.is_dir() or file.name == _VAULT:
                    continue
                link = self.path / file.relative_to(folder)
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.is_symlink():
                    link.symlink_to(file)

    def _host_variables(self, droplet: Droplet, keys: Keys) -> dict[str, object]:
        options = {
            "UserKnownHostsFile": str(self.settings.state / "known_hosts"),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
        }
        return {
            "ansible_host": self.settings.public_address(droplet.number),
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(keys.path("ssh-operator.key")),
            "ansible_ssh_common_args": " ".join(f"-o {shlex.quote(f'{name}={value}')}" for name, value in options.items()),
            "litefarm_private_address": self.settings.private_address(droplet.number),
        }


def supplied_secrets(environment: str, keys: Keys) -> dict[str, str]:
    """What an operator puts into the vault: passwords of others' services, and the key that production made for beta's pictures."""
    storage = keys.access_key(environment)
    return {
        "vault_registry_password": keys.password("registry"),
        "vault_spaces_access_key_id": storage.id,
        "vault_spaces_secret_access_key": storage.secret,
        "vault_imaginary_token" if environment == "beta" else "vault_imaginary_token_beta": keys.token("imaginary-beta"),
    }


def droplets_of(folders: Iterable[Path]) -> list[str]:
    """The droplets that an environment has now, as the files in the folders of its inventory say."""
    files = [yaml.safe_load(path.read_text()) for folder in folders for path in sorted(folder.glob("*.yml"))]
    return list(dict.fromkeys(name for groups in files for name in groups.get("litefarm", {}).get("hosts", {})))


def _architecture() -> dict[str, object]:
    """Droplets are containers of this machine. The earlier checkout of the upgrade scenario does not know the variable."""
    return {"litefarm_architecture": "arm64"} if platform.machine() == "aarch64" else {}


class _Dumper(yaml.SafeDumper):
    """Texts of several lines, such as certificates, as they are."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def _write_yaml(path: Path, content: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "---\n# Written by `python -m lab` at every `up`.\n" + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1000)
    if not path.exists() or path.read_text() != text:
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(text)
        partial.rename(path)
