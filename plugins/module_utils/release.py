# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release is: one commit, and for each image the digest under which the registry has it."""

from __future__ import annotations

import hashlib
import json

from ansible_collections.litefarm.platform.plugins.module_utils.git_reference import GitError
from ansible_collections.litefarm.platform.plugins.module_utils.registry import RegistryError

UNKNOWN = "unresolved"


def image_tag(commit, environment=None, settings=None):
    """The tag of an image. One that has an environment's settings baked in belongs to that environment and to those settings."""
    if settings is None:
        return commit
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return "%s-%s-%s" % (commit, environment, digest[:8])


def resolve_commit(repository, version, names):
    """Return the commit and the problems on the way to it. C(names) says of each input which variable it is, and where."""
    if not repository:
        return None, ["litefarm_repo is not set: name LiteFarm's git repository as %s." % names["repo"]]
    if not version:
        return None, ["litefarm_version is not set: name the tag, branch or commit to run as %s." % names["version"]]
    try:
        return repository.resolve(version), []
    except GitError as error:
        return None, ["%s: correct %s." % (sentence(error), names["repo" if "cannot be reached" in str(error) else "version"])]


def resolve_images(registry, images, commit, environment, names, may_be_missing=False):
    """Return each image's name, tag and digest, and the problems on the way to them."""
    found, problems = {}, []
    for image, wanted in sorted(images.items()):
        tag = image_tag(commit, environment, wanted.get("settings"))
        name = "%s/%s" % (registry.host, registry.name_of(wanted.get("repository", image)))
        found[image] = {"name": name, "tag": tag, "digest": None, "reference": UNKNOWN}
        if problems:
            continue
        try:
            digest = registry.digest(wanted.get("repository", image), tag)
        except RegistryError as error:
            advice = "vault_registry_password in the vault, or %s" % names["username"] if "login" in str(error) else names["registry"]
            problems.append("%s: correct %s." % (sentence(error), advice))
            continue
        if digest:
            found[image].update(digest=digest, reference="%s@%s" % (name, digest))
    if not problems and not may_be_missing:
        missing = sorted("%s:%s" % (image["name"], image["tag"]) for image in found.values() if not image["digest"])
        if missing:
            problems.append(
                "The registry does not have %s: run playbooks/build.yml for this environment first, or correct %s." % (" and ".join(missing), names["version"])
            )
    return found, problems


def sentence(error):
    text = str(error)
    return text[:1].upper() + text[1:]
