#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_restore
short_description: Restore PostgreSQL from its archive in the object storage
version_added: 0.1.0
description:
  - Brings the database of a droplet back to its latest state, to a time, or to a backup, from what the role P(litefarm.platform.postgres#role)
    has archived with pgBackRest.
  - The data are restored into a folder beside those in place and replayed by a server that nobody else can reach. They are put in place only
    if all of the WAL up to the target was there. The data that were in place are kept, as C(pgdata.before-<time>).
  - A run that was killed is continued by the next one to the same target. C(docs/restore-protocol.md) says for each step what it leaves.
  - Does not start the server on the restored data; the role does.
  - With O(copy_to), the application's database is restored under another name on the server in place, which goes on serving. A copy that was
    killed starts over.
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
extends_documentation_fragment:
  - litefarm.platform.postgres_data
  - litefarm.platform.run_number
attributes:
  check_mode:
    description: Does what V(planned) does.
    support: full
  diff_mode:
    description: There is no text to compare.
    support: none
options:
  state:
    description:
      - V(planned) says what a restore would bring back and what would be lost. It starts a container of its own and removes it again.
      - V(restored) stops the server and puts the restored data in place.
      - V(abandoned) gives up a restore that is not in place yet, and starts the server that was there.
      - V(finished) waits until the server that runs on the restored data has told the archive so, and closes the journal.
      - V(copied) restores the application's database as another database, O(copy_to), of the server in place. Nothing else is changed.
    type: str
    choices: [planned, restored, abandoned, finished, copied]
    default: planned
  to:
    description:
      - V(latest), a time with its zone such as V(2026-11-27 10:00:00 UTC), or the label or name of a backup.
      - Required with O(state=planned), O(state=restored) and O(state=copied).
    type: str
    default: ""
  copy_to:
    description:
      - Name of the database that O(state=copied) makes. It must not exist yet.
      - With O(state=planned), the plan is that of a copy.
    type: str
  cluster:
    description:
      - System identifier of the cluster whose archive is used. Default is the one of the data in place or, where there are none, the cluster with
        the newest archive.
    type: str
    default: ""
  database:
    description: The application's database, which has to be in the restored data.
    type: str
    default: litefarm
  control_time:
    description:
      - The time of the control node in seconds since 1970. A droplet whose clock is more than 15 minutes off is refused.
      - With V(0) nothing is compared.
    type: float
    default: 0
  lock_timeout:
    description:
      - Time to wait for another run on the server's container, in seconds. Another restore is not waited for.
      - A copy does not wait, and does not keep releases waiting.
    type: int
    default: 60
seealso:
  - module: litefarm.platform.container_service
"""

EXAMPLES = r"""
- name: Say what would be lost
  litefarm.platform.postgres_restore:
    to: "2026-11-27 10:00:00 UTC"
  register: restore

- name: Restore the database
  litefarm.platform.postgres_restore:
    state: restored
    to: latest
    control_time: "{{ now(utc=true).timestamp() }}"

- name: Look at the data as they were, beside those of now
  litefarm.platform.postgres_restore:
    state: copied
    to: "2026-11-27 10:00:00 UTC"
    copy_to: litefarm_before

- name: Give up the restore
  litefarm.platform.postgres_restore:
    state: abandoned
"""

RETURN = r"""
plan:
  description: What the restore does, or would do.
  returned: with O(state=planned), O(state=restored) and O(state=copied)
  type: dict
  contains:
    target:
      description: The target, as it was given.
      type: str
      sample: latest
    kind:
      description: What kind of target it is, C(latest), C(time) or C(backup).
      type: str
      sample: latest
    restores_to:
      description: The time whose state comes back.
      type: str
      sample: 2026-11-27 10:00:00 UTC
    lost:
      description: Sentences about what is not there afterwards.
      type: list
      elements: str
    backup:
      description: Label of the backup that is used.
      type: str
      sample: 20261127-012345F_20261127-092003I
    backup_name:
      description: The backup's name, if it has one.
      type: str
    backup_time:
      description: When that backup ended.
      type: str
      sample: 2026-11-27 09:20:05 UTC
    archived_until:
      description: When the archive got its last WAL.
      type: str
      sample: 2026-11-27 10:12:31 UTC
    archived_until_epoch:
      description: The same in seconds since 1970.
      type: int
      sample: 1795774351
    size_mb:
      description: Size of the database, in MB.
      type: int
      sample: 16
    needed_mb:
      description: Disk space that has to be free, in MB.
      type: int
      sample: 529
    free_mb:
      description: Disk space that is free, in MB.
      type: int
      sample: 20480
    cluster:
      description: System identifier of the cluster.
      type: str
      sample: "7577198264723316764"
    clusters:
      description: System identifiers of all clusters in the bucket.
      type: list
      elements: str
    timeline:
      description: The timeline that is restored. Each restore begins another one.
      type: int
      sample: 1
    running:
      description: Whether the server in place runs.
      type: bool
    in_place:
      description: Whether there are data in place.
      type: bool
    unarchived:
      description: Files of WAL in place that the archive does not have.
      type: int
      sample: 0
    resumes:
      description: The last step of a killed restore to the same target, which is continued; else empty.
      type: str
      sample: fetch
before:
  description: Name of the folder that keeps the data that were in place.
  returned: with O(state=restored), if there were any
  type: str
  sample: /srv/litefarm/postgres/pgdata.before-20261127T101530Z
tables:
  description: Tables in the restored database of the application.
  returned: with O(state=restored) and O(state=copied)
  type: int
  sample: 161
seconds:
  description: Time taken, in seconds.
  returned: success
  type: float
  sample: 8.1
serving:
  description: Whether the server that was in place answers again.
  returned: with O(state=abandoned)
  type: bool
step:
  description: The last step that was done.
  returned: with O(state=restored), also on failure
  type: str
  sample: swap
"""

import contextlib
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import _run_number as run_number
from ansible_collections.litefarm.platform.plugins.module_utils._container_service import faults
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import Engine
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.host import Clock, Lock
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils._postgres_archive import ArchiveError
from ansible_collections.litefarm.platform.plugins.module_utils._postgres_copy import Copy
from ansible_collections.litefarm.platform.plugins.module_utils._postgres_restore import OPTIONS, Restore, RestoreError, RestoreLock


def perform(module, restore):
    """Does it, and returns what it has to say."""
    if module.params["state"] == "planned" or module.check_mode:
        return {"plan": restore.plan()} if module.params["state"] not in ("abandoned", "finished") else {}
    if module.params["state"] == "copied":
        return dict(plan=restore.copy(), tables=restore.journal.data["tables"])
    if module.params["state"] == "restored":
        plan = restore.restore()
        before = "%s/%s" % (module.params["data_directory"], restore.journal.data["before"])
        found = {"before": before} if os.path.exists(before) else {}
        return dict(found, plan=plan, tables=restore.journal.data["tables"], step=restore.journal.step)
    if module.params["state"] == "abandoned":
        return {"serving": restore.abandon()}
    restore.finish()
    return {}


def main():
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["planned", "restored", "abandoned", "finished", "copied"], default="planned"),
            to=dict(type="str", default=""),
            copy_to=dict(type="str"),
            cluster=dict(type="str", default=""),
            database=dict(type="str", default="litefarm"),
            **OPTIONS,
            control_time=dict(type="float", default=0),
            lock_timeout=dict(type="int", default=60),
            **run_number.OPTION,
        ),
        required_if=[("state", "planned", ["to"]), ("state", "restored", ["to"]), ("state", "copied", ["to", "copy_to"])],
        supports_check_mode=True,
    )
    params, clock = module.params, Clock()
    began, restore = clock.monotonic(), None
    try:
        run_number.require(params["run_number"], module.check_mode)
        with RestoreLock(params["state_directory"], clock):
            copies = params["state"] == "copied" or (params["state"] == "planned" and params["copy_to"] is not None)
            restore = (Copy if copies else Restore)(params, Engine(), clock, faults.of("restore"))
            # Nobody else starts or replaces the server meanwhile. A copy only uses it as it is.
            lock = Lock("%s/container_service/%s.lock" % (params["state_directory"], params["name"]), params["lock_timeout"], clock)
            with contextlib.nullcontext() if copies else lock:
                run_number.require(params["run_number"], module.check_mode)
                result = perform(module, restore)
    except run_number.RunRefused as error:
        module.fail_json(msg=str(error))
    except (RestoreError, ArchiveError, ServiceError) as error:
        message = error.report() if isinstance(error, ServiceError) else str(error)
        module.fail_json(msg=message, changed=bool(restore and restore.changed), step=restore.journal.step if restore else "")
    except OSError as error:
        module.fail_json(msg="The droplet's disk: %s." % error, changed=True, step=restore.journal.step if restore else "")
    for warning in restore.warnings:
        module.warn(warning)
    module.exit_json(changed=restore.changed, seconds=round(clock.monotonic() - began, 1), **result)


if __name__ == "__main__":
    main()
