"""The raw notes of the update points: section ``.upstare_notes``, records back to back, written by transforms/.

A record is four quads (address of the point, label of the dummy return or 0, resume clone, function id), two longs
(point, line), a word (number of operands), two bytes (flags, part); then for each operand two bytes (kind with the sort
in the upper half, length of its instruction), two longs (offset of the slot, size) and the instruction.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from upstare.errors import UpstareError
from upstare.points.layout import MEM_RIP, MEMORY, SIZED, OperandRow
from upstare.points.operands import Undecodable, decode

SECTION = ".upstare_notes"

_RECORD = struct.Struct("<QQQQIIHBB")
_OPERAND = struct.Struct("<BBII")


@dataclass(slots=True)
class Note:
    """One copy of one update point. Addresses are link-time addresses."""

    address: int
    label: int
    resume: int
    function: int
    point: int
    line: int
    flags: int
    part: int
    operands: list[OperandRow]


def parse_notes(data: bytes, section_address: int = 0) -> list[Note]:
    """All notes in the content of a notes section, in its order.

    Records whose code the linker threw away (``--gc-sections``) have address 0 and are left out.

    Raises:
        UpstareError: the section is damaged, or holds an operand that cannot be decoded.
    """
    notes: list[Note] = []
    at = 0
    known: dict[bytes, OperandRow] = {}  # those that do not depend on where they are
    try:
        while at < len(data):
            address, label, resume, function, point, line, count, flags, part = _RECORD.unpack_from(data, at)
            at += _RECORD.size
            operands: list[OperandRow] = []
            for _ in range(count):
                end = at + _OPERAND.size + data[at + 1]
                row = known.get(data[at:end])
                if row is None:
                    row = _operand(data, at, section_address, function, point, line)
                    if row.place != MEM_RIP:
                        known[data[at:end]] = row
                operands.append(row)
                at = end
            if address:
                notes.append(Note(address, label, resume, function, point, line, flags, part, operands))
    except (struct.error, IndexError) as error:
        raise UpstareError("the notes of the update points are cut short") from error
    return notes


def _operand(data: bytes, at: int, section_address: int, function: int, point: int, line: int) -> OperandRow:
    """The operand at ``at`` of a note."""
    kinds, length, offset, size = _OPERAND.unpack_from(data, at)
    kind, sort = kinds & 15, kinds >> 4
    at += _OPERAND.size
    code = data[at : at + length]
    if len(code) != length or kind > MEMORY or sort > SIZED:
        raise UpstareError(f"the note of point {point} of function {function:016x} is damaged")
    try:
        place = decode(kind, code, section_address + at)
    except Undecodable as error:
        raise UpstareError(
            f"cannot tell where the variable at offset {offset} of function {function:016x} is at its point {point} "
            f"(line {line}): {error} ({code.hex()})"
        ) from error
    return OperandRow(kind, place.place, place.base, place.index, place.scale, 0, sort, offset, size, place.value)
