"""``python -m upstare.points dump EXE``: a point table for people to read. For debugging."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from upstare.errors import UpstareError
from upstare.points.code import Bodies
from upstare.points.elf import Elf
from upstare.points.layout import (
    FLAG_CALL,
    FLAG_ENTRY,
    FLAG_LOOP,
    FLAG_PREFIX,
    IMM,
    MEM_FS,
    MEM_RIP,
    NEXT_RETURN,
    NEXT_UNKNOWN,
    NO_REGISTER,
    REG,
    XMM,
    OperandRow,
    PointRow,
    Table,
    read_table,
)

SECTIONS = (".upstare.points", ".upstare.oldpoints")

_REGISTERS = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
_FLAGS = {FLAG_CALL: "call", FLAG_LOOP: "loop", FLAG_ENTRY: "entry", FLAG_PREFIX: "prefix"}
_KINDS = ("value", "object", "pointer", "memory")


def main(arguments: list[str] | None = None) -> int:
    """Print the tables of the named files."""
    parser = argparse.ArgumentParser(prog="python -m upstare.points")
    verbs = parser.add_subparsers(required=True)
    dump = verbs.add_parser("dump", help="print the point tables of an executable or patch image")
    dump.add_argument("file", type=Path)
    dump.add_argument("--summary", action="store_true", help="figures only")
    parsed = parser.parse_args(arguments)
    try:
        elf = Elf(parsed.file)
        for name in SECTIONS:
            section = elf.by_name.get(name)
            if section is not None:
                print_table(name, read_table(elf.content(section)), _bodies(elf), parsed.summary)
    except UpstareError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
    return 0


def _bodies(elf: Elf) -> Bodies:
    """The functions by address; none in a stripped file."""
    try:
        return Bodies(elf.functions())
    except UpstareError:
        return Bodies([])


def print_table(title: str, table: Table, bodies: Bodies, summary: bool) -> None:
    """Print one table, or its figures only."""
    names = {f.id: table.name(f) for f in table.functions}
    nexts = Counter({NEXT_RETURN: 0, NEXT_UNKNOWN: 0})
    nexts.update(min(p.next, 0) for p in table.points)
    print(f"{title}: scheme {table.scheme}, build {table.build.hex()}")
    print(
        f"  {len(table.functions)} functions, {len(table.points)} points ({nexts[NEXT_RETURN]} return, "
        f"{nexts[0]} inlined, {nexts[NEXT_UNKNOWN]} unknown), {len(table.operands)} operands, "
        f"{len(table.returns)} returns, {len(table.bindings)} bindings, "
        f"{sum(r.end - r.begin for r in table.ranges)} bytes of text"
    )
    if summary:
        return
    for function in table.functions:
        print(
            f"function {names[function.id]} {function.id:016x}: frame {function.frame_size}, "
            f"resume {function.resume:#x}"
        )
    for point in table.points:
        print(_point(table, point, names, bodies))
        for operand in table.operands_of(point):
            print(f"    {operand.offset:6} {operand.size:6} {_KINDS[operand.kind]:8}{_place(operand)}")
    for row in table.returns:
        target = "out" if row.point == NEXT_RETURN else _name(table.points[row.point], names)
        print(f"return {row.address:#x} in {_where(row.address, bodies)}: {target}")
    for binding in table.bindings:
        print(f"binding {binding.address:#x}: {table.name(binding)}")
    for text in table.ranges:
        print(f"text {text.begin:#x} {text.end:#x}")


def _name(point: PointRow, names: dict[int, str]) -> str:
    return f"{names.get(point.function, '?')}:{point.point}"


def _where(address: int, bodies: Bodies) -> str:
    body = bodies.at(address)
    return body.symbol.name if body else "?"


def _point(table: Table, point: PointRow, names: dict[int, str], bodies: Bodies) -> str:
    flags = "+".join(text for bit, text in _FLAGS.items() if point.flags & bit)
    going = {NEXT_RETURN: "returns", NEXT_UNKNOWN: "unknown"}.get(point.next) or _name(table.points[point.next], names)
    part = f" part {point.part}" if point.part else ""
    return (
        f"point {_name(point, names)} {point.address:#x} in {_where(point.address, bodies)}: {flags}, "
        f"line {point.line}, label {point.label:#x}, next {going}{part}"
    )


def _place(operand: OperandRow) -> str:
    if operand.place == REG:
        return f"%{_REGISTERS[operand.base]}"
    if operand.place == XMM:
        return f"%xmm{operand.base}"
    if operand.place == IMM:
        return f"${operand.value}"
    if operand.place == MEM_RIP:
        return f"[{operand.value:#x}]"
    parts = ["%fs"] if operand.place == MEM_FS else []
    if operand.base != NO_REGISTER:
        parts.append(f"%{_REGISTERS[operand.base]}")
    if operand.index != NO_REGISTER:
        parts.append(f"%{_REGISTERS[operand.index]}*{operand.scale}")
    return f"[{' + '.join([*parts, str(operand.value)])}]"


if __name__ == "__main__":
    sys.exit(main())
