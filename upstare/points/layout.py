"""The bytes of a point table: ``struct upstare_table`` of c_runtime/include/upstare_abi.h, written and read.

The format strings below follow the structs of that header field by field; tests/unit/test_points_layout.py compares
them with what the compiler makes of the header.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, overload

from upstare.errors import UpstareError
from upstare.release import ABI

MAGIC = 0x31545055
SCHEMES = ("trap", "flag")

NEXT_RETURN = -1
NEXT_UNKNOWN = -2

FLAG_CALL, FLAG_LOOP, FLAG_ENTRY, FLAG_PREFIX = 1, 2, 4, 8

VALUE, OBJECT, POINTER, MEMORY = range(4)
OBJECT_ONLY, ARGUMENTS, CHAIN, SIZED = range(4)
REG, XMM, IMM, MEM, MEM_RIP, MEM_FS = range(6)
NO_REGISTER = 0xFF

HEADER = struct.Struct("<IIII32s14I")
FUNCTION = struct.Struct("<QQII")
POINT = struct.Struct("<QQQIIIHHiI")
RETURN = struct.Struct("<QiI")
OPERAND = struct.Struct("<6BHIIq")
RANGE = struct.Struct("<QQ")
BINDING = struct.Struct("<QII")


class FunctionRow(NamedTuple):
    """``struct upstare_function``. ``name`` is an offset into the names."""

    id: int
    resume: int
    frame_size: int
    name: int


class PointRow(NamedTuple):
    """``struct upstare_point``."""

    address: int
    label: int
    function: int
    point: int
    line: int
    operand: int
    n_operands: int
    flags: int
    next: int
    part: int


class ReturnRow(NamedTuple):
    """``struct upstare_return``."""

    address: int
    point: int
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class OperandRow:
    """``struct upstare_operand``."""

    kind: int
    place: int
    base: int
    index: int
    scale: int
    high: int
    sort: int
    offset: int
    size: int
    value: int


class PackedOperands(Sequence[OperandRow]):
    """Operands as the bytes that they are in a table. Mostly nobody looks at single ones."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data) // OPERAND.size

    @overload
    def __getitem__(self, index: int) -> OperandRow: ...

    @overload
    def __getitem__(self, index: slice) -> list[OperandRow]: ...

    def __getitem__(self, index: int | slice) -> OperandRow | list[OperandRow]:
        chosen = range(len(self))[index]
        if isinstance(chosen, int):
            return OperandRow(*OPERAND.unpack_from(self.data, chosen * OPERAND.size))
        return [self[i] for i in chosen]


class RangeRow(NamedTuple):
    """``struct upstare_range``: text from ``begin`` up to ``end``."""

    begin: int
    end: int


class BindingRow(NamedTuple):
    """``struct upstare_binding``. ``name`` is an offset into the names."""

    address: int
    name: int
    reserved: int = 0


@dataclass
class Table:
    """A point table. Points, returns and ranges are sorted by address, functions by id, bindings by name."""

    scheme: str  # 'trap' or 'flag'
    build: bytes  # 32 bytes
    functions: Sequence[FunctionRow]
    points: Sequence[PointRow]
    returns: Sequence[ReturnRow]
    operands: Sequence[OperandRow]
    ranges: Sequence[RangeRow]
    bindings: Sequence[BindingRow]
    names: bytes

    def name(self, row: FunctionRow | BindingRow) -> str:
        """The name of a function, or of what is bound."""
        return self.names[row.name : self.names.index(b"\0", row.name)].decode(errors="surrogateescape")

    def operands_of(self, point: PointRow) -> Sequence[OperandRow]:
        """The operands of a point."""
        return self.operands[point.operand : point.operand + point.n_operands]


Row = TypeVar("Row", FunctionRow, PointRow, ReturnRow, OperandRow, RangeRow, BindingRow)


def write_table(table: Table) -> bytes:
    """The bytes of a table. Arrays are 8-aligned."""
    groups: list[tuple[int, bytes]] = [
        (len(table.functions), b"".join([FUNCTION.pack(*row) for row in table.functions])),
        (len(table.points), b"".join([POINT.pack(*row) for row in table.points])),
        (len(table.returns), b"".join([RETURN.pack(*row) for row in table.returns])),
        (len(table.operands), _pack_operands(table.operands)),
        (len(table.ranges), b"".join([RANGE.pack(*row) for row in table.ranges])),
        (len(table.bindings), b"".join([BINDING.pack(*row) for row in table.bindings])),
        (len(table.names), table.names),
    ]
    position = HEADER.size
    directory: list[int] = []
    body: list[bytes] = []
    for count, content in groups:
        directory += (count, position)
        padding = -len(content) % 8
        body += (content, b"\0" * padding)
        position += len(content) + padding
    header = HEADER.pack(MAGIC, ABI, position, SCHEMES.index(table.scheme), table.build, *directory)
    return b"".join([header, *body])


def read_table(data: bytes) -> Table:
    """The table in ``data``. Raises UpstareError if it is damaged: every count, index and order is checked."""
    if len(data) < HEADER.size:
        raise UpstareError("the point table is cut short")
    magic, abi, size, scheme, build, *directory = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise UpstareError("this is not a point table")
    if abi != ABI:
        raise UpstareError(f"the point table is of another UpStare release (ABI {abi}, this is {ABI})")
    if size != len(data) or scheme >= len(SCHEMES):
        raise UpstareError("the point table is damaged: its header does not fit its bytes")
    names_count, names_offset = directory[12:14]
    _check_span(data, "names", names_offset, names_count)
    table = Table(
        SCHEMES[scheme],
        build,
        _rows(data, FUNCTION, FunctionRow, directory[0:2]),
        _rows(data, POINT, PointRow, directory[2:4]),
        _rows(data, RETURN, ReturnRow, directory[4:6]),
        _rows(data, OPERAND, OperandRow, directory[6:8]),
        _rows(data, RANGE, RangeRow, directory[8:10]),
        _rows(data, BINDING, BindingRow, directory[10:12]),
        data[names_offset : names_offset + names_count],
    )
    _check(table)
    return table


def _pack_operands(rows: Sequence[OperandRow]) -> bytes:
    if isinstance(rows, PackedOperands):
        return rows.data
    return b"".join([
        OPERAND.pack(o.kind, o.place, o.base, o.index, o.scale, o.high, o.sort, o.offset, o.size, o.value) for o in rows
    ])


def _rows(data: bytes, form: struct.Struct, row: type[Row], span: Sequence[int]) -> list[Row]:
    count, offset = span
    _check_span(data, row.__name__, offset, count * form.size)
    return [row(*values) for values in form.iter_unpack(data[offset : offset + count * form.size])]


def _check_span(data: bytes, what: str, offset: int, size: int) -> None:
    if offset < HEADER.size or offset + size > len(data):
        raise UpstareError(f"the point table is damaged: {what} at {offset} lie outside of it")


def _check(table: Table) -> None:
    """Raises UpstareError unless all indices are in bounds and all arrays in order."""

    def require(true: bool, what: str) -> None:
        if not true:
            raise UpstareError(f"the point table is damaged: {what}")

    n_points, n_operands = len(table.points), len(table.operands)
    require(not table.names or table.names[-1] == 0, "the names do not end")
    named = [f.name for f in table.functions] + [b.name for b in table.bindings]
    require(all(name < len(table.names) for name in named), "a name is out of bounds")
    known = {f.id for f in table.functions}
    require(len(known) == len(table.functions), "two functions have one id")
    for p in table.points:
        require(p.operand + p.n_operands <= n_operands, "operands of a point are out of bounds")
        require(NEXT_UNKNOWN <= p.next < n_points, "the point after a point is out of bounds")
        require(p.function in known, "a point is of an unknown function")
    require(all(NEXT_RETURN <= r.point < n_points for r in table.returns), "a return leads out of bounds")
    require(all(o.kind <= MEMORY and o.place <= MEM_FS for o in table.operands), "an operand is of an unknown kind")
    require(
        all(o.sort <= SIZED and (o.sort == OBJECT_ONLY or o.kind in (OBJECT, POINTER)) for o in table.operands),
        "an operand is of an unknown sort",
    )
    require(_ascending([f.id for f in table.functions]), "functions are not sorted")
    require(_ascending([p.address for p in table.points]), "points are not sorted")
    require(_ascending([r.address for r in table.returns]), "returns are not sorted")
    bounds = [bound for r in table.ranges for bound in r]
    require(bounds == sorted(bounds), "ranges are not sorted")
    bound = [table.name(b).encode(errors="surrogateescape") for b in table.bindings]
    require(bound == sorted(set(bound)), "bindings are not sorted")


def _ascending(keys: list[int]) -> bool:
    return all(a < b for a, b in zip(keys, keys[1:], strict=False))
