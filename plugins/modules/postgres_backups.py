#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# plugins/action/postgres_backups.py runs first, on the control node.

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_backups
short_description: List the backups of PostgreSQL in the object storage
version_added: 0.1.0
description:
  - Says which backups the archive of the role P(litefarm.platform.postgres#role) has, of each cluster in the bucket, and to which times the database can
    be restored. Prints it as a table, and fails if the archive of the cluster in place cannot be read. Changes nothing; it starts a container of its own
    and removes it again.
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
extends_documentation_fragment:
  - litefarm.platform.postgres_data
  - litefarm.platform.attributes.asks
options:
  newest:
    description: Print only the backup that ended last, of the cluster in place. The result has all of them.
    type: bool
    default: false
  encryption_key:
    description: Try this key instead of the droplet's, and list what was written with it. It is in the droplet's memory only, as long as the module runs.
    type: str
seealso:
  - module: litefarm.platform.postgres_restore
"""

EXAMPLES = r"""
- name: Show the backups
  litefarm.platform.postgres_backups:

- name: Show what the printed key opens
  litefarm.platform.postgres_backups:
    encryption_key: "{{ lookup('ansible.builtin.file', '/media/key.txt') }}"
"""

RETURN = r"""
key_id:
  description: The name of the key's folder in the bucket, if O(encryption_key) was given.
  returned: success
  type: str
  sample: 3f0a91c2
clusters:
  description: The clusters that the bucket has archives of.
  returned: success
  type: list
  elements: dict
  contains:
    cluster:
      description: System identifier.
      type: str
      sample: "7577198264723316764"
    in_place:
      description: Whether it is the one on the droplet.
      type: bool
    version:
      description: Major version of PostgreSQL.
      type: str
      sample: "17"
    since:
      description: The earliest time to which it can be restored, in seconds since 1970; 0 if there is none.
      type: int
      sample: 1795744072
    until:
      description: When the archive got its last WAL, in seconds since 1970; 0 if there is no backup.
      type: int
      sample: 1795774351
    problem:
      description: Why its archive cannot be read, or empty.
      type: str
    backups:
      description: Its backups, the oldest first, with C(label), C(type), C(name), C(start), C(stop), C(size), C(repo_size) and C(damaged).
      type: list
      elements: dict
time:
  description: The droplet's time, in seconds since 1970.
  returned: success
  type: float
  sample: 1795774360.5
"""

import contextlib

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import Engine
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.host import Clock
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import ServiceError
from ansible_collections.litefarm.platform.plugins.module_utils._fingerprint import key_id
from ansible_collections.litefarm.platform.plugins.module_utils._postgres_archive import ArchiveError, credentials_with_key
from ansible_collections.litefarm.platform.plugins.module_utils._postgres_restore import OPTIONS, Restore, RestoreError


def main():
    module = AnsibleModule(
        argument_spec=dict(
            **OPTIONS,
            newest=dict(type="bool", default=False),
            encryption_key=dict(type="str", no_log=True),
        ),
        supports_check_mode=True,
    )
    clock, key = Clock(), module.params["encryption_key"]
    try:
        with contextlib.ExitStack() as stack:
            params = dict(module.params)
            if key is not None:
                params["credentials_directory"] = stack.enter_context(credentials_with_key(params["credentials_directory"], key, params["uid"]))
            clusters = Restore(params, Engine(), clock, lambda step: None, tool="postgres_backups").survey()
    except (RestoreError, ArchiveError) as error:
        module.fail_json(msg=str(error))
    except ServiceError as error:
        module.fail_json(msg=error.report())
    if key is not None and not clusters:
        module.fail_json(
            msg="The bucket has no archive of a database that was written with this key, whose folder would be %s: compare every character of it." % key_id(key)
        )
    module.exit_json(changed=False, clusters=clusters, time=clock.now(), key_id="" if key is None else key_id(key))


if __name__ == "__main__":
    main()
