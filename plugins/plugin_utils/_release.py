# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release is: one commit, and for each image the digest under which the registry has it."""

from __future__ import annotations

import hashlib
import json

from ansible_collections.litefarm.platform.plugins.plugin_utils._git_reference import GitError
from ansible_collections.litefarm.platform.plugins.plugin_utils._registry import RegistryError

UNKNOWN = "unresolved"


def image_tag(commit, environment=None, settings=None, base=None, recipe=None):
    """The tag of an image: what it is made of beside the commit is in it, so another content is another image.

    One that has an environment's settings baked in belongs to that environment and to those settings. One that is built on
    another image, or by a recipe that is not in the repository, belongs to that image's digest and to that recipe.
    """
    parts = [commit]
    if settings is not None:
        parts += [environment, short_hash(json.dumps(settings, sort_keys=True))]
    if base == UNKNOWN:
        parts += [UNKNOWN]
    elif base or recipe:
        parts += [short_hash((base or "") + (recipe or ""))]
    return "-".join(parts)


def short_hash(text):
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def expected_image(name, wanted, commit, environment, base=None):
    """An image that the registry was not asked for yet. C(base) is the one that it is built on, if that is known."""
    image = {"name": name, "digest": None, "reference": UNKNOWN}
    below = None
    if "base" in wanted:
        below = (base and base["digest"]) or UNKNOWN
        image["base"] = base["reference"] if base else UNKNOWN
    image["tag"] = image_tag(commit, environment, wanted.get("settings"), below, wanted.get("recipe"))
    return image


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


def foreign_image(image, architectures, wanted):
    """A sentence about an image that droplets of the wanted architecture cannot run, or None."""
    if not wanted or not architectures or wanted in architectures:
        return None
    return "The registry's %s:%s is for %s, and litefarm_architecture is %s: run playbooks/build.yml for this environment, which replaces it." % (
        image["name"],
        image["tag"],
        " and ".join(architectures),
        wanted,
    )


def resolve_images(registry, images, commit, environment, names, may_be_missing=False, architecture=""):
    """Return each image's name, tag and digest, and the problems on the way to them.

    An image whose base is missing is missing, too. With C(architecture) one that is for another one counts as missing, so that it is built again.
    """
    found, problems = {}, base_problems(images)
    foreign = {}
    for image, wanted in sorted(images.items(), key=lambda item: ("base" in item[1], item[0])):
        name = "%s/%s" % (registry.host, registry.name_of(wanted.get("repository", image)))
        found[image] = expected_image(name, wanted, commit, environment, found.get(wanted.get("base")))
        if problems or found[image].get("base") == UNKNOWN:
            continue
        try:
            digest = registry.digest(wanted.get("repository", image), found[image]["tag"])
            architectures = registry.architectures(wanted.get("repository", image), digest) if digest and architecture else []
        except RegistryError as error:
            advice = "vault_registry_password in the vault, or %s" % names["username"] if "login" in str(error) else names["registry"]
            problems.append("%s: correct %s." % (sentence(error), advice))
            continue
        refusal = foreign_image(found[image], architectures, architecture)
        if refusal:
            foreign[image] = refusal
        elif digest:
            found[image].update(digest=digest, reference="%s@%s" % (name, digest))
    if not problems and not may_be_missing:
        # What stands on a missing image has no tag to look for yet, and is built together with it.
        absent = [found[image] for image in found if image not in foreign and not found[image]["digest"] and found[image].get("base") != UNKNOWN]
        missing = sorted("%s:%s" % (image["name"], image["tag"]) for image in absent)
        problems += foreign.values()
        if missing:
            problems.append(
                "The registry does not have %s: run playbooks/build.yml for this environment first, or correct %s." % (" and ".join(missing), names["version"])
            )
    return found, problems


def base_problems(images):
    """One image below another is enough, and needs no more than two rounds of building."""
    below = {name for name, wanted in images.items() if "base" not in wanted}
    return [
        "The image %s is to be built on '%s', which is no image of the release that stands on no other: correct its base in litefarm_container_images."
        % (image, wanted["base"])
        for image, wanted in sorted(images.items())
        if "base" in wanted and wanted["base"] not in below
    ]


def sentence(error):
    text = str(error)
    return text[:1].upper() + text[1:]
