# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module as Ansible would, in a process of its own that may be killed; arguments as JSON on standard input."""

import json
import sys

from ansible.module_utils.testing import patch_module_args
from ansible_collections.litefarm.platform.plugins.modules import container_service

with patch_module_args(json.load(sys.stdin)):
    container_service.main()
