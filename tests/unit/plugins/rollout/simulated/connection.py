# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to this machine, which can be cut for one droplet, and which tells the modules which droplet they are on."""

from __future__ import annotations

import os

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: simulated
short_description: This machine as one of several droplets
description: For tests.
extends_documentation_fragment: [connection_pipelining]
"""


class Connection(Local):
    transport = "simulated"

    def exec_command(self, cmd, in_data=None, sudoable=True):
        host, folder = self._play_context.remote_addr, os.environ["SIMULATED"]
        if os.path.exists(os.path.join(folder, "down", host)):
            raise AnsibleConnectionFailure("ssh: connect to host %s port 22: No route to host" % host)
        return super().exec_command("SIMULATED_HOST=%s %s" % (host, cmd), in_data, sudoable)
