#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is in plugins/action/release.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Resolve a version to one commit, and its images to digests
version_added: 0.1.0
description:
  - Asks the git repository for the commit of a tag, a branch or the first digits of a commit, and the image registry for the digests of the
    images that C(playbooks/build.yml) makes of it. From then on a run speaks of digests only, so a tag that moves in
    between changes nothing.
  - An image's tag is the commit. If the image has settings baked in, the tag is the commit, the environment and the first
    eight digits of a hash over the settings. If it is built on another image of the release or by a recipe, the first eight
    digits of a hash over that image's digest and the recipe follow, so a changed base or recipe is another image.
  - Runs on the control node, without a module call. Changes nothing.
options:
  repo:
    description: URL or path of the git repository.
    type: str
    required: true
  version:
    description:
      - Tag, branch or commit, as text. At least seven digits of a commit are enough if only one commit of a branch or tag begins with them.
      - A number is refused, because YAML reads 3.10 as 3.1.
    type: raw
    required: true
  environment:
    description: Name of the environment, part of the tag of images with settings.
    type: str
    default: ""
  registry:
    description: Host of the registry, with the prefix of the images' names, for example C(registry.digitalocean.com/litefarm).
    type: str
    default: ""
  registry_username:
    description: Who logs in.
    type: str
    default: ""
  registry_password:
    description: The password or token of O(registry_username).
    type: str
    default: ""
  images:
    description:
      - Images by a name of their own. Each has C(repository), its name below O(registry), and optionally C(settings), the
        settings that are baked in, C(base), the image of this release that it is built on (one that has no base itself), and
        C(recipe), the text of a Dockerfile that is not in the repository. Other keys are left to the build.
    type: dict
    default: {}
  ca_certificates:
    description: Certificate authorities to trust beside the system's, name to PEM.
    type: dict
    default: {}
  architecture:
    description:
      - Architecture that the images must be for, by Docker's name, for example C(amd64). The tag of one that is for another architecture
        counts as missing, so that C(playbooks/build.yml) builds and replaces it. Empty, the registry is not asked for it.
    type: str
    default: ""
  images_may_be_missing:
    description: Whether an image that the registry does not have is an answer and no problem.
    type: bool
    default: false
  recorded:
    description:
      - A record of the environment's history, as M(litefarm.platform.deployment) returns it. Its release is returned, and neither the
        repository nor the registry is asked.
    type: dict
  fail:
    description: Whether problems fail the task. If not, they are only returned.
    type: bool
    default: true
extends_documentation_fragment:
  - litefarm.platform.attributes.asks
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
"""

EXAMPLES = r"""
- name: Resolve version and images
  litefarm.platform.release:
    repo: https://github.com/LiteFarmOrg/LiteFarm.git
    version: v3.12.2
    registry: registry.digitalocean.com/litefarm
    registry_username: litefarm
    registry_password: "{{ vault_registry_password }}"
    environment: production
    images:
      api: {repository: api}
      webapp: {repository: webapp, settings: {VITE_ENV: production}}
      export_scheduler:
        repository: export-scheduler
        base: api
        recipe: "{{ lookup('ansible.builtin.file', playbook_dir ~ '/files/export_scheduler.Dockerfile') }}"
  register: litefarm_release
"""

RETURN = r"""
run:
  description: A word for this run that no other run has.
  returned: always
  type: str
  sample: 20260701T100000Z-9f86d081
commit:
  description: The commit.
  returned: always
  type: str
  sample: 69272be6c5a3f0a7e4f6b0b1c1a3a6c0e5d4f312
version:
  description: What was resolved.
  returned: always
  type: str
  sample: v3.12.2
images:
  description:
    - Each image's name, tag, digest (none if the registry does not have it) and the reference to pull it by. One that is built
      on another image also has C(base), the reference of that one.
    - What is not known is V(unresolved), such as the tag's last part and the base of an image whose base the registry does not have.
  returned: always
  type: dict
  sample:
    api:
      name: registry.digitalocean.com/litefarm/api
      tag: 69272be6c5a3f0a7e4f6b0b1c1a3a6c0e5d4f312
      digest: sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b
      reference: registry.digitalocean.com/litefarm/api@sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b
    export_scheduler:
      name: registry.digitalocean.com/litefarm/export-scheduler
      tag: 69272be6c5a3f0a7e4f6b0b1c1a3a6c0e5d4f312-5f1d7a84
      digest: sha256:0d5f2a3b9d5ee0f3b1c2f6c9b6a8c1ddc4f0c2f4f0e7b7a1d9d0a2b3c4d5e6f7
      reference: registry.digitalocean.com/litefarm/export-scheduler@sha256:0d5f2a3b9d5ee0f3b1c2f6c9b6a8c1ddc4f0c2f4f0e7b7a1d9d0a2b3c4d5e6f7
      base: registry.digitalocean.com/litefarm/api@sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b
references:
  description: Image to the reference to pull it by, as in C(images).
  returned: always
  type: dict
problems:
  description: What stands in the way, in sentences.
  returned: always
  type: list
  elements: str
"""
