# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a droplet has its database."""

from __future__ import annotations


class ModuleDocFragment:
    """The same options as C(OPTIONS) in module_utils/_postgres_restore.py."""

    DOCUMENTATION = r"""
options:
  name:
    description: The service's name, which is its container's.
    type: str
    default: postgres
  data_directory:
    description: Directory of the droplet that has C(pgdata).
    type: path
    default: /srv/litefarm/postgres
  credentials_directory:
    description: Directory of the droplet with pgBackRest's configuration, and the script that calls it.
    type: path
    default: /etc/litefarm/postgres
  state_directory:
    description: Directory of the droplet for the journal, the lock and pgBackRest's queue, in the folder C(postgres) of it.
    type: path
    default: /var/lib/litefarm
  uid:
    description: Number of the user to whom the data belong.
    type: int
    default: 999
"""
