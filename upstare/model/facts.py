"""What the whole-program model needs to know of one unit, as plain data that crosses processes.

Read by :mod:`upstare.frontend.summary`. Nothing here needs the front end: what was read once comes out of the cache.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import NamedTuple

from upstare.model.description import AddressUse, PointerSource, Type

SENT = {
    "write": 1, "send": 1, "sendto": 1, "pwrite": 1, "fwrite": 0, "fwrite_unlocked": 0, "mq_send": 1,
    "mq_timedsend": 1, "msgsnd": 1,
}  # fmt: skip
"""Functions that send bytes, and which argument is their buffer."""

RECEIVED = {
    "read": 1, "recv": 1, "recvfrom": 1, "pread": 1, "fread": 0, "fread_unlocked": 0, "mq_receive": 1,
    "mq_timedreceive": 1, "msgrcv": 1, "__read_chk": 1, "__recv_chk": 1, "__recvfrom_chk": 1, "__fread_chk": 0,
}  # fmt: skip
"""The same for those that receive."""

EXITS = ("exit", "_exit", "_Exit", "quick_exit")
"""Functions that end the process, well or in failure, as their argument says."""


@dataclass
class CallFact:
    """A call in a function."""

    callee: str | None
    type: str  # function type of an indirect call
    doom: list[str]  # see Call.doom
    tail: bool
    file: str
    line: int


@dataclass
class EndFact:
    """A call in which a function ends."""

    callee: str
    declared: bool  # the callee is declared never to return
    fails: list[int] = field(default_factory=list)  # which of its arguments are numbers other than 0
    passes: dict[int, int] = field(default_factory=dict)  # which are parameters of the function, and which of them


@dataclass
class LoopFact:
    """A loop of a function."""

    file: str
    line: int
    why: str
    inner: bool


@dataclass
class FunctionFact:
    """A function that a unit defines."""

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
    ends: list[EndFact]  # each way through it ends in one of these; empty: one may return


@dataclass
class VariableFact:
    """A variable with static storage, declared in a unit."""

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
class Content:
    """What the bytes of a constant are made of. Without an initialiser they are zeros."""

    digest: str = ""  # of what can be read in the initialiser itself
    functions: list[str] = field(default_factory=list)  # that it names, in order of text
    objects: list[str] = field(default_factory=list)  # the same for objects; a static local is FUNCTION:KEY
    whole: bool = False  # there is more to them: they are taken for the same only if the unit's text is


@dataclass
class ConstantFact:
    """A constant with static storage, declared in a unit. Static ones whose address nobody can have are left out."""

    name: str
    key: str  # in its function, for static locals
    static: bool
    function: str | None
    type: str
    type_name: str
    span: int  # bytes to which a pointer may lead, with that behind an array
    file: str
    line: int
    defined: bool
    taken: bool  # its address is used in this unit
    content: Content | None  # None: it belongs to its version, whatever is in it
    place: int  # what has the same is declared together
    beside: bool = False  # declared together with what is not constant


@dataclass(frozen=True)
class Flow:
    """A pointer goes from ``source`` to ``target``. Both are names of ends:

    ``t:struct tag``            the expression is a pointer to the record; it becomes one by conversion
    ``g:name`` ``l:function:key``   a variable
    ``p:function:number`` ``r:function``   a parameter, what a function returns
    ``f:struct tag.member``     a member, of whatever object
    ``m:mmap``                  shared memory, from this call
    """

    source: str
    target: str
    file: str
    line: int


@dataclass
class Details:
    """What only the description of a program needs to know of a unit."""

    address_uses: list[AddressUse] = field(default_factory=list)  # object: "name" or "function:key"
    pointer_sources: list[PointerSource] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)
    types: dict[str, Type] = field(default_factory=dict)


class Kind(NamedTuple):
    """What the model needs to know of the type of an object."""

    hash: str
    align: int


@dataclass
class UnitSummary:
    """A unit. The greater part of it is unpacked when it is asked for: mostly only few units of a program are new."""

    text: str = ""  # SHA-256 of the text without line markers
    functions: list[FunctionFact] = field(default_factory=list)
    variables: list[VariableFact] = field(default_factory=list)
    constants: list[ConstantFact] = field(default_factory=list)
    fixed: list[str] = field(default_factory=list)  # external constants whose names must stay as they are
    values: list[str] = field(default_factory=list)  # functions whose address is used
    aliases: dict[str, str] = field(default_factory=dict)  # other names of functions
    weak: list[str] = field(default_factory=list)  # functions that a definition in another unit may replace
    kinds: dict[str, Kind] = field(default_factory=dict)  # of variables and constants, by the type's key
    packed: bytes = b""

    @property
    def details(self) -> Details:
        """The rest, unpacked: each time anew."""
        details: Details = pickle.loads(self.packed)
        return details

    def pack(self, details: Details) -> None:
        """Take in the rest."""
        self.packed = pickle.dumps(details)
        objects: list[VariableFact | ConstantFact] = [*self.variables, *self.constants]
        kinds = {fact.type: details.types[fact.type] for fact in objects}
        self.kinds = {key: Kind(kind.hash, kind.align) for key, kind in kinds.items()}
