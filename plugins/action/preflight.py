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

from ansible_collections.litefarm.platform.plugins.module_utils import _object_storage as object_storage
from ansible_collections.litefarm.platform.plugins.plugin_utils import (
    _deployed_secrets as deployed_secrets,
    _droplet_rules as droplet_rules,
    _host_names as host_names,
    _imported_certificates as imported_certificates,
    _release as release_rules,
    _renamed as renamed,
    _secret_rules as secret_rules,
)
from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import ControlNodeAction, evaluate, inventory_folders, report
from ansible_collections.litefarm.platform.plugins.plugin_utils._registry import Registry, RegistryError

# The variables that name the application's buckets, and the one of the backups.
BUCKETS = ("litefarm_private_bucket", "litefarm_public_bucket")
BACKUP_BUCKET = "litefarm_backup_bucket"
# The backup bucket's own key, which an environment may have. Both halves or none.
BACKUP_KEY = {"access_key_id": "vault_backup_access_key_id", "secret_access_key": "vault_backup_secret_access_key"}


class ActionModule(ControlNodeAction):
    """Adds what concerns all droplets together, and fails with every problem of the run at once."""

    OPTIONS = {
        "release": {"type": "dict", "required": True},
        "requirements": {"type": "dict", "required": True},
        "secrets": {"type": "list", "elements": "dict", "required": True},
        "going_back": {"type": "bool", "default": False},
    }

    def execute(self, result, arguments, task_vars):
        hostvars = task_vars["hostvars"]
        groups = task_vars["groups"]
        droplets = groups.get("litefarm") or []
        requirements, going_back = arguments["requirements"], arguments["going_back"]
        services = list(arguments["release"].get("images") or {}) if going_back else None
        # What another vault lacks must not be made.
        secrets = self._foreign_vault(task_vars, not going_back) or self._secrets(arguments["secrets"], groups, services, task_vars)
        problems = droplet_rules.environment_problems(
            {host: hostvars[host].get("litefarm_environment") for host in droplets}, {host: hostvars[host].get("inventory_dir") for host in droplets}
        )
        problems += renamed.group_problems(groups, inventory_folders(task_vars))
        # What an old name of a group leaves without a droplet is told by its new one.
        named = renamed.by_new_names(groups)
        needed = [] if going_back else requirements["needed_groups"]
        problems += droplet_rules.group_problems(named, needed, requirements["single_groups"], requirements.get("within_groups"))
        problems += secrets
        by_droplet = merge({host: (hostvars[host].get("litefarm_preflight") or {}).get("problems") or [] for host in task_vars["ansible_play_hosts_all"]})
        problems += [] if going_back else self._buckets(requirements, secrets + by_droplet, task_vars)
        problems += arguments["release"].get("problems") or []
        problems += self._architectures(arguments["release"], task_vars)
        problems += droplet_rules.image_problems(
            {
                service: {host: hostvars[host]["%s_image" % service] for host in task_vars["ansible_play_hosts_all"] if host in groups.get(service, [])}
                for service in arguments["release"].get("images") or {}
            }
        )
        problems += by_droplet
        problems += imported_certificates.unencrypted_keys(inventory_folders(task_vars))
        result.update(changed=False, warnings=self._names(task_vars))
        if problems:
            # The version is looked at as a variable and as a release.
            result.update(failed=True, msg=report(list(dict.fromkeys(problems))))
        return result

    def _names(self, task_vars):
        """Sentences about host names that lead to other machines. No problem: droplets are prepared before a cut-over."""
        hosts = task_vars["ansible_play_hosts_all"]
        answers = {host: task_vars["hostvars"][host].get("litefarm_preflight") or {} for host in hosts}
        own = {}
        for host, answer in answers.items():
            droplet = (answer.get("ansible_facts") or {}).get("litefarm_droplet") or {}
            own[host] = [task_vars["hostvars"][host].get("ansible_host") or host, *(droplet.get("addresses") or [])]
        outside = [task_vars["hostvars"][host].get("ansible_host") or host for host in task_vars["groups"].get("nginx") or [] if host not in hosts]
        return host_names.warnings({host: answer.get("host_names") or {} for host, answer in answers.items()}, own, outside)

    def _foreign_vault(self, task_vars, with_backups):
        answers = {host: task_vars["hostvars"][host].get("litefarm_preflight") or {} for host in task_vars["ansible_play_hosts_all"]}
        facts = {host: (answer.get("ansible_facts") or {}).get("litefarm_droplet") or {} for host, answer in answers.items()}
        deployed = {host: droplet["deployed_with"] for host, droplet in facts.items() if "deployed_with" in droplet}
        return deployed_secrets.foreign(deployed, self._templar, self._loader, task_vars, self.places(task_vars).vault(), with_backups)

    def _architectures(self, release, task_vars):
        """Sentences about images and droplets of different architectures. The registry is asked for the images that a droplet has still to pull."""
        # A release of the history has no digest here, and is asked of no registry.
        images = {service: image for service, image in (release.get("images") or {}).items() if image.get("digest")}
        hosts = [host for host in task_vars["ansible_play_hosts_all"] if any(host in (task_vars["groups"].get(service) or []) for service in images)]
        answers = {host: task_vars["hostvars"][host].get("litefarm_preflight") or {} for host in hosts}
        wanted = evaluate(self._templar, task_vars, "litefarm_architecture")[0]
        if wanted not in droplet_rules.MACHINES.values():
            # The check of variables tells it.
            return []
        machines = {host: (answer.get("ansible_facts") or {}).get("architecture") for host, answer in answers.items()}
        problems = droplet_rules.architecture_problems(machines, wanted, self.places(task_vars).of("litefarm_architecture"))
        to_pull = [images[service] for service in sorted({service for answer in answers.values() for service in answer.get("outdated") or []} & set(images))]
        return problems or self._images_for(wanted, to_pull, task_vars)

    def _images_for(self, architecture, images, task_vars):
        """Sentences about images that the registry has for another architecture."""
        username, password, authorities = (
            evaluate(self._templar, task_vars, "litefarm_" + name)[0] for name in ("registry_username", "registry_password", "ca_certificates")
        )
        registries, problems = {}, []
        try:
            for image in images:
                host, _separator, repository = image["name"].partition("/")
                if host not in registries:
                    registries[host] = Registry(host, username, password, "\n".join((authorities or {}).values()))
                problems.append(release_rules.foreign_image(image, registries[host].architectures(repository, image["digest"]), architecture))
        except RegistryError as error:
            return ["%s: correct litefarm_registry in %s." % (release_rules.sentence(error), self.places(task_vars).of("litefarm_registry"))]
        return [each for each in problems if each]

    def _secrets(self, secrets, groups, services, task_vars):
        """Sentences about the secrets of the environment, or only about those that some services use."""
        groups = dict(groups)
        wanted = secret_rules.needed(secrets, groups) if services is None else secret_rules.needed_to_go_back(secrets, groups, services)
        values, problems = {}, []
        for secret in wanted:
            value, reason = evaluate(self._templar, task_vars, secret["name"])
            if reason:
                problems.append("The secret %s cannot be read: correct it with ansible-vault edit." % secret["name"])
            else:
                values[secret["name"]] = value
        vault = self.places(task_vars).vault()
        problems += secret_rules.check(wanted, values, vault)
        # The services that go back run with the certificate already.
        return problems or ([] if services is not None else certificate_problems(wanted, values, vault))

    def _buckets(self, requirements, told, task_vars):
        """Sentences about the buckets that droplets of this run use."""
        hosts = set(task_vars["ansible_play_hosts_all"])

        def used(kind):
            return any(hosts & set(task_vars["groups"].get(group) or []) for group in requirements.get(kind) or [])

        names, problems = object_storage.NAMES, []
        variables = BUCKETS if used("storage_groups") else ()
        # The bucket's name has the environment's in it.
        if used("backup_groups") and not any(sentence.startswith("litefarm_environment ") for sentence in told):
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
