# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durable changes of files: a path has the old content or the new one at every moment, also after a power cut."""

from __future__ import annotations

import os

TEMPORARY = ".%s.litefarm-new"


def temporary_of(path):
    """Where the new content of a file is written; a killed process may leave it there."""
    folder, name = os.path.split(path)
    return os.path.join(folder, TEMPORARY % name)


def unlink(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def sync_folder(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path, content, mode, owner=None, modified=None, temporary=None):
    """Replace what is at a path (a link too: never what it points at) by a file, durable before it is visible.

    The content is text or bytes, the owner a pair of numbers, `modified` the time of modification in seconds.
    """
    temporary = temporary or temporary_of(path)
    unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            if modified is not None:
                os.utime(file.fileno(), (modified, modified))
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        unlink(temporary)
        raise
    sync_folder(os.path.dirname(path))


def link_atomically(path, target):
    """Replace what is at a path by a symbolic link."""
    temporary = temporary_of(path)
    unlink(temporary)
    os.symlink(target, temporary)
    os.rename(temporary, path)
    sync_folder(os.path.dirname(path))
