"""The raw notes of the update points: section ``.upstare_notes``, records back to back, written by transforms/.

A record is four quads (address of the point, label of the dummy return or 0, resume clone, function id), two longs
(point, line), a word (number of operands), two bytes (flags, part); then for each operand two bytes (kind with the sort
in the upper half, length of its instruction), two longs (offset of the slot, size) and the instruction.

The section is taken apart, and the operands are decoded, in C (notes.c).
"""

from __future__ import annotations

import ctypes
import functools
import struct
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from upstare.driver.native import compiled
from upstare.errors import UpstareError
from upstare.points.layout import OPERAND, OperandRow, PackedOperands

SECTION = ".upstare_notes"

_NOTE = struct.Struct("=QQQQ6I")  # ``struct note`` of notes.c

# Of ``enum reason``, in its order.
_REASONS = (
    "",
    "the instruction is cut short",
    "bytes are left over",
    "it is relative to %gs",
    "the instruction is not one of its kind",
    "the instruction does not go to %rax or %xmm0",
    "it is the address of a register",
    "it is relative to %fs and %rip",
    "it is of an unknown kind",
)


class Undecodable(Exception):
    """The instruction is none that an operand can be."""


class Note(NamedTuple):
    """One copy of one update point. Addresses are link-time addresses; ``operand`` is the index of its first."""

    address: int
    label: int
    resume: int
    function: int
    point: int
    line: int
    operand: int
    n_operands: int
    flags: int
    part: int


class _Counts(ctypes.Structure):
    """``struct counts``."""

    _fields_ = [(name, ctypes.c_int64) for name in ("notes", "operands")]


class _Fault(ctypes.Structure):
    """``struct fault``."""

    _fields_ = [
        ("note", ctypes.c_int64), ("at", ctypes.c_int64), ("size", ctypes.c_int32), ("reason", ctypes.c_int32),
    ]  # fmt: skip


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(compiled(Path(__file__).with_name("notes.c"))))
    except OSError as error:
        raise UpstareError(f"cannot load the native reader of notes: {error}", hint="install UpStare again") from error
    pointer, number = ctypes.c_void_p, ctypes.c_uint64
    library.decode_operand.argtypes = [ctypes.c_uint8, pointer, ctypes.c_uint32, number, pointer]
    library.count_notes.argtypes = [pointer, number, pointer]
    library.take_notes.argtypes = [pointer, number, number, pointer, pointer, pointer]
    return library


def decode(kind: int, code: bytes, address: int) -> OperandRow:
    """Where the operand is that ``code`` reads (VALUE, POINTER) or whose address it takes (OBJECT, MEMORY); its slot is
    left open.

    Args:
        kind: enum upstare_operand_kind.
        code: exactly one instruction.
        address: where the linker thinks that it is: the address of its section plus its offset.

    Raises:
        Undecodable: for any instruction that is not one of the forms that the assembler makes.
    """
    row = ctypes.create_string_buffer(OPERAND.size)
    reason = _library().decode_operand(kind, code, len(code), address, row)
    if reason:
        raise Undecodable(_REASONS[reason])
    return PackedOperands(row.raw)[0]


def parse_notes(data: bytes, section_address: int = 0) -> tuple[list[Note], PackedOperands]:
    """All notes in the content of a notes section by address, and the operands of all.

    Records whose code the linker threw away (``--gc-sections``) have address 0 and are left out.

    Raises:
        UpstareError: the section is damaged, or holds an operand that cannot be decoded.
    """
    library, counts, fault = _library(), _Counts(), _Fault()
    if not library.count_notes(data, len(data), ctypes.byref(counts)):
        raise UpstareError("the notes of the update points are cut short")
    rows, operands = bytearray(_NOTE.size * counts.notes), bytearray(OPERAND.size * counts.operands)
    places = [(ctypes.c_char * len(room)).from_buffer(room) for room in (rows, operands)]
    good = library.take_notes(data, len(data), section_address, *places, ctypes.byref(fault))
    notes = list(map(Note._make, _NOTE.iter_unpack(rows)))
    if not good:
        note, code = notes[fault.note], data[fault.at : fault.at + fault.size]
        raise UpstareError(
            f"cannot tell where a variable of function {note.function:016x} is at its point {note.point} "
            f"(line {note.line}): {_REASONS[fault.reason]} ({code.hex()})"
        )
    notes.sort(key=attrgetter("address"))
    return notes, PackedOperands(bytes(operands))
