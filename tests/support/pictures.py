# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures, and requests that carry files."""

from __future__ import annotations

import random
import struct
import zlib

_BOUNDARY = "-------------litefarm-platform-tests"


def png(width: int = 640, height: int = 480, seed: int = 0) -> bytes:
    """A picture of random pixels, which no encoder can make small: about 3 bytes a pixel."""
    generator = random.Random(seed)
    rows = b"".join(b"\0" + generator.randbytes(3 * width) for _ in range(height))
    return _png(width, height, zlib.compress(rows, 1))


def _png(width: int, height: int, packed: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def plain_png(width: int = 6000, height: int = 5000) -> bytes:
    """A grey picture of 30 megapixels: few bytes in a request, and a hundred megabytes for whoever makes it smaller."""
    line = b"\0" + b"\x78" * 3 * width
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()
    return _png(width, height, packed)


def webp_width(content: bytes) -> int:
    """The width of a WebP picture in pixels.

    Raises:
        AssertionError: it is no lossy WebP picture.
    """
    assert content[:4] == b"RIFF" and content[8:12] == b"WEBP", content[:40]
    if content[12:16] == b"VP8X":
        return int.from_bytes(content[24:27], "little") + 1
    assert content[12:16] == b"VP8 ", content[:40]
    return int.from_bytes(content[26:28], "little") & 0x3FFF


def form(content: bytes, name: str, kind: str = "image/png", field: str = "file") -> tuple[dict[str, str], bytes]:
    """Headers and body of a form with one file."""
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
    body = head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}, body
