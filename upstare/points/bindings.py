"""Where an executable has what patches share with it: the bindings of its point table without the rest."""

from __future__ import annotations

import struct
from pathlib import Path

from upstare.driver.elf import SECTION_POINTS, read_section
from upstare.errors import UpstareError
from upstare.points.layout import BINDING, HEADER


def read_bindings(path: Path) -> dict[str, int]:
    """Link-time addresses of variables, slots and stable entries by their names; none if there is no table.

    Raises:
        UpstareError: the table is damaged.
    """
    data = read_section(path, SECTION_POINTS)
    if data is None:
        return {}
    try:
        count, offset, length, names = HEADER.unpack_from(data)[-4:]
        rows = BINDING.iter_unpack(data[offset : offset + count * BINDING.size])
        pool = data[names : names + length]
        return {pool[n : pool.index(b"\0", n)].decode(errors="surrogateescape"): address for address, n, _ in rows}
    except (struct.error, ValueError) as error:
        raise UpstareError(f"the point table of {path} is damaged: {error}") from error
