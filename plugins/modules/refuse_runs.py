#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: refuse_runs
short_description: Have a droplet refuse a run of the platform and all older ones
version_added: 0.1.0
description:
  - For a run whose deploy lock is broken. Modules of that run that have begun on the droplet end; those that begin later are refused before
    they change anything.
  - Only modules that are given O(litefarm.platform.container_service#module:run_number) are concerned.
author:
  - LiteFarm platform maintainers (@LiteFarmOrg)
attributes:
  check_mode:
    description: Says whether the droplet would not have refused the run before.
    support: full
  diff_mode:
    description: There is no text to compare.
    support: none
options:
  number:
    description: Number of the run. C(/var/lib/litefarm/run_number) says at least one more afterwards.
    type: int
    required: true
  path:
    description: File that keeps the highest number of a run on the droplet. The modules that change a droplet look into the default one.
    type: path
    default: /var/lib/litefarm/run_number
seealso:
  - module: litefarm.platform.container_service
"""

EXAMPLES = r"""
- name: Refuse the run whose lock was broken
  litefarm.platform.refuse_runs:
    number: 1795550400
"""

RETURN = r"""
lowest:
  description: The lowest number of a run that the droplet does not refuse now, or in check mode would not refuse.
  returned: success
  type: int
  sample: 1795550401
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import _run_number as run_number


def main():
    module = AnsibleModule(
        argument_spec=dict(number=dict(type="int", required=True), path=dict(type="path", default=run_number.PATH)),
        supports_check_mode=True,
    )
    number = module.params["number"]
    if number < 0:
        module.fail_json(msg="number is %d: give the number of a run, as the deploy lock has it." % number)
    try:
        changed = run_number.refuse(number, module.check_mode, module.params["path"])
        lowest = max(number + 1, run_number.seen(module.params["path"]))
    except run_number.RunRefused as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, lowest=lowest)


if __name__ == "__main__":
    main()
