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
  - Removes nothing, and has other runs keep these images for an hour although no container uses them yet. M(litefarm.platform.container_service)
    removes what releases have left when it stages or commits the next one of the service.
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
  state_directory:
    description: Directory of the host for what M(litefarm.platform.container_service) keeps.
    type: path
    default: /var/lib/litefarm
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
pulled:
  description: The images that were missing.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import _run_number as run_number
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import Engine, EngineMissing
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.host import Host
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import ServiceError, reference


def pull(engine, host, wanted):
    """Have the images, those that are there already too, and keep them from being removed before they are used."""
    for image in wanted:
        host.want_image(image)
    for image in [image for image in wanted if engine.image_id(image) is None]:
        engine.pull(image)
        # Pulling may have taken long.
        host.want_image(image)


def main():
    module = AnsibleModule(
        argument_spec=dict(
            images=dict(type="list", elements="str", required=True),
            state_directory=dict(type="path", default="/var/lib/litefarm"),
            **run_number.OPTION,
        ),
        supports_check_mode=True,
    )
    engine, missing = Engine(), module.params["images"]
    try:
        run_number.require(module.params["run_number"], module.check_mode)
        missing = [image for image in missing if engine.image_id(reference(image)) is None]
        if not module.check_mode:
            pull(engine, Host("image_pull", module.params["state_directory"]), [reference(image) for image in module.params["images"]])
    except EngineMissing as error:
        # A fresh droplet in check mode has none of them, and nothing to ask.
        if not module.check_mode:
            module.fail_json(msg=error.report())
    except run_number.RunRefused as error:
        module.fail_json(msg=str(error))
    except ServiceError as error:
        module.fail_json(msg=error.report())
    module.exit_json(changed=bool(missing), pulled=missing)


if __name__ == "__main__":
    main()
