#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: container_release
short_description: Carry staged releases of a droplet's services through the phases of a release, together
version_added: 0.1.0
description:
  - What M(litefarm.platform.container_service) has staged needs no declaration any more, because the droplet keeps what the phases that follow have to
    know. So one call carries several services of a droplet, and a playbook can put a barrier between droplets.
  - The phases and what each leaves when it is interrupted are in C(docs/release-protocol.md). A service whose release is committed already
    is left alone by V(switch), V(settle) and V(commit).
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
requirements:
  - a Docker engine on the managed host
extends_documentation_fragment:
  - litefarm.platform.run_number
attributes:
  check_mode:
    description: Says whether something is there that would be carried on.
    support: full
  diff_mode:
    description: The diff of a release is shown where it is staged.
    support: none
options:
  operation:
    description:
      - V(switch) makes the staged releases serve, one service after the other in the order of O(services). After an error none follows.
      - V(settle) watches them at work, all at once, takes the old ones out of the upstream files and drains these.
      - V(commit) stops and retains the old ones.
      - V(revert) makes sure that these releases do not run and those before them serve, in the opposite order, and goes on after an error.
    type: str
    choices: [switch, settle, commit, revert]
    required: true
  services:
    description:
      - Names of services, each to its release, as C(release.spec) of M(litefarm.platform.container_service) with
        O(ignore:state=stage) names it.
    type: dict
    required: true
seealso:
  - module: litefarm.platform.container_service
"""

EXAMPLES = r"""
- name: Stage the API
  litefarm.platform.container_service:
    name: api
    state: stage
    image: registry.example.org/litefarm/api:v1.2.3
    update: rolling
    ports:
      - {container: 5000, host: [15000, 15001]}
    upstream: {name: api}
  register: api_staged

- name: Switch API traffic
  litefarm.platform.container_release:
    operation: switch
    services:
      api: "{{ api_staged.release.spec }}"

- name: Watch the new release at work
  litefarm.platform.container_release:
    operation: settle
    services:
      api: "{{ api_staged.release.spec }}"
"""

RETURN = r"""
releases:
  description: Service to its release, as C(release) of M(litefarm.platform.container_service).
  returned: always, except in check mode
  type: dict
notes:
  description: What O(ignore:before_stop) warned of, a sentence each, as for the record of the release. They are shown as warnings too.
  returned: always, except in check mode
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import _run_number as run_number
from ansible_collections.litefarm.platform.plugins.module_utils._container_service import faults
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import Engine
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.host import LOCK_TIMEOUT, STATE_DIRECTORY, Clock
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.plan import would_change
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.staged import carry, locked, staged


def main():
    module = AnsibleModule(
        argument_spec=dict(
            operation=dict(type="str", choices=["switch", "settle", "commit", "revert"], required=True),
            services=dict(type="dict", required=True),
            **run_number.OPTION,
        ),
        supports_check_mode=True,
    )
    operation, clock = module.params["operation"], Clock()
    try:
        run_number.require(module.params["run_number"], module.check_mode)
        services = module.params["services"].items()
        releases = [staged(name, spec, operation, Engine(), clock, faults.of(name), STATE_DIRECTORY) for name, spec in services]
        if module.check_mode or not releases:
            module.exit_json(changed=any(would_change(release)[0] for release in releases))
        with locked(releases, LOCK_TIMEOUT, clock):
            # Once more: it may have waited for a newer run to end here.
            run_number.require(module.params["run_number"])
            errors = carry(operation, releases)
    except run_number.RunRefused as error:
        module.fail_json(msg=str(error))
    except ServiceError as error:
        module.fail_json(msg=error.report())
    outcome = {
        "changed": any(release.changed for release in releases),
        "notes": [release.service.masker(note) for release in releases for note in release.notes],
        "releases": {release.name: release.service.masker(release.result()) for release in releases},
    }
    for release in releases:
        for warning in release.warnings + release.notes:
            module.warn(release.service.masker(warning))
    if errors:
        module.fail_json(msg="\n".join(release.service.masker(error.report()) for release, error in errors), **outcome)
    module.exit_json(**outcome)


if __name__ == "__main__":
    main()
