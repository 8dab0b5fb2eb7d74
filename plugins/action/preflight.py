# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
except ImportError:
    # ansible-core depends on it; only a check that imports every plugin by itself does without.
    x509 = serialization = None

from ansible_collections.litefarm.platform.plugins.module_utils import object_storage
from ansible_collections.litefarm.platform.plugins.plugin_utils import droplet_rules, renamed, secret_rules
from ansible_collections.litefarm.platform.plugins.plugin_utils import deployed_secrets
from ansible_collections.litefarm.platform.plugins.plugin_utils.control_node import ControlNodeAction, evaluate, inventory_folders, report

# The variables that name the application's buckets, and the one of the backups.
BUCKETS = ("litefarm_private_bucket", "litefarm_public_bucket")
BACKUP_BUCKET = "litefarm_backup_bucket"
# The backup bucket's own key, which an environment may have. Both halves or none.
BACKUP_KEY = {"access_key_id": "vault_backup_access_key_id", "secret_access_key": "vault_backup_secret_access_key"}


class ActionModule(ControlNodeAction):
    """Adds what concerns all droplets together, and fails with every problem of the run at once."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(
            argument_spec={
                "release": {"type": "dict", "required": True},
                "requirements": {"type": "dict", "required": True},
                "secrets": {"type": "list", "elements": "dict", "required": True},
                "backups": {"type": "bool", "default": True},
            }
        )
        hostvars = task_vars["hostvars"]
        groups = task_vars["groups"]
        droplets = groups.get("litefarm") or []
        requirements = arguments["requirements"]
        # What another vault lacks must not be made.
        secrets = self._foreign_vault(task_vars) or self._secrets(arguments["secrets"], groups, task_vars)
        problems = droplet_rules.environment_problems(
            {host: hostvars[host].get("litefarm_environment") for host in droplets}, {host: hostvars[host].get("inventory_dir") for host in droplets}
        )
        problems += renamed.group_problems(groups, inventory_folders(task_vars))
        problems += droplet_rules.group_problems(groups, requirements["needed_groups"], requirements["single_groups"], requirements.get("within_groups"))
        problems += secrets
        by_droplet = merge({host: (hostvars[host].get("litefarm_preflight") or {}).get("problems") or [] for host in task_vars["ansible_play_hosts_all"]})
        problems += self._buckets(requirements, arguments["backups"], secrets + by_droplet, task_vars)
        problems += arguments["release"].get("problems") or []
        problems += droplet_rules.image_problems(
            {
                service: {host: hostvars[host]["%s_image" % service] for host in task_vars["ansible_play_hosts_all"] if host in groups.get(service, [])}
                for service in arguments["release"].get("images") or {}
            }
        )
        problems += by_droplet
        result.update(changed=False)
        if problems:
            # The version is looked at as a variable and as a release.
            result.update(failed=True, msg=report(list(dict.fromkeys(problems))))
        return result

    def _foreign_vault(self, task_vars):
        answers = {host: task_vars["hostvars"][host].get("litefarm_preflight") or {} for host in task_vars["ansible_play_hosts_all"]}
        facts = {host: (answer.get("ansible_facts") or {}).get("litefarm_droplet") or {} for host, answer in answers.items()}
        deployed = {host: droplet["deployed_with"] for host, droplet in facts.items() if "deployed_with" in droplet}
        return deployed_secrets.foreign(deployed, self._templar, self._loader, task_vars, self.places(task_vars).vault())

    def _secrets(self, secrets, groups, task_vars):
        wanted = secret_rules.needed(secrets, dict(groups))
        values, problems = {}, []
        for secret in wanted:
            value, reason = evaluate(self._templar, task_vars, secret["name"])
            if reason:
                problems.append("The secret %s cannot be read: correct it with ansible-vault edit." % secret["name"])
            else:
                values[secret["name"]] = value
        vault = self.places(task_vars).vault()
        problems += secret_rules.check(wanted, values, vault)
        return problems or certificate_problems(wanted, values, vault)

    def _buckets(self, requirements, backups, told, task_vars):
        """Sentences about the buckets that droplets of this run use."""
        hosts = set(task_vars["ansible_play_hosts_all"])

        def used(kind):
            return any(hosts & set(task_vars["groups"].get(group) or []) for group in requirements.get(kind) or [])

        names, problems = object_storage.NAMES, []
        variables = BUCKETS if used("storage_groups") else ()
        # The bucket's name has the environment's in it.
        if backups and used("backup_groups") and not any(sentence.startswith("litefarm_environment ") for sentence in told):
            missing = [name for name in BACKUP_KEY.values() if not evaluate(self._templar, task_vars, name)[0]]
            if not missing:
                problems = self._storage([BACKUP_BUCKET], dict(names, **BACKUP_KEY), told, task_vars)
            elif len(missing) == len(BACKUP_KEY):
                variables = (*variables, BACKUP_BUCKET)
            else:
                problems = [
                    "The secrets %s belong together, and %s is missing in %s: put it in with ansible-vault edit, or remove the other one."
                    % (" and ".join(BACKUP_KEY.values()), missing[0], self.places(task_vars).vault())
                ]
        return self._storage(variables, names, told, task_vars) + problems

    def _storage(self, bucket_variables, variables, told, task_vars):
        """Sentences about buckets that a key cannot use. What other checks tell of is not told again as a consequence."""
        values = {name: evaluate(self._templar, task_vars, variable)[0] for name, variable in variables.items()}
        buckets = {variable: evaluate(self._templar, task_vars, variable)[0] for variable in bucket_variables}
        buckets = {variable: name for variable, name in buckets.items() if name and object_storage.BUCKET_NAME.fullmatch(name)}
        key = (variables["access_key_id"], variables["secret_access_key"])
        if not all(value or name == "ca_certificates" for name, value in values.items()) or any(name in sentence for name in key for sentence in told):
            return []
        if not buckets or not values["endpoint"].startswith("https://"):
            return []
        if object_storage.S3SigV4Auth is None:
            return [object_storage.NO_LIBRARY]
        ca_pem = "\n".join((values["ca_certificates"] or {}).values())
        storage = object_storage.Storage(values["endpoint"], values["region"], values["access_key_id"], values["secret_access_key"], ca_pem)
        refusals = storage.look_at(sorted(set(buckets.values())))
        if not any(refusals.values()):
            return []
        places = self.places(task_vars)
        names = {name: "%s in %s" % (variable, places.of(variable)) for name, variable in variables.items()}
        sentences = [
            object_storage.explain(refusals[bucket], values["endpoint"], values["region"], bucket, "%s in %s" % (variable, places.of(variable)), names)
            for variable, bucket in buckets.items()
            if refusals[bucket]
        ]
        # Two buckets have one key and one endpoint.
        return list(dict.fromkeys(sentences))


def certificate_problems(secrets, values, vault):
    """Sentences about certificates that have expired or do not belong to their keys."""
    problems = []
    for secret in secrets:
        if secret["kind"] != "tls_certificate" or secret["name"] not in values:
            continue
        name, key_name = secret["name"], secret["key"]
        advice = "remove both with ansible-vault edit, and playbooks/secrets.yml creates new ones"
        try:
            certificate = x509.load_pem_x509_certificate(values[name].encode())
            key = serialization.load_pem_private_key(values[key_name].encode(), password=None)
        except (ValueError, TypeError, KeyError):
            problems.append("The secrets %s and %s in %s cannot be read as certificate and key: %s." % (name, key_name, vault, advice))
            continue
        if certificate.public_key() != key.public_key():
            problems.append("The certificate %s in %s does not belong to the key %s: %s." % (name, vault, key_name, advice))
        days = (last_moment(certificate) - datetime.datetime.now(datetime.timezone.utc)).days
        if days < 30:
            problems.append("The certificate %s in %s is valid for %d more days: %s." % (name, vault, days, advice))
    return problems


def last_moment(certificate):
    """Distributions ship versions of cryptography that know only a time without zone, which is UTC."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc
    return certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc)


def merge(by_host):
    """One sentence for what several droplets share; the droplet's name before what only some have."""
    hosts = sorted(by_host)
    merged = {}
    for host in hosts:
        for sentence in by_host[host]:
            merged.setdefault(sentence, []).append(host)
    return [sentence if len(where) == len(hosts) or where[0] in sentence else "%s: %s" % (", ".join(where), sentence) for sentence, where in merged.items()]
