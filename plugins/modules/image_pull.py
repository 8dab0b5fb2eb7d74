#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_pull
short_description: Have images on a droplet before they are needed
version_added: 0.1.0
description:
  - Pulls those images that the droplet does not have. So a release loses no time with it, and holds no lock meanwhile.
  - Before that it removes images of the same names that no container uses, not even a stopped one. Releases that failed before they had a container
    have left them.
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
requirements:
  - Docker SDK for Python 5.0 or newer on the managed host (python3-docker)
  - a Docker engine on the managed host, which knows the registries' credentials
extends_documentation_fragment:
  - litefarm.platform.run_number
attributes:
  check_mode:
    description: Says which would be pulled.
    support: full
  diff_mode:
    description: There is no text to compare.
    support: none
options:
  images:
    description: Images as C(name:tag) or C(name@sha256:digest).
    type: list
    elements: str
    required: true
seealso:
  - module: litefarm.platform.container_service
"""

EXAMPLES = r"""
- name: The droplet has the images of the release
  litefarm.platform.image_pull:
    images:
      - registry.example.org/litefarm/api@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
"""

RETURN = r"""
removed:
  description: Ids of images that were removed.
  returned: success
  type: list
  elements: str
pulled:
  description: The images that were missing.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import run_number
from ansible_collections.litefarm.platform.plugins.module_utils.container_service.engine import Engine, EngineMissing
from ansible_collections.litefarm.platform.plugins.module_utils.container_service.model import ServiceError, reference, repository


def unused(engine, wanted):
    """Images of the wanted names that nobody uses and nobody wants."""
    names = {repository(image) for image in wanted}
    kept = {engine.image_id(reference(image)) for image in wanted}
    others = [image_id for image_id, pulled in engine.images().items() if image_id not in kept and names & {repository(name) for name in pulled}]
    return [image_id for image_id in others if not engine.image_in_use(image_id)]


def main():
    module = AnsibleModule(argument_spec=dict(images=dict(type="list", elements="str", required=True), **run_number.OPTION), supports_check_mode=True)
    engine, missing, removed = Engine(), module.params["images"], []
    try:
        run_number.require(module.params["run_number"], module.check_mode)
        missing = [image for image in missing if engine.image_id(reference(image)) is None]
        if missing and not module.check_mode:
            removed = [image_id for image_id in unused(engine, module.params["images"]) if engine.remove_image(image_id)]
        for image in [] if module.check_mode else missing:
            engine.pull(reference(image))
    except EngineMissing as error:
        # A fresh droplet in check mode has none of them, and nothing to ask.
        if not module.check_mode:
            module.fail_json(msg=error.report())
    except run_number.RunRefused as error:
        module.fail_json(msg=str(error))
    except ServiceError as error:
        module.fail_json(msg=error.report())
    module.exit_json(changed=bool(missing), pulled=missing, removed=removed)


if __name__ == "__main__":
    main()
