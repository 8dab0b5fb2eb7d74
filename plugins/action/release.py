# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import secrets
import tempfile
import time

from ansible_collections.litefarm.platform.plugins.plugin_utils._control_node import ControlNodeAction
from ansible_collections.litefarm.platform.plugins.plugin_utils._git_reference import FULL_COMMIT, GitError, Repository, without_password
from ansible_collections.litefarm.platform.plugins.plugin_utils._registry import Registry, RegistryError
from ansible_collections.litefarm.platform.plugins.plugin_utils._release import UNKNOWN, expected_image, resolve_commit, resolve_images, sentence
from ansible_collections.litefarm.platform.plugins.plugin_utils._variables import not_text

NAMES = {"repo": "litefarm_repo", "version": "litefarm_version", "registry": "litefarm_registry", "username": "litefarm_registry_username"}


class ActionModule(ControlNodeAction):
    """Resolves a version to one commit, and its images to digests, by asking the repository and the registry."""

    OPTIONS = {
        "repo": {"type": "str", "required": True},
        "version": {"type": "raw", "required": True},
        "environment": {"type": "str", "default": ""},
        "registry": {"type": "str", "default": ""},
        "registry_username": {"type": "str", "default": ""},
        "registry_password": {"type": "str", "default": "", "no_log": True},
        "images": {"type": "dict", "default": {}},
        "ca_certificates": {"type": "dict", "default": {}},
        "architecture": {"type": "str", "default": ""},
        "images_may_be_missing": {"type": "bool", "default": False},
        "recorded": {"type": "dict"},
        "fail": {"type": "bool", "default": True},
    }

    def execute(self, result, arguments, task_vars):
        result.update(changed=False, run="%s-%s" % (time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), secrets.token_hex(4)))
        if arguments["recorded"]:
            recorded = arguments["recorded"]
            images = {service: {"reference": reference} for service, reference in recorded["images"].items()}
            return dict(result, commit=recorded["to"]["commit"], version=recorded["to"]["version"], images=images, references=recorded["images"], problems=[])
        places = self.places(task_vars)
        names = {key: "%s in %s" % (name, places.of(name)) for key, name in NAMES.items()}
        if isinstance(arguments["version"], str):
            commit, images, problems = resolve(arguments, names)
        else:
            commit, images, problems = None, expected(arguments), [not_text(NAMES["version"], places.of(NAMES["version"]), arguments["version"])]
            arguments["version"] = str(arguments["version"])
        references = {image: found["reference"] for image, found in images.items()}
        result.update(commit=commit or UNKNOWN, version=arguments["version"], images=images, references=references, problems=problems)
        if problems and arguments["fail"]:
            result.update(failed=True, msg="\n".join(problems))
        return result


def resolve(arguments, names):
    """Return commit, images and problems."""
    ca_pem = "\n".join(arguments["ca_certificates"].values())
    images = expected(arguments)
    with tempfile.TemporaryDirectory(prefix="litefarm-") as folder:
        repository = Repository(arguments["repo"], bundle(ca_pem, folder)) if arguments["repo"] else None
        commit, problems = resolve_commit(repository, arguments["version"], names)
        if commit is None or not images:
            return commit, images, problems
        if not arguments["registry"]:
            return commit, images, ["litefarm_registry is not set: name the registry of the images as %s." % names["registry"]]
        try:
            registry = Registry(arguments["registry"], arguments["registry_username"], arguments["registry_password"], ca_pem)
        except RegistryError as error:
            return commit, images, ["%s: correct litefarm_ca_certificates." % sentence(error)]
        images, problems = resolve_images(
            registry, arguments["images"], commit, arguments["environment"], names, arguments["images_may_be_missing"], arguments["architecture"]
        )
        incomplete = any(image["digest"] is None for image in images.values())
        # Only a commit that was given in full is still unknown to the repository here, and only then is the question worth its time.
        if incomplete and FULL_COMMIT.match(arguments["version"]):
            problems = missing_commit(repository, commit, names) or problems
    return commit, images, problems


def expected(arguments):
    """The images of a commit that is not known yet."""
    return {
        image: expected_image("%s/%s" % (arguments["registry"].strip("/"), wanted.get("repository", image)), wanted, UNKNOWN, arguments["environment"])
        for image, wanted in arguments["images"].items()
    }


def missing_commit(repository, commit, names):
    try:
        if repository.has_commit(commit):
            return []
    except GitError as error:
        return ["%s: correct %s." % (sentence(error), names["repo"])]
    return ["There is no tag, branch or commit '%s' in %s: correct %s." % (commit, without_password(repository.url), names["version"])]


def bundle(ca_pem, folder):
    """Git takes one file instead of adding to the system's authorities, so the system's go in as well."""
    if not ca_pem:
        return None
    path = os.path.join(folder, "ca.pem")
    with open(path, "w", encoding="utf-8") as target:
        system = "/etc/ssl/certs/ca-certificates.crt"
        if os.path.exists(system):
            with open(system, encoding="utf-8") as source:
                target.write(source.read() + "\n")
        target.write(ca_pem)
    return path
