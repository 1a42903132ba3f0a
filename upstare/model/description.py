"""The version description: everything a patch maker needs to know of one build, as plain data.

An updateable executable carries its description in the section ``.upstare.desc``. The container is::

    b"UPSD0002"  u32 header length  u32 body length  header  body  blobs...

The header is JSON: ``linked``, what is known only when a build is linked (``Linked``), and ``blobs``, their lengths.
The body is zstd(JSON of the rest of ``Description``), which is kept from one build to the next. The blobs are the units
as the records in the objects have them (upstare/driver/embed.py), so that neither the link nor reading the description
unpacks the sources.

Words: a *slot* is a variable in the frame data of a function; a *point* is an update point; see the glossary.
"""

from __future__ import annotations

import json
import operator
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from upstare.errors import UpstareError

MAGIC = b"UPSD0002"
FORMAT = 2

_LENGTHS = struct.Struct("<8sII")


@dataclass
class Field:
    """A member of a struct or union. Offsets in bits; ``width`` is the bit-field width or 0; ``name`` may be ''."""

    name: str
    type: str
    offset: int
    width: int = 0


@dataclass
class Type:
    """One type, keyed by its canonical spelling (``key``).

    Keys of records are ``struct tag``/``union tag``; anonymous ones get ``struct <path of first use>``. A typedef never
    appears: everything is canonical. ``hash`` covers the layout of all that is held *by value*;
    a pointer contributes only the key of what it points to.
    """

    key: str
    kind: str  # 'int' 'float' 'bool' 'enum' 'pointer' 'array' 'struct' 'union' 'function' 'void' 'other'
    size: int
    align: int
    hash: str
    target: str | None = None  # pointer: pointee; array: element; enum: underlying integer type
    count: int = 0  # array: number of elements
    fields: list[Field] = field(default_factory=list)
    complete: bool = True
    typedef: str | None = None  # a typedef name to show to people where the record itself has no tag
    file: str = ""  # of the definition of a record
    line: int = 0


@dataclass
class Slot:
    """A parameter, local or temporary in the frame data. ``key`` is its name, qualified by scope if shadowed."""

    key: str
    name: str
    type: str  # key into Description.types
    type_name: str  # as the user wrote it, for messages
    offset: int  # of the slot; the bytes of a kept object begin at offset + 16
    size: int  # of the variable itself
    kept: bool = False
    parameter: bool = False
    temporary: bool = False
    jump: bool = False  # the record of a setjmp: where its buffer is, and what was written to it
    line: int = 0
    initial: str | None = (
        None  # its initialiser if that is a constant expression (text that compiles anywhere), or None
    )
    # What a person cannot decide on: 'arguments' (a list of the variable ones), 'chain' (the newest block of alloca),
    # 'length' (of a variable-length array) or 'sized' (such an array: address and size).
    own: str = ""


@dataclass
class Point:
    """An update point. ``number`` counts from 1 in order of text. ``path`` is the chain of enclosing statements."""

    number: int
    kind: str  # 'call' 'loop' 'entry'
    callee: str | None  # name, or '*' + canonical function type for an indirect call
    blocking: bool  # the callee is a blocking call of the runtime
    file: str
    line: int
    path: list[str]  # outermost first, e.g. ['while(1)', 'if(fd<0)', 'else']: normalised condition text
    text: str  # the statement (normalised white space), for matching and for messages
    live: list[str]  # keys of the slots that are saved here
    result: str | None = None  # slot that takes the value of the call (not live while IN_CALL)
    tail: bool = False  # a tail call: it leaves a frame only in the resume clone


@dataclass
class Function:
    """A function defined in a unit. ``points`` is empty and ``frame_size`` 0 unless it can be on the stack at one."""

    id: str  # 16 hex digits: first 8 bytes of SHA-256 of "unit:name"
    unit: str
    name: str
    file: str
    line: int
    static: bool
    type: str  # canonical function type
    returns: str  # canonical return type (key)
    body: str  # SHA-256 of the normalised text of the definition
    instrumented: bool
    pinned: str | None = None  # why it must not be on the stack (file:line and reason), if so
    address_taken: bool = False
    entry: str | None = None  # symbol suffix of its stable entry: slot symbol is "ups$slot$" + entry
    frame_size: int = 0
    slots: list[Slot] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)  # whose addresses are values: the numbers 1, 2, ... in this order


@dataclass
class Variable:
    """An object with static storage that is not constant: file scope, static, or static inside a function."""

    name: str
    unit: str | None  # None: external linkage
    function: str | None  # the function that holds a static local
    symbol: str  # assembler name: "up$" hash "$" ...
    type: str
    type_name: str
    size: int
    file: str
    line: int
    thread_local: bool = False
    defined: bool = True
    initial: bool = False  # has an initialiser


@dataclass
class Constant:
    """A constant with static storage that versions share if its type and content are the same: its symbol says so."""

    name: str
    unit: str | None  # None: external linkage
    function: str | None  # the function that holds a static local
    symbol: str  # assembler name: "up$" digest "$" ...
    span: int  # bytes to which a pointer may lead, with that behind an array
    file: str
    line: int


@dataclass
class AddressUse:
    """The address of an object (or of part of it) is taken and goes somewhere."""

    object: str  # Variable.symbol for objects with static storage, else "function-id:slot key"
    file: str
    line: int
    how: str  # 'stored' (in memory that lasts), 'local' (in a local), 'argument', 'returned', 'initialiser'
    where: str  # what receives it, for messages: variable, field or callee
    pointer_type: str  # key of the pointer's type, e.g. "struct config_s *"


@dataclass
class PointerSource:
    """A pointer to ``record`` comes out of something that is not a named object: the heap, a cast, a library."""

    record: str  # type key of the pointee record
    file: str
    line: int
    text: str


@dataclass(frozen=True)
class SharedRecord:
    """Objects of ``record`` lie in shared memory, which is mapped here."""

    record: str  # type key
    file: str
    line: int
    text: str  # the function that maps it


@dataclass(frozen=True)
class Message:
    """A pointer to ``record`` goes into a call (or out of the buffer of one) that sends or receives bytes."""

    record: str  # type key
    how: str  # 'sent' 'received'
    file: str
    line: int
    call: str  # the function that does it in the end


@dataclass
class Loop:
    """A loop without a point, because data bound it: for the bounded-delay report."""

    function: str
    file: str
    line: int
    why: str  # 'counts' 'walks'


@dataclass
class OpaqueCall:
    """A call of a function that is not the program's own."""

    function: str  # id of the caller
    callee: str
    file: str
    line: int


@dataclass
class Library:
    """A shared library that the program is linked with."""

    name: str  # by which it is loaded
    versioned: bool  # its units are part of the program; if not, it is opaque
    units: int = 0  # 0: it was not built by upstare cc
    digest: str = ""  # 64 hex digits: of an opaque library's code and data, if it was built by upstare cc


@dataclass
class UnitInfo:
    """One translation unit: enough to build it again."""

    path: str  # relative to the build root; names the unit across versions
    source: str  # as the compiler was told, for messages
    flags: list[str]
    compiler: list[str]
    digest: str
    blob: tuple[int, int] = (0, 0)  # where its record is in the container: offset, length


@dataclass
class Linked:
    """What is known of a build only when it is linked. The fields are those of ``Description``."""

    build: str
    program: str
    version: str
    link: list[str]
    libraries: list[Library] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)


@dataclass
class Description:
    """Everything about one build."""

    format: int
    abi: int
    build: str  # 64 hex digits, equals upstare_image_info.build: of the sources and the machine code
    program: str
    version: str
    scheme: str  # 'trap' | 'flag'
    placement: str  # 'default' | 'strict' | '2009'
    link: list[str]  # linker arguments a patch needs too: -l, -L (absolute), -pthread, -Wl,-rpath...
    units: list[UnitInfo] = field(default_factory=list)
    types: dict[str, Type] = field(default_factory=dict)
    functions: list[Function] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    address_uses: list[AddressUse] = field(default_factory=list)
    pointer_sources: list[PointerSource] = field(default_factory=list)
    shared_records: list[SharedRecord] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    bounded_loops: list[Loop] = field(default_factory=list)
    opaque_calls: list[OpaqueCall] = field(default_factory=list)
    sources: str = ""  # 64 hex digits: of all that the build was made of, and of the release of UpStare
    refusals: list[str] = field(default_factory=list)  # file:line: reason, one per function that is pinned
    libraries: list[Library] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)  # names that resume clones refer to and that nobody defines
    outside: list[str] = field(default_factory=list)  # functions and variables that code without a unit may use by name
    clones: bool = True  # the image has resume clones


def _revive(cls: Any, data: dict[str, Any]) -> Any:
    return cls(**data)


def from_json(data: bytes, linked: dict[str, Any]) -> Description:
    """The description of a body (:func:`pack_body`), and what its header says of the link."""
    raw = {**json.loads(data), **linked}
    raw["units"] = [UnitInfo(**{**u, "blob": (0, 0)}) for u in raw["units"]]
    raw["types"] = {k: Type(**{**t, "fields": [Field(**f) for f in t["fields"]]}) for k, t in raw["types"].items()}
    raw["functions"] = [
        Function(**{**f, "slots": [Slot(**s) for s in f["slots"]], "points": [Point(**p) for p in f["points"]]})
        for f in raw["functions"]
    ]
    for key, cls in (
        ("variables", Variable),
        ("constants", Constant),
        ("address_uses", AddressUse),
        ("pointer_sources", PointerSource),
        ("shared_records", SharedRecord),
        ("messages", Message),
        ("bounded_loops", Loop),
        ("opaque_calls", OpaqueCall),
        ("libraries", Library),
    ):
        raw[key] = [_revive(cls, item) for item in raw.get(key, [])]
    return Description(**raw)


class PackedFrame(NamedTuple):
    """The frame of a function as a body has it; most of a body are frames, which seldom change."""

    size: int
    callees: tuple[tuple[int, str | None], ...]  # of the points: the number, and what is called
    text: str  # the members ``slots`` and ``points`` of ``Function`` in JSON


def pack_frame(size: int, slots: list[Slot], points: list[Point]) -> PackedFrame:
    """Pack the frame of a function."""
    text = _json({"slots": slots, "points": points})[1:-1]
    return PackedFrame(size, tuple((p.number, p.callee) for p in points), text)


def pack_body(description: Description, frames: Sequence[PackedFrame]) -> bytes:
    """The body of a container: all that is known before the link.

    Args:
        description: without frames.
        frames: of its functions.
    """
    import zstandard  # not needed by everybody who imports this

    apart = {"functions", *(f.name for f in fields(Linked))}
    members = [f'"{name}":{_json(value)}' for name, value in vars(description).items() if name not in apart]
    functions = []
    for function, frame in zip(description.functions, frames, strict=True):
        rest = {name: value for name, value in vars(function).items() if name not in ("slots", "points")}
        functions.append(f"{_json(rest)[:-1]},{frame.text}}}")
    text = f'{{{",".join(members)},"functions":[{",".join(functions)}]}}'
    return zstandard.ZstdCompressor(level=3).compress(text.encode())


_json = json.JSONEncoder(default=vars, separators=(",", ":")).encode


def pack(linked: Linked, body: bytes, records: Sequence[bytes]) -> bytes:
    """The container.

    Args:
        linked: what is known since the link.
        body: made by :func:`pack_body`.
        records: of the units, in the order of ``Description.units``: the payloads of their records.
    """
    header = json.dumps({"linked": asdict(linked), "blobs": [len(r) for r in records]}).encode()
    return b"".join([_LENGTHS.pack(MAGIC, len(header), len(body)), header, body, *records])


def unpack(data: bytes) -> Description:
    """The description in a container. Raises UpstareError if the bytes are not one of this format."""
    if data[:8] != MAGIC:
        raise UpstareError("the version description is damaged or of another UpStare release")
    try:
        from upstare.model.packed import inflate

        _, header_length, body_length = _LENGTHS.unpack_from(data)
        at = _LENGTHS.size + header_length
        header = json.loads(data[_LENGTHS.size : at])
        description = from_json(inflate(data[at : at + body_length]), header["linked"])
        at += body_length
        for unit, length in zip(description.units, header["blobs"], strict=True):
            if operator.index(length) < 0:
                raise ValueError("a unit has less than no text")
            unit.blob = at, length
            at += length
    except (struct.error, ValueError, TypeError, KeyError, AttributeError, RecursionError, MemoryError) as error:
        raise UpstareError(f"the version description is damaged: {error}") from error
    return description


def unit_text(data: bytes, unit: UnitInfo) -> bytes:
    """The preprocessed text of one unit out of a container. Raises UpstareError if it is damaged."""
    from upstare.model.packed import unpack_text

    offset, length = unit.blob
    try:
        return unpack_text(data[offset : offset + length])
    except ValueError as error:
        raise UpstareError(f"the text of {unit.source} in the version description is damaged: {error}") from error
