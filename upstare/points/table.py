"""Builds the point table of a linked image out of its notes, its machine code and its version description."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from upstare.driver.elf import RUNTIME_NAMES, SECTION_RUNTIME, SECTION_UPDATE, UNIT_NAMES
from upstare.errors import UpstareError
from upstare.points.code import Bodies, Body
from upstare.points.elf import Elf, Symbol
from upstare.points.layout import (
    FLAG_PREFIX,
    NEXT_RETURN,
    NEXT_UNKNOWN,
    BindingRow,
    FunctionRow,
    PackedOperands,
    PointRow,
    RangeRow,
    ReturnRow,
    Table,
    read_table,
    write_table,
)
from upstare.points.notes import SECTION, Note, parse_notes
from upstare.points.prefix import with_prefix, write_prefixes
from upstare.points.returns import Tracer, holds_note

if TYPE_CHECKING:
    from upstare.model.outline import FunctionOutline, Outline

__all__ = ["Problem", "Table", "build_table", "read_table", "tabulate"]

RUNTIME_SECTIONS = ("upstare_rt", "upstare_update")
RESUME_PREFIX = "upstare$r$"
_NOP = 0x90
_FLAG = "upstare_flag"  # the one variable of the runtime that generated code looks at


@dataclass(frozen=True)
class Problem:
    """A copy of a point whose ``next`` could not be proved, for diagnostics."""

    note: Note
    physical: str  # name of the function that the copy is in
    reason: str


@dataclass
class _Names:
    """The functions of the description by name in the source (static ones may share it), and what points call."""

    functions: dict[str, list[FunctionOutline]] = field(default_factory=lambda: defaultdict(list))
    callees: dict[tuple[int, int], str | None] = field(default_factory=dict)  # by function id and number of the point

    def of(self, body: Body) -> list[FunctionOutline]:
        return self.functions.get(body.source, [])

    def all_are(self, body: Body, what: str) -> bool:
        """Whether the functions of this name have the return type ``what``, all of them."""
        candidates = self.of(body)
        return bool(candidates) and all(f.returns == what for f in candidates)

    def pinned(self, body: Body) -> bool:
        """Whether the function must not be on the stack (or may be one that must not)."""
        return any(f.pinned for f in self.of(body))


def build_table(elf: Path, outline: Outline, build: str) -> bytes:
    """The bytes of ``struct upstare_table`` for a linked executable or patch image, in which no-ops become prefixes.

    Args:
        elf: the image.
        outline: of its description.
        build: of the program that it stands for (64 hex digits).

    Raises:
        UpstareError: there are no symbols, or notes that cannot be read or do not fit the code or the description.
    """
    table, _problems = tabulate(elf, outline, build)
    write_prefixes(elf, (point.address for point in table.points if point.flags & FLAG_PREFIX))
    return write_table(table)


def tabulate(path: Path, outline: Outline, build: str) -> tuple[Table, list[Problem]]:
    """The table, and the copies of points that must not be unrolled, with reasons."""
    elf = Elf(path)
    trap = outline.scheme == "trap"
    notes, operands = _read_notes(elf, trap)
    symbols = elf.functions()
    functions = {f.id: f for f in outline.functions}
    names = _Names()
    for function in outline.functions:
        names.functions[function.name].append(function)
        names.callees.update(((function.id, number), callee) for number, callee in function.callees)

    bodies = Bodies(symbols)
    addresses = [note.address for note in notes]
    own = _own_bodies(elf, bodies, addresses, names)
    tracer = Tracer(elf, notes, bodies)
    following, problems = _following(tracer, bodies, notes, functions, names) if trap else ({}, [])
    prefixed = with_prefix(tracer.decoder) if trap else [False] * len(notes)
    rows = _point_rows(notes, following, prefixed)
    function_rows, pool = _function_rows(symbols, notes, functions)
    bindings = _binding_rows(elf, pool)
    table = Table(
        outline.scheme,
        bytes.fromhex(build),
        function_rows,
        rows,
        _return_rows(tracer, own, names),
        operands,
        _range_rows(own.values()),
        bindings,
        bytes(pool),
    )
    return table, problems


def _read_notes(elf: Elf, trap: bool) -> tuple[list[Note], PackedOperands]:
    """The notes sorted by address, each checked against the code that it is about, and the operands of all."""
    section = elf.by_name.get(SECTION)
    if section is None:
        return [], PackedOperands(b"")
    notes, operands = parse_notes(elf.content(section), section.address)
    for one, two in zip(notes, notes[1:], strict=False):
        if one.address == two.address:
            raise UpstareError(f"two update points are at one address, {one.address:#x}")
    if trap:
        for note, offset in zip(notes, elf.offsets([note.address for note in notes]), strict=True):
            if offset is None or elf.data[offset] != _NOP:
                raise UpstareError(f"there is no no-op at {note.address:#x}, where an update point should be")
    return notes, operands


def _own_bodies(elf: Elf, bodies: Bodies, addresses: list[int], names: _Names) -> dict[int, Body]:
    """The bodies of the program's own functions, by index: those that hold a point, and all that the description names.

    The runtime has sections of its own. Where more functions have a name than the description knows (an object
    without a unit, or a library linked in, may have a static function of the same name), those without a point are left
    out: to take foreign text for our own would be wrong, the other way round an update only waits a little longer.
    """
    runtime = [elf.by_name[name] for name in RUNTIME_SECTIONS if name in elf.by_name]
    spans = [range(section.address, section.address + section.size) for section in runtime]
    foreign = {b.begin for b in bodies.bodies if any(b.begin in span for span in spans)}
    whole: dict[str, int] = defaultdict(int)
    for body in bodies.bodies:
        if body.begin not in foreign and body.symbol.name == body.source:
            whole[body.source] += 1
    own: dict[int, Body] = {}
    for index, body in enumerate(bodies.bodies):
        if body.begin in foreign:
            continue
        if holds_note(addresses, body) or body.source.startswith(RESUME_PREFIX):
            own[index] = body
        elif names.of(body) and whole[body.source] <= len(names.of(body)):
            own[index] = body
    return own


def _following(
    tracer: Tracer,
    bodies: Bodies,
    notes: list[Note],
    functions: dict[int, FunctionOutline],
    names: _Names,
) -> tuple[dict[int, int], list[Problem]]:
    """``next`` of each note by its index, and the reasons where there is none."""
    following: dict[int, int] = {}
    problems: list[Problem] = []
    whole: list[int] = []
    for i, note in enumerate(notes):
        if note.function not in functions:
            raise UpstareError(f"a point is of function {note.function:016x}, which the description does not have")
        if note.part:
            continue  # its label leads to the next chunk
        whole.append(i)
    ways = dict(zip(whole, tracer.from_labels([notes[i] for i in whole]), strict=True))
    reasons: dict[int, str] = {}
    doubtful: list[int] = []
    for i, way in ways.items():
        note = notes[i]
        body = bodies.at(note.address)
        following[i] = way.target
        if body is None:
            reasons[i] = "the point is in no function"
        elif way.target == NEXT_UNKNOWN or _expected(tracer, way.target, functions[note.function], body, names):
            continue
        elif way.target == NEXT_RETURN and names.pinned(body):
            reasons[i] = f"it is inlined into {body.source}, which must not be on the stack"
        else:
            doubtful.append(i)
    for i, way in zip(doubtful, tracer.harmless_from_labels([notes[i] for i in doubtful]), strict=True):
        ways[i], following[i] = way, way.target
    for i in whole:
        if i in reasons:
            following[i] = NEXT_UNKNOWN
        if following[i] == NEXT_UNKNOWN:
            body = bodies.at(notes[i].address)
            problems.append(Problem(notes[i], body.symbol.name if body else "?", reasons.get(i) or ways[i].reason))
    for i, note in enumerate(notes):  # chunks of one point: the last one decides for all
        if note.part:
            last = i
            while notes[last].part:
                last = _next_chunk(tracer, bodies, notes, last)
            following[i] = following[last]
    return following, problems


def _expected(tracer: Tracer, target: int, function: FunctionOutline, body: Body, names: _Names) -> bool:
    """Whether the way to ``target`` can only be the compiler's form of "return the dummy, go to the next point"."""
    if target == NEXT_RETURN:
        return body.source == function.name or body.source == f"{RESUME_PREFIX}{function.id:016x}"
    after = tracer.notes[target]
    callee = names.callees.get((after.function, after.point))
    return callee is not None and (callee == function.name or callee == f"*{function.type}")


def _next_chunk(tracer: Tracer, bodies: Bodies, notes: list[Note], i: int) -> int:
    """The index of the chunk that goes on after chunk ``i`` of a point with many operands."""
    note = notes[i]
    body = bodies.at(note.address)
    after = tracer.to_chunk(note.label, body) if body is not None else None
    if after is not None:
        other = notes[after]
        if (other.function, other.point, other.part) == (note.function, note.point, note.part - 1):
            return after
    raise UpstareError(f"the parts of the point at {note.address:#x} do not hang together")


def _point_rows(notes: list[Note], following: dict[int, int], prefixed: list[bool]) -> list[PointRow]:
    return [
        PointRow(
            note.address, note.label, note.function, note.point, note.line, note.operand, note.n_operands,
            note.flags | (FLAG_PREFIX if prefix else 0), following.get(i, NEXT_UNKNOWN), note.part,
        )
        for i, (note, prefix) in enumerate(zip(notes, prefixed, strict=True))
    ]  # fmt: skip


def _function_rows(
    symbols: list[Symbol], notes: Iterable[Note], functions: dict[int, FunctionOutline]
) -> tuple[list[FunctionRow], bytearray]:
    """A row for each function with a resume clone, and the string pool."""
    resume = {
        int(s.name.removeprefix(RESUME_PREFIX), 16): s.address
        for s in symbols
        if s.name.startswith(RESUME_PREFIX) and "." not in s.name
    }
    for note in notes:
        if resume.setdefault(note.function, note.resume) != note.resume:
            raise UpstareError(f"function {note.function:016x} has two resume clones")
    pool = bytearray(b"\0")
    offsets: dict[str, int] = {"": 0}
    rows: list[FunctionRow] = []
    for identity in sorted(resume):
        function = functions.get(identity)
        if function is None:
            raise UpstareError(f"the description does not have function {identity:016x}")
        if function.name not in offsets:
            offsets[function.name] = len(pool)
            pool += function.name.encode() + b"\0"
        rows.append(FunctionRow(identity, resume[identity], function.frame_size, offsets[function.name]))
    return rows, pool


def _binding_rows(elf: Elf, pool: bytearray) -> list[BindingRow]:
    """A row for each variable, slot and stable entry that patches share, and each function of the runtime that they may
    call: the dynamic linker knows none of them."""
    names = tuple(name.encode() for name in (*UNIT_NAMES, _FLAG))
    runtime = {i for i, s in enumerate(elf.sections) if s.name in (SECTION_RUNTIME, SECTION_UPDATE)}
    found = elf.withheld((*UNIT_NAMES, *RUNTIME_NAMES))
    shared = {name: address for name, address, home in found if home in runtime or name.startswith(names)}
    rows: list[BindingRow] = []
    for name, address in sorted(shared.items()):
        rows.append(BindingRow(address, len(pool)))
        pool += name + b"\0"
    return rows


def _return_rows(tracer: Tracer, own: dict[int, Body], names: _Names) -> list[ReturnRow]:
    addresses, owners = tracer.decoder.calls(list(own))
    rows: list[ReturnRow] = []
    known: dict[int, tuple[bool, bool]] = {}  # of bodies: whether it is pinned, whether it returns nothing
    for address, owner, found in zip(addresses, owners, tracer.from_returns(addresses), strict=True):
        target = found.target
        if target == NEXT_UNKNOWN:
            continue
        if target == NEXT_RETURN:
            if owner not in known:
                known[owner] = names.pinned(own[owner]), names.all_are(own[owner], "void")
            pinned, nothing = known[owner]
            if pinned or not (found.intact or nothing):
                continue
        rows.append(ReturnRow(address, target))
    rows.sort()
    return rows


def _range_rows(own: Iterable[Body]) -> list[RangeRow]:
    """The text of the bodies as few ranges; gaps of alignment count as text."""
    rows: list[RangeRow] = []
    for body in own:
        if rows and body.begin - rows[-1].end < 16:
            rows[-1] = RangeRow(rows[-1].begin, max(rows[-1].end, body.end))
        else:
            rows.append(RangeRow(body.begin, body.end))
    return rows
