#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls nothing."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import simulated as world


def main():
    module = AnsibleModule(argument_spec={"images": {"type": "list", "elements": "str"}, "run_number": {"type": "int", "default": 0}})
    world.note(module="image_pull", run_number=module.params["run_number"])
    if world.told("fails"):
        module.fail_json(msg="The image cannot be pulled here.")
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
