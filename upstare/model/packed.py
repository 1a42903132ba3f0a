"""Compressed data that somebody else may have written."""

from __future__ import annotations

import struct
import zlib

import zstandard

LIMIT = 1 << 30  # bytes: far more than any program's description has


def inflate(data: bytes, limit: int = LIMIT) -> bytes:
    """What was compressed into ``data`` (one frame of zstd that says how long it is).

    Raises:
        ValueError: it is damaged, or claims to be longer than ``limit`` bytes.
    """
    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= limit:
            raise ValueError("a compressed part of it has no length, or an impossible one")
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=limit)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def unpack_text(payload: bytes, limit: int = LIMIT) -> bytes:
    """The text of a unit out of the payload of its record (upstare/driver/embed.py).

    Raises:
        ValueError: it is damaged, or longer than ``limit`` bytes.
    """
    try:
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(payload, limit)
        (length,) = struct.unpack_from("<I", content)
    except (zlib.error, struct.error) as error:
        raise ValueError(str(error)) from error
    if not unpacking.eof:
        raise ValueError("it is cut short, or too long")
    return content[4 + length :]
