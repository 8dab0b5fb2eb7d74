#!/usr/bin/python
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stages containers that are entries of a file, and migrates a database that is another one."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.litefarm.platform.plugins.module_utils import simulated as world


def main():
    options = {"name": {}, "state": {}, "image": {}, "init_commands": {"type": "list", "elements": "dict"}, "run_number": {"type": "int", "default": 0}}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    name, image, shots = module.params["name"], module.params["image"], []
    world.note(module="container_service", name=name, state=module.params["state"], run_number=module.params["run_number"])
    if world.told("fails"):
        module.fail_json(msg="%s fails here.\nLast lines of its log:" % name)
    for shot in module.params["init_commands"] or []:
        done = world.migrated()
        if shot["name"] == "migrate":
            if world.told("fails-to-migrate"):
                world.migrate([*done, world.MIGRATIONS[0]])
                module.fail_json(msg="The init command 'migrate' ended with exit code 1.", init_commands=[])
            world.migrate(world.MIGRATIONS)
        left = [each for each in world.MIGRATIONS if each not in done]
        heads = ["Found %d Completed Migration file/files." % len(done), "Found %d Pending Migration file/files." % len(left)]
        shots.append({"name": shot["name"], "output": [heads[0], *done, heads[1], *left]})
    if module.params["state"] == "run":
        module.exit_json(changed=True, init_commands=shots)
    with world.containers() as found:
        seen = found[name]
        phase = "current" if seen["current"] == image else "switched" if seen.get("serves") else "staged"
        changed = phase == "staged" and seen.get("next") != image
        if changed:
            seen.update(next=image, serves=False)
    module.exit_json(changed=changed, release={"name": name, "phase": phase, "spec": "spec of %s" % image, "image": image})


if __name__ == "__main__":
    main()
