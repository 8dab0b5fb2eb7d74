# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is the vault of this run the one that droplets were deployed from?"""

from __future__ import annotations

import os

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.litefarm.platform.plugins.filter.postgres import scram_verifier
from ansible_collections.litefarm.platform.plugins.module_utils._fingerprint import fingerprint, key_id
from ansible_collections.litefarm.platform.plugins.plugin_utils import _secret_rules as secret_rules
from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import COLLECTION, evaluate


def foreign(deployed, templar, loader, task_vars, path, with_backups=True):
    """Sentences about droplets of another vault, unless the person wants that. C(deployed): droplet to what it was deployed with.

    Without backups the keys of the droplets' backups may be missing in the vault.
    """
    wanted, reason = evaluate(templar, task_vars, "litefarm_new_secrets")
    if not reason and boolean(wanted or False, strict=False):
        return []
    told = secret_rules.foreign(deployed, _vault(templar, loader, task_vars), path)
    # Of another vault, the backup key is a consequence.
    if told or not with_backups:
        return told
    return secret_rules.lost_backup_keys(deployed, _backup_keys(templar, task_vars), path)


def _backup_keys(templar, task_vars):
    """IDs of the keys of backups that the vault has."""
    current, unused = evaluate(templar, task_vars, "litefarm_backup_encryption_key")
    previous, unused = evaluate(templar, task_vars, "litefarm_backup_previous_encryption_keys")
    return [key_id(key) for key in [current, *(previous or [])] if isinstance(key, str) and key]


def _vault(templar, loader, task_vars):
    """What a run with this vault leaves on droplets, as droplet_info finds it there. What the vault lacks is left out."""
    defaults = loader.load_from_file(os.path.join(COLLECTION, "roles", "postgres", "defaults", "main.yml"), trusted_as_template=True)
    variables = {"postgres_user": defaults["postgres_user"], **task_vars}
    names = ("base_environment_id", "postgres_password", "postgres_user", "postgres_tls_certificate")
    environment, password, user, certificate = (evaluate(templar, variables, name)[0] for name in names)
    try:
        verifier = scram_verifier(password, user)
    except AnsibleFilterError:
        # Missing, or no password: the check of secrets tells.
        verifier = None
    files = [fingerprint(each) for each in (verifier, certificate) if isinstance(each, str) and each]
    return {"environment": environment or "", "files": files}
