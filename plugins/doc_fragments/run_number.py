# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules that change a droplet have in common, said once."""

from __future__ import annotations


class ModuleDocFragment:
    """C(litefarm.platform.run_number): the option by which a droplet refuses an older run."""

    DOCUMENTATION = r"""
options:
  run_number:
    description:
      - Number of the run that the module belongs to, as the deploy lock hands it out. A play sets it once, with C(module_defaults) of the
        group C(litefarm.platform.changing).
      - The droplet keeps the highest number in C(/var/lib/litefarm/run_number), and a lower one is refused before anything is changed. So a
        run that has lost the deploy lock changes nothing any more.
      - With V(0) nothing is checked.
    type: int
    default: 0
attributes:
  action_group:
    description: Use C(group/litefarm.platform.changing) in C(module_defaults) to set O(run_number) for every module that changes a droplet.
    support: full
    membership:
      - litefarm.platform.changing
"""
