"""Functions in normal form: structured statements whose expressions hold no call that unrolls.

Expressions are text with holes: a ``Ref`` is a variable of the function, which each clone prints in its own way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ref:
    """A hole for a parameter, local (its ``target``: offset of the declared name) or temporary (negative)."""

    target: int


@dataclass(frozen=True)
class Name:
    """A hole for the declared name itself in a declaration."""

    target: int


@dataclass(frozen=True)
class FunctionName:
    """A hole for the name of the function. ``word``: how the user asks for it, ``__func__`` or one of its kind."""

    word: str


@dataclass(frozen=True)
class FastOnly:
    """Text that only the fast clone has (``const``)."""

    text: str


@dataclass(frozen=True)
class Shared:
    """A hole for a static local that stays in the fast clone (its type is the function's own); ``alias`` is its name
    in the resume clone."""

    name: str
    alias: str


@dataclass(frozen=True)
class Copied:
    """A hole for a function that has a copy, which resume clones call (``copies.py``)."""

    name: str


@dataclass(frozen=True, eq=False)
class Either:
    """Text that is another in each clone."""

    fast: list[Segment]
    resume: list[Segment]


Segment = object  # str | Ref | Name | FastOnly | Shared | Copied | Either | FunctionName


@dataclass
class Expr:
    """Text with holes; the variables that it reads, and those that it surely assigns."""

    segments: list[Segment]
    uses: set[int] = field(default_factory=set)
    defs: set[int] = field(default_factory=set)


@dataclass(eq=False)
class Point:
    """An update point of the function. ``live`` is filled in by the liveness pass."""

    number: int
    kind: str  # 'call' 'loop' 'entry'
    offset: int  # in the text of the unit
    callee: str | None = None
    blocking: bool = False
    tail: bool = False  # only the resume clone has it: in the fast clone the call is a tail call
    returns: str | None = None  # C type of the call's value, None for void
    path: list[str] = field(default_factory=list)
    text: str = ""
    result: int | None = None
    live: list[int] = field(default_factory=list)
    line_offset: int | None = None  # where people would look for it, if not at ``offset``

    @property
    def shown(self) -> int:
        """The offset whose line stands for the point in messages."""
        return self.offset if self.line_offset is None else self.line_offset


@dataclass(eq=False)
class Statement:
    offset: int


@dataclass(eq=False)
class Simple(Statement):
    expr: Expr


@dataclass(eq=False)
class Declare(Statement):
    """``lengths``: what the resume clone does to find the lengths of variable-length arrays."""

    expr: Expr
    variables: list[int]
    lengths: dict[int, Expr] = field(default_factory=dict)


@dataclass(eq=False)
class CallPoint(Statement):
    """``result = call; POINT``"""

    result: int | None
    call: Expr
    point: Point


@dataclass(eq=False)
class SetJump(Statement):
    """``result = setjmp(buffer)``, of which ``record`` keeps the buffer's address and what was written to it.

    ``whole``: it is a ``jmp_buf``, and not something smaller that was cast to one (as in pthread_cleanup_push).
    """

    result: int
    call: Expr
    buffer: Expr
    record: int
    whole: bool


@dataclass(eq=False)
class PointHere(Statement):
    point: Point


@dataclass(eq=False)
class Block(Statement):
    items: list[Statement]


@dataclass(eq=False)
class If(Statement):
    cond: Expr
    then: list[Statement]
    otherwise: list[Statement] | None = None


@dataclass(eq=False)
class Loop(Statement):
    """``before`` are the statements that compute the condition each time; ``step`` those that compute the increment."""

    kind: str  # 'while' (also for) or 'do'
    before: list[Statement]
    cond: Expr | None
    step: list[Statement]
    increment: Expr | None
    body: list[Statement]
    label: str | None = None  # where `continue` goes, if not to the loop's own place


@dataclass(eq=False)
class Switch(Statement):
    cond: Expr
    body: list[Statement]


@dataclass(eq=False)
class Mark(Statement):
    """``case x:``, ``default:`` or a label."""

    kind: str  # 'case' 'default' 'label'
    expr: Expr
    name: str = ""


@dataclass(eq=False)
class Jump(Statement):
    """goto (``name``), break or continue."""

    kind: str
    name: str = ""


@dataclass(eq=False)
class AsmJump(Statement):
    """``asm goto``: goes on behind it or at one of ``labels``."""

    expr: Expr
    labels: list[str]


@dataclass(eq=False)
class ComputedJump(Statement):
    """``goto *expr``, to any of ``labels``."""

    expr: Expr
    labels: list[str]


@dataclass(eq=False)
class Return(Statement):
    expr: Expr | None


@dataclass(eq=False)
class Raw(Statement):
    """Text that is the same in both clones and touches no variable."""

    text: str


def expressions(items: Iterable[Statement]) -> Iterator[Expr]:
    """Every expression in statements."""
    for item in items:
        for part in vars(item).values():
            if isinstance(part, Expr):
                yield part
            elif isinstance(part, list):
                yield from expressions(p for p in part if isinstance(p, Statement))


def segments(items: Iterable[Statement]) -> Iterator[Segment]:
    """Every piece of the expressions in statements."""
    for expr in expressions(items):
        yield from expr.segments
