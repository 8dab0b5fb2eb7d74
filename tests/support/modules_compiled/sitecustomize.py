# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For the interpreter of modules in unit tests: keeps what Python makes of a source in a zip archive, which it compiles anew each time."""

from __future__ import annotations

import _imp
import hashlib
import marshal
import os
import zipimport

_compile = zipimport._compile_source


def compile_once(path, source):
    """The same as without this file: the same source, compiled by the same interpreter."""
    kept = os.path.join(os.environ["COMPILED_MODULES"], hashlib.sha256(source).hexdigest())
    try:
        with open(kept, "rb") as file:
            code = marshal.load(file)
        _imp._fix_co_filename(code, path)
    except FileNotFoundError:
        code = _compile(path, source)
        with open("%s.%d" % (kept, os.getpid()), "wb") as file:
            marshal.dump(code, file)
        os.replace(file.name, kept)
    return code


if os.environ.get("COMPILED_MODULES"):
    zipimport._compile_source = compile_once
