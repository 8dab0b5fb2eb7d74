#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_backup
short_description: Take a backup of PostgreSQL into the object storage
version_added: 0.1.0
description:
  - Takes a backup with the program of the role P(litefarm.platform.postgres#role), as its timers do, and says in a sentence why if it fails.
  - Waits for a backup that is under way. The database serves meanwhile.
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
options:
  type:
    description: All of the database, or what has changed since the last full backup (V(diff)) or since the last backup (V(incr)).
    type: str
    choices: [full, diff, incr]
    default: incr
  name:
    description: What the list of backups shows beside it, and what a restore may be asked for. Empty for none.
    type: str
    default: ""
  program:
    description: The program that takes it.
    type: path
    default: /usr/local/sbin/litefarm-postgres-backup
extends_documentation_fragment:
  - litefarm.platform.attributes.changes
seealso:
  - module: litefarm.platform.postgres_backups
"""

EXAMPLES = r"""
- name: Take a backup before the migrations
  litefarm.platform.postgres_backup:
    name: before-v4
"""

RETURN = r"""
seconds:
  description: The time that it took.
  returned: success, except in check mode
  type: float
  sample: 3.4
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils._postgres_archive import BACKUP_TYPES, explain


def main():
    module = AnsibleModule(
        argument_spec=dict(
            type=dict(type="str", choices=list(BACKUP_TYPES), default="incr"),
            name=dict(type="str", default=""),
            program=dict(type="path", default="/usr/local/sbin/litefarm-postgres-backup"),
        ),
        supports_check_mode=True,
    )
    program, name = module.params["program"], module.params["name"]
    if not os.access(program, os.X_OK):
        module.fail_json(msg="No backup was taken. The droplet has no %s: run site.yml, which installs it where the database has an archive." % program)
    if module.check_mode:
        module.exit_json(changed=True)
    began = time.monotonic()
    code, output, errors = module.run_command([program, module.params["type"], *(["--name", name] if name else [])])
    if code:
        module.fail_json(msg="No backup was taken. %s" % explain(code, errors or output))
    module.exit_json(changed=True, seconds=round(time.monotonic() - began, 1))


if __name__ == "__main__":
    main()
