#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# plugins/action/image_build.py runs first, on the control node.

from __future__ import annotations

DOCUMENTATION = r"""
module: image_build
short_description: Build an image of one commit and push it to the registry
version_added: 0.1.0
description:
  - Checks out one commit of a repository into a cache folder, builds an image of it and pushes it.
  - The build runs in the background on the builder and outlives the connection. The task shows at least every half minute how
    far it is, and one that starts while the same build is running follows that one. One build runs at a time.
  - Uses the engine's own builder through the Docker SDK for Python, so BuildKit is not needed.
  - Builds and pushes whenever it is called. Ask M(litefarm.platform.release) first whether the registry has the image.
  - No secret can get into the image. What O(settings) and O(environment) hold is readable in it by anybody who can pull it.
options:
  repo:
    description: URL or path of the git repository, as the builder reaches it.
    type: str
    required: true
  commit:
    description: The full commit.
    type: str
    required: true
  context:
    description: Folder of the repository that is the build's context. Git's own folder is never part of it.
    type: str
    default: .
  dockerfile:
    description: The Dockerfile, as a path in the repository. Either this or O(recipe) is needed.
    type: str
  recipe:
    description: The text of a Dockerfile that is not in the repository, instead of O(dockerfile).
    type: str
  base:
    description:
      - Another image that this one is built on, by its digest. It is pulled with the login of O(registry_username), reaches the
        Dockerfile as build argument C(BASE), for C(ARG BASE) and C(FROM ${BASE}), and becomes the labels
        C(org.opencontainers.image.base.name) and C(org.opencontainers.image.base.digest).
    type: str
    default: ""
  name:
    description: The image's name with its registry.
    type: str
    required: true
  tag:
    description: The image's tag.
    type: str
    required: true
  version:
    description: What a person calls the commit. Becomes the label C(org.opencontainers.image.version).
    type: str
    default: ""
  architecture:
    description:
      - The architecture that the image is built for, by Docker's name, for example C(amd64). An engine of another one needs QEMU's binfmt support, as
        Docker Desktop has it. An image that turns out to be for another architecture is not pushed.
      - Empty, the image is for whichever architecture the engine takes.
    type: str
    default: ""
  settings:
    description: Settings that the build bakes in, written to O(settings_file). Public by nature.
    type: dict
    default: {}
  settings_file:
    description: File of the repository for O(settings), one C(NAME="value") a line.
    type: str
    default: .env
  environment:
    description:
      - Environment of the build's commands. Works for a Dockerfile without C(ARG), because each name is declared in every stage.
      - Not in the image's environment, but in its history.
    type: dict
    default: {}
  ca_certificates:
    description:
      - Certificate authorities, name to PEM, that git trusts beside the system's. If there are any, the build's commands find
        them in C(/litefarm-ca.pem), which C(NODE_EXTRA_CA_CERTS) names.
    type: dict
    default: {}
  registry_username:
    description: Who pushes, and pulls O(base).
    type: str
    default: ""
  registry_password:
    description: The password or token of O(registry_username).
    type: str
    default: ""
  cache:
    description: Folder on the builder for the checkout and the logs.
    type: path
    default: ~/.cache/litefarm/build
  phase:
    description: Used by the action plugin, which starts a build and then polls it.
    type: str
    choices: [start, poll]
    default: start
  offset:
    description: Used by the action plugin, position in the log up to which it has read.
    type: int
    default: 0
extends_documentation_fragment:
  - litefarm.platform.attributes.changes
requirements:
  - git and the Docker SDK for Python on the builder
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
seealso:
  - module: litefarm.platform.release
"""

EXAMPLES = r"""
- name: The API's image is in the registry
  litefarm.platform.image_build:
    repo: https://github.com/LiteFarmOrg/LiteFarm.git
    commit: 69272be6c5a3f0a7e4f6b0b1c1a3a6c0e5d4f312
    context: packages
    dockerfile: packages/api/prod.Dockerfile
    name: registry.digitalocean.com/litefarm/api
    tag: 69272be6c5a3f0a7e4f6b0b1c1a3a6c0e5d4f312
    environment: {PUPPETEER_SKIP_DOWNLOAD: "1"}
    registry_username: litefarm
    registry_password: "{{ vault_registry_password }}"

- name: The export scheduler's image, which is the API's with two more programs, is in the registry
  litefarm.platform.image_build:
    repo: https://github.com/LiteFarmOrg/LiteFarm.git
    commit: "{{ litefarm_release.commit }}"
    recipe: |
      ARG BASE
      FROM ${BASE}
      USER root
      RUN apt-get update && apt-get install --yes --no-install-recommends awscli zip
      USER 1000:1000
    base: "{{ litefarm_release.images.export_scheduler.base }}"
    name: "{{ litefarm_release.images.export_scheduler.name }}"
    tag: "{{ litefarm_release.images.export_scheduler.tag }}"
    registry_username: litefarm
    registry_password: "{{ vault_registry_password }}"
"""

RETURN = r"""
digest:
  description: The digest under which the registry has the image.
  returned: when built
  type: str
seconds:
  description: How long checkout, build and push took.
  returned: when built
  type: int
log:
  description: The build's log on the builder.
  returned: when built
  type: str
"""

import os
import shutil

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.litefarm.platform.plugins.module_utils import _image_job as image_job

try:
    import docker
except ImportError:
    docker = None


def start(module, job):
    if shutil.which("git") is None:
        module.fail_json(msg="The program git is missing on the builder: install it there.")
    if docker is None:
        module.fail_json(msg=missing_required_lib("docker"))
    try:
        # Asks the engine for its version already.
        client = docker.from_env(timeout=600)
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        module.fail_json(
            msg="No Docker engine answers on the builder (%s): start one there, or set DOCKER_HOST to its socket if it has another one than "
            "/var/run/docker.sock." % " ".join(str(error).split())
        )
    if not job.lock():
        if job.is_current():
            module.exit_json(changed=False, attached=True)
        module.fail_json(msg="Another build is running on the builder (%s): wait until it has ended." % job.current())
    job.prepare()
    # The build must not end with the connection, and must not keep it open.
    if os.fork() == 0:
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        job.detach()
        code = image_job.run(job, module.params, client, docker.errors.DockerException)
        os._exit(code)
    os.wait()
    module.exit_json(changed=False, attached=False)


def main():
    module = AnsibleModule(
        argument_spec={
            "repo": {"type": "str", "required": True},
            "commit": {"type": "str", "required": True},
            "context": {"type": "str", "default": "."},
            "dockerfile": {"type": "str"},
            "recipe": {"type": "str"},
            "base": {"type": "str", "default": ""},
            "name": {"type": "str", "required": True},
            "tag": {"type": "str", "required": True},
            "version": {"type": "str", "default": ""},
            "architecture": {"type": "str", "default": ""},
            "settings": {"type": "dict", "default": {}},
            "settings_file": {"type": "str", "default": ".env"},
            "environment": {"type": "dict", "default": {}},
            "ca_certificates": {"type": "dict", "default": {}},
            "registry_username": {"type": "str", "default": ""},
            "registry_password": {"type": "str", "default": "", "no_log": True},
            "cache": {"type": "path", "default": "~/.cache/litefarm/build"},
            "phase": {"type": "str", "choices": ["start", "poll"], "default": "start"},
            "offset": {"type": "int", "default": 0},
        },
        mutually_exclusive=[("dockerfile", "recipe")],
        required_one_of=[("dockerfile", "recipe")],
        supports_check_mode=True,
    )
    job = image_job.Job(module.params["cache"], module.params["name"], module.params["tag"])
    if module.check_mode:
        module.exit_json(changed=True)
    if module.params["phase"] == "start":
        start(module, job)
    module.exit_json(changed=False, **job.progress(module.params["offset"]))


if __name__ == "__main__":
    main()
