"""What one direction of a patch does to frames and objects, and everything that keeps it from being done.

A *decision* is something that only a person knows, a *refusal* something that this release cannot do, and an old
continuation without a new one is *missing*.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from upstare.model.description import AddressUse, Constant, Function, Point, Slot, Type, Variable
from upstare.patch.compare import Version
from upstare.patch.relate import Relation
from upstare.patch.report import Finding

ONLY_AFTER = 1  # bits of upstare_continuation.flags
ONLY_IN_CALL = 2

MOVES = "it moves, but pointers to it are kept; pointers to objects that move cannot be forwarded yet"
ESCAPES = frozenset({"stored", "returned", "initialiser"})  # ways in which an address outlives the expression


@dataclass(frozen=True)
class SlotPlan:
    """How a slot of the new frame gets its value: from an old slot, from a constant, or from an expression."""

    new: Slot
    old: Slot | None = None
    relation: Relation | None = None
    text: str | None = None  # a C expression over the old frame, or a constant initialiser
    keeps_address: bool = False


@dataclass(frozen=True)
class Continuation:
    """An old continuation and the new one that it becomes. ``copy``: the frame data stay as they are."""

    old: Function
    new: Function
    old_point: Point
    new_point: Point
    flags: int
    copy: bool
    slots: tuple[SlotPlan, ...] = ()


@dataclass(frozen=True)
class Move:
    """An object with static storage that gets new storage."""

    old: Variable
    new: Variable
    relation: Relation


@dataclass(frozen=True)
class Entry:
    """The slot behind a stable entry, and the function that it leads to from now on (None: the function is gone)."""

    slot: str
    function: Function | None


@dataclass
class Plan:
    """Everything that one direction of a patch does, and everything that keeps it from being done."""

    continuations: list[Continuation] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    initials: list[Variable] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)  # that the other version has not, or with other contents
    bound: int = 0
    removed: list[Variable] = field(default_factory=list)
    missing: list[Finding] = field(default_factory=list)
    object_decisions: list[Finding] = field(default_factory=list)
    decisions: list[Finding] = field(default_factory=list)  # about frames
    refusals: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)


def at(place: Function | Variable | Constant | Point | AddressUse) -> str:
    """``file:line``."""
    return f"{place.file}:{place.line}"


def record_name(record: Type) -> str:
    """A record as people know it."""
    return f"{record.typedef} ({record.kind})" if record.typedef else record.key


def record_at(record: Type) -> str | None:
    """``file:line`` of the definition of a record."""
    return f"{record.file}:{record.line}" if record.file else None


def type_text(name: str, key: str) -> str:
    """A type as the user wrote it, and what it stands for if that hides a pointer."""
    written = re.sub(r"\((?:unnamed|anonymous) \w+ at [^)]*\)", "<unnamed>", name)
    return f"{written} ({key})" if "*" in key and "*" not in written else written


def variable_name(variable: Variable | Constant) -> str:
    """A variable as people know it; a static local with its function."""
    return f"{variable.function}::{variable.name}" if variable.function else variable.name


def use_text(use: AddressUse) -> str:
    how = {"stored": "stored in", "returned": "returned by", "initialiser": "initial value of"}[use.how]
    return f"{use.file}:{use.line}: '{use.pointer_type}' {how} {use.where}"


def uses_of(version: Version) -> dict[str, list[AddressUse]]:
    uses: dict[str, list[AddressUse]] = {}
    for use in version.description.address_uses:
        uses.setdefault(use.object, []).append(use)
    return uses
