"""The version description: everything a patch maker needs to know of one build, as plain data.

An updateable executable carries its description in the section ``.upstare.desc``. The container is::

    b"UPSD0001"  u32 header length  zstd(JSON of ``Description``)  blobs...

Blobs (the preprocessed text of the units, one zstd frame each) are addressed by (offset, length) from the end of the
header, so that reading the description does not unpack the sources.

Words: a *slot* is a variable in the frame data of a function; a *point* is an update point; see the glossary.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any

from upstare.errors import UpstareError

MAGIC = b"UPSD0001"
FORMAT = 1


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
    blob: tuple[int, int] = (0, 0)


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


def to_json(description: Description) -> bytes:
    """The description as JSON (UTF-8)."""
    return json.dumps(description, default=vars, separators=(",", ":")).encode()


def from_json(data: bytes) -> Description:
    """The description read back from :func:`to_json`."""
    raw = {"libraries": [], **json.loads(data)}
    raw["units"] = [UnitInfo(**{**u, "blob": tuple(u["blob"])}) for u in raw["units"]]
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


def pack(description: Description, texts: list[bytes]) -> bytes:
    """The container with ``texts[i]`` as the blob of ``description.units[i]``."""
    import zstandard  # not needed by everybody who imports this

    compressor = zstandard.ZstdCompressor(level=3)
    blobs = [compressor.compress(t) for t in texts]
    offset = 0
    for unit, blob in zip(description.units, blobs, strict=True):
        unit.blob = (offset, len(blob))
        offset += len(blob)
    header = compressor.compress(to_json(description))
    return b"".join([MAGIC, struct.pack("<I", len(header)), header, *blobs])


def unpack(data: bytes) -> Description:
    """The description in a container. Raises UpstareError if the bytes are not one of this format."""
    if data[:8] != MAGIC:
        raise UpstareError("the version description is damaged or of another UpStare release")
    try:
        from upstare.model.packed import inflate

        (length,) = struct.unpack_from("<I", data, 8)
        description = from_json(inflate(data[12 : 12 + length]))
    except (struct.error, ValueError, TypeError, KeyError, AttributeError, RecursionError, MemoryError) as error:
        raise UpstareError(f"the version description is damaged: {error}") from error
    return description


def unit_text(data: bytes, unit: UnitInfo) -> bytes:
    """The preprocessed text of one unit out of a container."""
    from upstare.model.packed import inflate

    (length,) = struct.unpack_from("<I", data, 8)
    begin = 12 + length + unit.blob[0]
    return inflate(data[begin : begin + unit.blob[1]])
