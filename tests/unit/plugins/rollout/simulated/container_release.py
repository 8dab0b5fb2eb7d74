#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries them through the other phases."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import simulated as world


def main():
    module = AnsibleModule(argument_spec={"operation": {}, "services": {"type": "dict"}, "run_number": {"type": "int", "default": 0}})
    operation = module.params["operation"]
    world.note(module="container_release", operation=operation, services=sorted(module.params["services"]), run_number=module.params["run_number"])
    if world.told("fails-to-revert" if operation == "revert" else "fails"):
        module.fail_json(msg="No engine answers.")
    with world.containers() as found:
        for name, spec in module.params["services"].items():
            seen = found[name]
            if operation == "switch":
                seen["serves"] = True
            elif operation == "commit" and seen.get("next"):
                seen.update(previous=seen["current"], current=seen.pop("next"), serves=False)
            elif operation == "revert" and seen.get("next"):
                seen.update(next=None, serves=False)
            elif operation == "revert" and spec == "spec of %s" % seen["current"]:
                seen.update(current=seen["previous"])
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
