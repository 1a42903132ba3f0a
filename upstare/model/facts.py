"""What the whole-program model needs to know of one unit, as plain data that crosses processes.

Read by :mod:`upstare.frontend.summary`. Nothing here needs the front end: what was read once comes out of the cache.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from upstare.model.description import AddressUse, PointerSource, Type


@dataclass
class CallFact:
    callee: str | None
    type: str  # function type of an indirect call
    doom: list[str]  # see Call.doom
    tail: bool
    file: str
    line: int


@dataclass
class LoopFact:
    file: str
    line: int
    why: str
    inner: bool


@dataclass
class FunctionFact:
    name: str
    static: bool
    noreturn: bool
    pinned: str | None
    file: str
    line: int
    type: str
    returns: str
    body: str
    calls: list[CallFact]
    loops: list[LoopFact]
    labels: list[str]  # whose addresses are values, in the order of their numbers
    unused: bool  # nothing in the unit can call it


@dataclass
class VariableFact:
    name: str
    key: str  # in its function, for static locals
    static: bool
    function: str | None
    type: str
    type_name: str
    size: int
    file: str
    line: int
    defined: bool
    thread_local: bool
    initial: bool
    movable: bool = True  # static local that can move to file scope


@dataclass
class UnitSummary:
    text: str = ""  # SHA-256 of the text without line markers
    functions: list[FunctionFact] = field(default_factory=list)
    variables: list[VariableFact] = field(default_factory=list)
    values: list[str] = field(default_factory=list)  # functions whose address is used
    aliases: dict[str, str] = field(default_factory=dict)  # other names of functions
    weak: list[str] = field(default_factory=list)  # functions that a definition in another unit may replace
    address_uses: list[AddressUse] = field(default_factory=list)  # object: "name" or "function:key"
    pointer_sources: list[PointerSource] = field(default_factory=list)
    types: dict[str, Type] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
