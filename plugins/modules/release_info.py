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
  dump:
    description: The file in which the daily dump of the database leaves its result. Empty, or without such a file, there is none.
    type: path
    default: ""
  data_directory:
    description: Directory with the database's data, in which C(playbooks/restore.yml) keeps those that it replaces. Empty, they are not looked for.
    type: path
    default: ""
  repaired_logs:
    description: Directory in which Redis' container keeps copies of damaged logs that it has repaired. Empty, they are not looked for.
    type: path
    default: ""
  certificates:
    description: Settings of the role C(nginx) for certificates. Empty, or without such a file, none are looked at.
    type: path
    default: ""
  job_queues:
    description: Service to C(command) and its C(stdin), which reports in its container what has become of jobs. Empty, nothing is asked.
    type: dict
    default: {}
  request_queues:
    description: Whether this droplet's HAProxy is asked for requests that wait for their turn.
    type: bool
    default: false
  live:
    description: Names of sets of files of M(litefarm.platform.config_files) of which it is looked whether they are live. None by default.
    type: list
    elements: str
    default: []
  third_party:
    description:
      - Services of which it is returned how old their image is, and whether its registry has a newer one under the same tag. An answer of a
        registry is kept for an hour in C(/run/litefarm).
    type: list
    elements: str
    default: []
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
    restarts_last_hour:
      description: How often within the last hour; null if the journal cannot be asked.
      type: int
    out_of_memory:
      description: How often memory ran out in it within the last hour.
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
      nothing did. Results of an earlier archive, as before a new encryption key, are left out. The object storage is not asked.
  returned: always
  type: dict
file_backup:
  description: What the backup of files last reported, with its C(age) in seconds and by C(tags) if it says so; null if it did not.
  returned: always
  type: dict
dump:
  description: The result of the last dump of the database (C(result), C(message)), with its C(age) and C(ok_age) in seconds; null if there was none.
  returned: always
  type: dict
replaced_data:
  description: Data that restores have replaced and nobody has removed, the oldest first, each with C(path), C(bytes) and C(age) in seconds.
  returned: always
  type: list
  elements: dict
repaired_logs:
  description: Copies of damaged logs that Redis' container has repaired, the oldest first, each with C(path), the C(bytes) that were cut and C(age) in seconds.
  returned: always
  type: list
  elements: dict
certificates:
  description:
    - Of each name (C(names)) that this droplet's nginx serves C(left) and C(lifetime) of its certificate in seconds, or a C(problem). How
      certbot's last run ended is C(renewal), with C(failed), C(age) in seconds, C(message) and C(problem). Null if there are no names.
  returned: always
  type: dict
job_queues:
  description:
    - Service of O(job_queues) to what was reported. C(queues) has of each queue how many jobs are C(waiting), C(active), C(failed) and
      C(failed_last_day), for how many seconds a job has waited while none was in work (C(untaken), 0 below two minutes), and by whom it is paused
      (C(paused_by)). C(oldest) is the failed job that is C(age) seconds old. C(problem) says why nothing
      is known.
  returned: always
  type: dict
request_queues:
  description:
    - Service to the number of requests that it is C(working) on, that are C(waiting), and that were C(refused) within the last hour (null if that
      is not known), as C(services); or the C(error) of HAProxy. Null if it was not asked.
  returned: always
  type: dict
live:
  description:
    - What of the sets of O(live) is C(different) from what their files declare, as sentences, and of which sets that is C(unknown). Null if none
      were to be looked at.
  returned: always
  type: dict
third_party:
  description:
    - Service of O(third_party) to its C(image), the C(age) of the image in seconds, and whether there is a C(newer) one; either is null if it is not
      known, and C(problem) says why nobody knows of a newer one.
  returned: always
  type: dict
engine:
  description: Whether an engine answers.
  returned: always
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import (
    _certificates as certificates,
    _config_files as config_files,
    _job_queues as job_queues,
    _postgres_archive as postgres_archive,
    _repaired_log as repaired_log,
    _request_queues as request_queues,
)
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import Engine
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.images import third_party
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.info import running
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils._maintenance import look


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
            dump=dict(type="path", default=""),
            data_directory=dict(type="path", default=""),
            repaired_logs=dict(type="path", default=""),
            certificates=dict(type="path", default=""),
            job_queues=dict(type="dict", default={}),
            request_queues=dict(type="bool", default=False),
            third_party=dict(type="list", elements="str", default=[]),
            live=dict(type="list", elements="str", default=[]),
        ),
        supports_check_mode=True,
    )
    wanted = module.params
    try:
        answer = running(wanted["services"], wanted["images"], wanted["probe"], wanted["state_directory"])
        answer["third_party"] = third_party(wanted["third_party"], Engine()) if answer["engine"] else {}
    except ServiceError as error:
        module.fail_json(msg=error.report())
    asked = wanted["job_queues"].items() if answer["engine"] else []
    answer["job_queues"] = {service: job_queues.ask(service, each["command"], each["stdin"]) for service, each in asked}
    answer["certificates"] = certificates.look(wanted["certificates"]) if wanted["certificates"] else None
    answer["request_queues"] = request_queues.look() if wanted["request_queues"] else None
    answer["live"] = config_files.look(wanted["live"]) if wanted["live"] else None
    answer["repaired_logs"] = repaired_log.look(wanted["repaired_logs"]) if wanted["repaired_logs"] else []
    maintenance = look(wanted["maintenance_directory"]) if wanted["maintenance_directory"] else None
    archive = postgres_archive.look(wanted["archive_directory"]) if wanted["archive_directory"] else {}
    files = postgres_archive.look_at_files(wanted["file_backup"]) if wanted["file_backup"] else None
    dump = postgres_archive.read_result(wanted["dump"]) if wanted["dump"] else None
    replaced = postgres_archive.look_at_replaced(wanted["data_directory"]) if wanted["data_directory"] else []
    archive = archive if any(archive.values()) else None
    module.exit_json(changed=False, maintenance=maintenance, archive=archive, file_backup=files, dump=dump, replaced_data=replaced, **answer)


if __name__ == "__main__":
    main()
