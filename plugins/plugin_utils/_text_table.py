# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables that a person reads on a terminal."""

from __future__ import annotations

import shutil

from ansible_collections.litefarm.platform.plugins.module_utils._verification.rows import shortened

# COLUMNS, or the terminal's width; 0 without a terminal. Asked when Ansible loads an action: its workers, which run them, have no terminal.
TERMINAL = shutil.get_terminal_size((0, 0)).columns
# A column is not made narrower, however narrow the terminal is.
NARROWEST = 10


def table(columns, rows, width=0, flexible=()):
    """Aligned lines, the titles first.

    Args:
        width: of the longest line. Wider cells of the flexible columns are shortened. 0: as wide as it gets.
    """
    cells = [list(columns.values())] + [[str(each[key]) for key in columns] for each in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    _narrow(widths, [index for index, key in enumerate(columns) if key in flexible], width - 2 * (len(columns) - 1) if width else 0)
    return [
        "  ".join((cell if len(cell) <= width else shortened(cell, width)).ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells
    ]


def _narrow(widths, flexible, total):
    """The widest of the flexible columns first, so that what is short stays whole."""
    while total and flexible and sum(widths) > total:
        widest = max(flexible, key=lambda index: widths[index])
        if widths[widest] <= NARROWEST:
            return
        widths[widest] -= 1
