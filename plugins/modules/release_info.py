#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Tell what runs on a droplet, since when, and whether it is well
version_added: 0.1.0
description:
  - Looks at the containers that M(litefarm.platform.container_service) manages. Changes nothing.
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
extends_documentation_fragment:
  - litefarm.platform.attributes.asks
options:
  services:
    description: Names of the services to look for.
    type: list
    elements: str
    required: true
  images:
    description: Images of which it is told whether the droplet has them.
    type: list
    elements: str
    default: []
  probe:
    description: Whether the services are asked how they are, by the probes with which they were released.
    type: bool
    default: true
  state_directory:
    description: Directory of the host for configuration and secrets of releases, and locks.
    type: path
    default: /var/lib/litefarm
  maintenance_directory:
    description: Where C(playbooks/maintenance.yml) puts its page. Empty, maintenance is not looked for.
    type: path
    default: ""
  archive_directory:
    description: Where guard and backups of the database's archive leave their status. Empty, or without such files, there is no archive.
    type: path
    default: ""
  file_backup:
    description: The status file of the backup of files. Empty, or without such a file, there is none.
    type: path
    default: ""
  data_directory:
    description: Directory with the database's data, in which C(playbooks/restore.yml) keeps those that it replaces. Empty, they are not looked for.
    type: path
    default: ""
seealso:
  - module: litefarm.platform.container_service
"""

EXAMPLES = r"""
- name: What runs is known
  litefarm.platform.release_info:
    services: [api, webapp]
  register: litefarm_release_info
"""

RETURN = r"""
services:
  description:
    - Service to what is there of it. RV(services.image) to RV(services.update) are of the container that serves; of the one that was committed if none does.
    - For a rolling service the one serves whose port the upstream file names. For others it is the one that runs.
    - A service of which no container serves or was committed is left out.
  returned: always
  type: dict
  contains:
    image:
      description: The image as it was declared.
      type: str
    spec:
      description: Hash of the whole declaration.
      type: str
    number:
      description: Number of the release on this host.
      type: int
    state:
      description: State of the container.
      type: str
      sample: running
    since:
      description: When the container was started, in UTC.
      type: str
      sample: "2026-11-24T20:15:00Z"
    restarts:
      description: How often the engine had to start it again.
      type: int
    port:
      description: First host port.
      type: int
    healthy:
      description: Whether all probes were answered well; null if there was nothing to ask.
      type: bool
    probes:
      description: The answers.
      type: list
      elements: str
    memory_mb:
      description: Limit of the container's memory, in MiB.
      type: int
    update:
      description: V(rolling) if a second container stands beside it during a release, V(recreate) if not; empty if that is not known.
      type: str
    committed_image:
      description: Image of the release that was committed last, which may not be the one that serves while one is under way; empty if there is none.
      type: str
    beside:
      description: Image of the other release that is there while one is under way; empty if there is no other one.
      type: str
    copies:
      description: How many containers of the service run.
      type: int
    upstream_read:
      description: Whether nginx is known to have read the upstream file. If not, it may still ask the release in RV(services.beside).
      type: bool
    previous:
      description: Images of the retained releases, the newest first.
      type: list
      elements: str
    under_way:
      description: Whether a release of the service was begun and neither finished nor taken back.
      type: bool
missing_images:
  description: Those of O(images) that the droplet does not have.
  returned: always
  type: list
  elements: str
memory_available_mb:
  description: Memory that new processes can have without swapping, and free swap space, in MiB.
  returned: always
  type: int
disk_free_mb:
  description: Space that is free where the engine keeps images and containers, in MiB.
  returned: always
  type: int
now:
  description: The time of the droplet's clock, by which RV(services.since) is to be judged.
  returned: always
  type: str
  sample: "2026-11-24T20:17:30Z"
maintenance:
  description: Since when there is maintenance (C(since), in UTC) and with which C(message); null if there is none.
  returned: always
  type: dict
archive:
  description:
    - What guard (C(guard)) and backups (C(results), by type) last reported of the database's archive, each with its C(age) in seconds; null if
      nothing did. The object storage is not asked.
  returned: always
  type: dict
file_backup:
  description: What the backup of files last reported, with its C(age) in seconds and by C(tags) if it says so; null if it did not.
  returned: always
  type: dict
replaced_data:
  description: Data that restores have replaced and nobody has removed, the oldest first, each with C(path), C(bytes) and C(age) in seconds.
  returned: always
  type: list
  elements: dict
engine:
  description: Whether an engine answers.
  returned: always
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import postgres_archive
from ansible_collections.litefarm.platform.plugins.module_utils.container_service.info import running
from ansible_collections.litefarm.platform.plugins.module_utils.container_service.model import ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils.maintenance import look


def main():
    module = AnsibleModule(
        argument_spec=dict(
            services=dict(type="list", elements="str", required=True),
            images=dict(type="list", elements="str", default=[]),
            probe=dict(type="bool", default=True),
            state_directory=dict(type="path", default="/var/lib/litefarm"),
            maintenance_directory=dict(type="path", default=""),
            archive_directory=dict(type="path", default=""),
            file_backup=dict(type="path", default=""),
            data_directory=dict(type="path", default=""),
        ),
        supports_check_mode=True,
    )
    wanted = module.params
    try:
        answer = running(wanted["services"], wanted["images"], wanted["probe"], wanted["state_directory"])
    except ServiceError as error:
        module.fail_json(msg=error.report())
    maintenance = look(wanted["maintenance_directory"]) if wanted["maintenance_directory"] else None
    archive = postgres_archive.look(wanted["archive_directory"]) if wanted["archive_directory"] else {}
    files = postgres_archive.look_at_files(wanted["file_backup"]) if wanted["file_backup"] else None
    replaced = postgres_archive.look_at_replaced(wanted["data_directory"]) if wanted["data_directory"] else []
    archive = archive if any(archive.values()) else None
    module.exit_json(changed=False, maintenance=maintenance, archive=archive, file_backup=files, replaced_data=replaced, **answer)


if __name__ == "__main__":
    main()
