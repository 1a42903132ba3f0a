"""Files that are looked at here and there: only what is looked at is read."""

from __future__ import annotations

import mmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

Bytes = bytes | mmap.mmap


def mapped(path: Path) -> Bytes:
    """The bytes of a file; what is written to them stays here.

    The file may take the place of another or be removed meanwhile, but not get shorter. Raises OSError.
    """
    with path.open("rb") as file:
        if not file.seek(0, 2):
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
