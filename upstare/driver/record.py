"""A unit as the record in an object has it (:mod:`upstare.driver.embed`): unpacked as far as it is asked for."""

from __future__ import annotations

import os
import struct
import zlib

from upstare.driver.embed import pack_text, unit_digest
from upstare.errors import UpstareError
from upstare.model.unit import Unit

_BEGIN = 1 << 12  # bytes; the headers of most units are shorter


class RecordedUnit(Unit):
    """A unit whose text is still packed.

    Args:
        payload: of its record.
        digest: 64 hex digits, what the record says.
        origin: the file that it comes from, for messages.

    Raises:
        UpstareError: the payload is damaged.
    """

    def __init__(self, payload: bytes, digest: str, origin: str) -> None:
        try:
            begin = zlib.decompressobj().decompress(payload, _BEGIN)
            (length,) = struct.unpack_from("<I", begin)
            if len(begin) < 4 + length:
                begin = zlib.decompressobj().decompress(payload, 4 + length)
            path, count, *words = [os.fsdecode(s) for s in begin[4 : 4 + length].split(b"\0")[:-1]]
            flags, compiler = tuple(words[: int(count)]), tuple(words[int(count) :])
        except (zlib.error, struct.error, ValueError) as error:
            raise UpstareError(f"the units in {origin} are damaged: {error}") from error
        known = {"path": path, "flags": flags, "compiler": compiler, "digest": digest}
        self.__dict__.update(known, payload=payload, _header=4 + length, _origin=origin)

    @property
    def text(self) -> bytes:
        """The text, unpacked each time. Raises UpstareError if it is not what was compiled."""
        payload, header, origin = (self.__dict__[name] for name in ("payload", "_header", "_origin"))
        try:
            text: bytes = zlib.decompress(payload)[header:]
        except zlib.error as error:
            raise UpstareError(f"the units in {origin} are damaged: {error}") from error
        if unit_digest(self.flags, self.compiler, text) != self.digest:
            raise UpstareError(f"the units in {origin} are damaged: the text of {self.path} is not what was compiled")
        return text


def payload(unit: Unit) -> bytes:
    """The payload of the record of a unit."""
    if isinstance(unit, RecordedUnit):
        known: bytes = unit.__dict__["payload"]
        return known
    return pack_text(unit.path, unit.flags, unit.compiler, unit.text)
