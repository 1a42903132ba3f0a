"""Compressed data that somebody else may have written."""

from __future__ import annotations

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
