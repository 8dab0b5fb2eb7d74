# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module as Ansible would, in a process of its own that may be killed.

Standard input has JSON with `arguments` of the module and `settings`, which replace constants that stand for a droplet: this machine is none.
"""

import json
import sys

from ansible.module_utils.testing import patch_module_args
from ansible_collections.litefarm.platform.plugins.module_utils._container_service import model
from ansible_collections.litefarm.platform.plugins.modules import container_service

given = json.load(sys.stdin)
for name, value in given["settings"].items():
    owner = container_service if hasattr(container_service, name) else model
    assert hasattr(owner, name), name
    setattr(owner, name, value)
with patch_module_args(given["arguments"]):
    container_service.main()
