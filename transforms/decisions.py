"""What the whole-program model decided about one unit: the input of its transform, besides the text."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256


@dataclass
class VariableDecision:
    """How a variable with static storage is bound: its assembler name, and the name that it gets in C if it moves out
    of its function."""

    symbol: str
    static: bool = False
    c_name: str | None = None


@dataclass
class Decisions:
    """Everything the transform of a unit depends on apart from its text."""

    unit: str  # path relative to the build root
    scheme: str
    placement: str
    shared: bool
    clones: bool  # functions that can be rebuilt get a resume clone
    twin: bool  # static locals that cannot move are those of the executable
    tail_calls: bool = False  # calls in tail position get no point
    inlines: bool = False  # the compiler inlines functions that are called once
    instrumented: list[str] = field(default_factory=list)  # functions of the unit that get points
    pinned: list[str] = field(default_factory=list)  # functions of the unit that cannot be rebuilt
    hot: list[str] = field(default_factory=list)  # names, as seen in the unit, whose direct call may unroll
    hot_types: list[str] = field(default_factory=list)  # function types whose indirect call may unroll
    lasting: list[str] = field(default_factory=list)  # names whose declarations lose their noreturn
    staying: list[str] = field(default_factory=list)  # where a thread may stay, though only an error follows
    blocking: list[str] = field(default_factory=list)
    redirects: list[str] = field(default_factory=list)  # library names that become upstare_name
    entries: dict[str, str] = field(default_factory=dict)  # function, as seen in the unit -> entry id
    define_entries: list[str] = field(default_factory=list)  # those whose entry is made in this unit
    variables: dict[str, VariableDecision] = field(default_factory=dict)  # file scope, by name
    statics: dict[str, VariableDecision] = field(default_factory=dict)  # "function:key" of static locals
    plain_names: list[str] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)  # function of the unit -> 16 hex digits
    arguments_forward: bool = False  # the unit's compiler evaluates the arguments of a call from the first to the last
    fixed_room: bool = True  # alloca does not change where the unit's compiler puts arguments of calls (flag scheme)
    entry_points: list[str] = field(default_factory=list)  # functions with a point at their entry

    def key(self) -> str:
        """A digest that is equal for equal decisions."""
        return sha256(json.dumps(self, default=vars, sort_keys=True).encode(errors="surrogateescape")).hexdigest()
