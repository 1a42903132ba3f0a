"""How the resume clone gets its variables back.

Every continuation has its own label and restores what is live there. What many continuations restore they restore in
one place, so that a clone of thousands of points has not as many copies of it, for each of which the compiler works.
Points with the same common variables are a *group*, which is entered together and parts afterwards::

    switch (point) { case 1 ... 3: goto g1; case 4: goto r4; }
    ... if (0) { g1: a = ...; b = ...; switch (point) { case 2: goto r2; case 3: goto r3; } r1: c = ...; } ...

The group's block stands before its first continuation: what is live there is in scope there.

Where two ways to a place bring a variable, the compiler has two values to keep apart, at each point. The points in a
large ``switch`` (that of a parser or an interpreter) are therefore entered in front of it, on the way that all take::

    { to = 0; if (0) { g1: a = ...; to = point; } asm("" : "+r"(to)); switch (to) { case 1: goto r1; ... } }
    switch (x) { ... }

There a variable may get bytes that have no meaning, at a point where it is not live.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from transforms import ir
from transforms.frames import KEPT, REMOTE, Frame, FrameSlot
from transforms.points import pointer_name
from upstare.frontend.functions import Local

COMMON = 8  # a variable is common if it is live at one of this many points
LARGE = 64  # points in a switch that are entered in front of it


@dataclass(frozen=True, eq=False)
class _Group:
    """``targets``: the variables that are restored for all of ``points``."""

    points: list[ir.Point]
    targets: list[int]

    @property
    def label(self) -> str:
        return f"upstare_g{self.points[0].number}"


class Restores:
    """The ways from the entry of a resume clone to the continuations."""

    def __init__(self, frame: Frame, points: Sequence[ir.Point], body: Sequence[ir.Statement]) -> None:
        self.frame, self.points = frame, points
        self._heads = {switch: self._head(switch, inside) for switch, inside in _large(body)}
        self._groups = {point: group for group in self._heads.values() for point in group.points}
        self._group([point for point in points if point not in self._groups])
        self._opened: set[_Group] = set()

    def _head(self, switch: ir.Switch, inside: list[ir.Point]) -> _Group:
        count = Counter(target for point in inside for target in point.live)
        targets = []
        for target, times in count.items():
            slot = self.frame.slots[target]
            least = len(inside) if slot.how in KEPT else len(inside) // COMMON
            begin, end = slot.variable.scope if isinstance(slot.variable, Local) else (0, switch.offset + 1)
            if times >= least and begin <= switch.offset < end:
                targets.append(target)
        return _Group(sorted(inside, key=lambda p: p.number), targets)

    def _group(self, points: list[ir.Point]) -> None:
        count = Counter(target for point in points for target in point.live)
        least = max(2, len(points) // COMMON)
        together: dict[tuple[int, ...], list[ir.Point]] = defaultdict(list)
        for point in points:
            together[tuple(t for t in point.live if count[t] >= least)].append(point)
        for targets, group in together.items():
            if targets and len(group) > 1:
                self._groups.update(dict.fromkeys(group, _Group(group, list(targets))))

    def dispatch(self) -> str:
        """From the entry of the clone to the groups, and to the points without one. Before that, and for all points,
        the memory of variable-length arrays comes back."""
        sized = "".join(self._sized(slot) for slot in self.frame.sized())
        ways = ((p.number, self._groups[p].label if p in self._groups else _label(p)) for p in self.points)
        return f"{sized}{_switch('__upstare_point', ways)}"

    def before(self, switch: ir.Switch) -> str:
        """What stands in front of a switch."""
        head = self._heads.get(switch)
        if head is None:
            return ""
        # The statement of assembly is there because the compiler would part the two ways again.
        return (
            f"{{ unsigned __upstare_to = 0; if (0) {{ {head.label}: ; {self._values(head.targets)}"
            '__upstare_to = __upstare_point; } __asm__("" : "+r"(__upstare_to)); '
            f"{_switch('__upstare_to', ((p.number, _label(p)) for p in head.points), ';')}}} "
        )

    def text(self, point: ir.Point) -> str:
        """The label of a continuation and what is restored there; the first of a group has the group's block."""
        group = self._groups.get(point)
        if group is None:
            return f"{_label(point)}: ; {self._values(point.live)}"
        before = ""
        if group not in self._opened and group not in self._heads.values():
            self._opened.add(group)
            ways = _switch("__upstare_point", ((p.number, _label(p)) for p in group.points))
            before = f"{group.label}: ; {self._values(group.targets)}{ways}"
        done = set(group.targets)
        return f"{before}{_label(point)}: ; {self._values(t for t in point.live if t not in done)}"

    def _values(self, targets: Iterable[int]) -> str:
        return "".join(self._value(self.frame.slots[target]) for target in targets)

    @staticmethod
    def _value(slot: FrameSlot) -> str:
        place = f"__upstare_d + {slot.offset}"
        if slot.how == "sized":
            return ""
        if slot.how == "chain":
            return f"{slot.c_name} = *(void *const *)({place}); "
        if slot.how in REMOTE:
            return f"{pointer_name(slot)} = __upstare_own({place}, (void *)&{slot.c_name}, {slot.size}); "
        if slot.how == "memory" or _qualified(slot):
            return f"__builtin_memcpy((void *)&{slot.c_name}, {place}, {slot.size}); "
        # Not through its address: the compiler would first keep it in memory.
        return f"{slot.c_name} = *(__typeof__({slot.c_name}) __attribute__((__may_alias__)) *)({place}); "

    @staticmethod
    def _sized(slot: FrameSlot) -> str:
        return (
            f"{pointer_name(slot)} = *(void *const *)(__upstare_d + {slot.offset}); "
            f"__upstare_z_{slot.c_name} = *(const unsigned long *)(__upstare_d + {slot.offset + 8}); "
        )


def _qualified(slot: FrameSlot) -> bool:
    if not isinstance(slot.variable, Local):
        return False
    ctype = slot.variable.ctype.get_canonical()
    return bool(ctype.is_const_qualified() or ctype.is_volatile_qualified())


def _label(point: ir.Point) -> str:
    return f"upstare_r{point.number}"


def _switch(value: str, ways: Iterable[tuple[int, str]], otherwise: str = "__builtin_trap();") -> str:
    """``ways``: labels by the number of the point, in the order of numbers."""
    cases: list[str] = []
    first = last = 0
    before = ""
    for number, label in ways:
        if label == before and number == last + 1:
            cases.pop()
        else:
            first = number
        before, last = label, number
        cases.append(f"case {first} ... {last}: goto {label};" if first < last else f"case {number}: goto {label};")
    return f"switch ({value}) {{ {' '.join(cases)} default: {otherwise} }} "


def _large(items: Iterable[ir.Statement]) -> Iterator[tuple[ir.Switch, list[ir.Point]]]:
    """The switches, not inside one another, that hold many points."""
    for item in items:
        if isinstance(item, ir.Switch):
            inside = list(_points(item.body))
            if len(inside) >= LARGE:
                yield item, inside
                continue
        for part in vars(item).values():
            if isinstance(part, list):
                yield from _large(p for p in part if isinstance(p, ir.Statement))


def _points(items: Iterable[ir.Statement]) -> Iterator[ir.Point]:
    for item in items:
        if isinstance(item, ir.CallPoint | ir.PointHere):
            yield item.point
        for part in vars(item).values():
            if isinstance(part, list):
                yield from _points(p for p in part if isinstance(p, ir.Statement))
