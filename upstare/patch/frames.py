"""Frames: where they go on, and where each local of the new version gets its value from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from upstare.errors import UsageError
from upstare.model.description import AddressUse, Function, Point, Slot
from upstare.patch.compare import Comparison, Version
from upstare.patch.continuations import Callee, align
from upstare.patch.expressions import names_in
from upstare.patch.mapping import renamed_local
from upstare.patch.plan import (
    ESCAPES,
    MOVES,
    ONLY_AFTER,
    ONLY_IN_CALL,
    Continuation,
    Plan,
    SlotPlan,
    at,
    type_text,
    use_text,
    uses_of,
)
from upstare.patch.relate import Kind, Relation, Relations, normal
from upstare.patch.report import Finding

_LOST_MEMORY = {
    "arguments": "its variable arguments may still be read, and the other version does not have them",
    "chain": "its blocks of alloca may still be used, and the other version does not have them",
}
_LOCKS = frozenset({"pthread_mutex_lock", "pthread_rwlock_rdlock", "pthread_rwlock_wrlock", "pthread_spin_lock"})



@dataclass(frozen=True)
class _Question:
    """A decision about a slot at one point. ``only_missing``: there is no value, and none that could be wrong."""

    slot: Slot
    finding: Finding
    only_missing: bool


@dataclass
class _Need:
    """The same decision at several points is one decision."""

    finding: Finding
    points: list[str]


class Frames:
    """Plans the continuations of all functions, one after the other."""

    def __init__(self, comparison: Comparison, relations: Relations, result: Plan) -> None:
        self._comparison = comparison
        self._relations = relations
        self._result = result
        self._uses = uses_of(comparison.old)
        self._needs: dict[tuple[str, str, str], _Need] = {}
        self._refused: dict[tuple[str, str], Finding] = {}
        self._notes: dict[tuple[str, str], Finding] = {}
        self.gives_up = comparison.mapping.gives_up_points

    def plan(self, old: Function) -> None:
        """All continuations of one old function."""
        new = self._comparison.pair(old)
        if new is None:
            hint = f'if it was renamed: [functions] "{old.unit}:{old.name}" = "UNIT:NAME"'
            self._result.missing.append(Finding(f"function {old.name}", "it is gone", at(old), hint=hint))
            return
        if not new.points:
            why = f" ({new.pinned})" if new.pinned else ""
            text = f"it has no update point in {self._comparison.new.version}{why}"
            self._result.missing.append(Finding(f"function {old.name}", text, at(old), at(new)))
            return
        alignment = align(old, new, self._old_callee(old), self._new_callee(new), self._forced(old, new))
        for point in alignment.missing:
            self._result.missing.append(
                Finding(
                    old.name,
                    f"nothing in {self._comparison.new.version} matches {describe(point)}",
                    at(point),
                    at(new),
                    hint=f'if something does: [points."{old.unit}:{old.name}"] {_point_key(old, point)} = "LINE"',
                )
            )
        for point, options in alignment.ambiguous:
            places = " and ".join(str(p.line) for p in options)
            where = f'[points."{old.unit}:{old.name}"] {_point_key(old, point)} ='
            text = f"{describe(point)} matches line {places} equally well"
            if len(options) == 1:
                text = f"{describe(point)} and others match line {places} equally well"
            choices = " or ".join([_point_key(new, p) for p in options] + ['"none"'])
            open_ones = self._result.missing if self.gives_up else self._result.decisions
            open_ones.append(Finding(old.name, text, at(point), at(options[0]), hint=f"{where} {choices}"))
        for old_point, new_point in alignment.pairs:
            self._plan_point(old, new, old_point, new_point)

    def finish(self) -> None:
        """Report what was gathered over all points."""
        for need in self._needs.values():
            finding = need.finding
            lines = ", ".join(place.rpartition(":")[2] for place in need.points[1:])
            if lines:
                finding.details.append(f"also needed at line {lines}")
            self._result.decisions.append(finding)
        self._result.refusals += self._refused.values()
        self._result.notes += self._notes.values()

    # -- points

    def _old_callee(self, caller: Function) -> _CalleeOf:
        return _CalleeOf(self._comparison.old, caller, self._comparison.functions, self._relations)

    def _new_callee(self, caller: Function) -> _CalleeOf:
        return _CalleeOf(self._comparison.new, caller, None, self._relations)

    def _forced(self, old: Function, new: Function) -> dict[int, int | None]:
        forced: dict[int, int | None] = {}
        source = self._comparison.mapping.path
        for before, after in self._comparison.points.get(old.id, {}).items():
            ours = _points_at(old, before, source)
            if after == "none":
                forced.update({p.number: None for p in ours})
                continue
            theirs = _points_at(new, after, source)
            if len(ours) != len(theirs):
                raise UsageError(
                    f"{source}: [points] {old.name}: {len(ours)} points at {before}, but {len(theirs)} at {after}",
                    hint="name points by number: "
                    + ", ".join(f"#{p.number} is {p.text}" for p in (*ours, *theirs)),
                )
            forced.update({a.number: b.number for a, b in zip(ours, theirs, strict=True)})
        return forced

    def _plan_point(self, old: Function, new: Function, old_point: Point, new_point: Point) -> None:
        matched = _PointSlots(self, old, new, old_point, new_point)
        slots, flags, lost = matched.plan()
        if lost is not None:
            text = f"{describe(old_point)}: {lost}"
            hint = None
            if lost.startswith("there is no value"):
                hint = f'to give it one: [locals."{new.unit}:{new.name}"] NAME = "EXPRESSION over old.NAME"'
            self._result.missing.append(Finding(old.name, text, at(old_point), at(new_point), hint=hint))
            return
        if slots is None:
            return
        flags |= self._through_tail_calls(old, new, old_point, new_point)
        if flags == ONLY_AFTER | ONLY_IN_CALL:
            text = f"{describe(old_point)}: what the call writes to, or what becomes of its result, changes"
            self._result.missing.append(Finding(old.name, text, at(old_point), at(new_point)))
            return
        if flags:
            text = f"{describe(old_point)}: refused when the call has just returned: its result is used in another way"
            if flags == ONLY_AFTER:
                text = f"{describe(old_point)}: refused while the call is running: what it writes to changes"
            self._result.warnings.append(Finding(old.name, text, at(old_point), at(new_point)))
        copy = old.frame_size == new.frame_size and all(
            plan.old is not None
            and plan.relation is not None
            and plan.relation.kind is Kind.SAME
            and plan.text is None
            and (plan.old.offset, plan.old.size, plan.old.kept) == (plan.new.offset, plan.new.size, plan.new.kept)
            for plan in slots
        )
        self._result.continuations.append(Continuation(old, new, old_point, new_point, flags, copy, tuple(slots)))

    def _through_tail_calls(self, old: Function, new: Function, old_point: Point, new_point: Point) -> int:
        """ONLY_AFTER if what answers to the call may be what its old callee called last, and of another type than the
        new callee's."""
        if old_point.blocking or old_point.callee is None or new_point.callee is None:
            return 0
        before = self._comparison.old.callee(old, old_point.callee)
        after = self._comparison.new.callee(new, new_point.callee)
        if before is None or after is None or not any(p.tail for p in before.points):
            return 0
        return 0 if normal(self._relations.renamed(before.returns)) == normal(after.returns) else ONLY_AFTER

    # -- for _PointSlots

    def mapped_local(self, function: Function, slot: Slot) -> str | None:
        """What the mapping file says of a local."""
        table = self._comparison.locals.get(function.id, {})
        return table.get(slot.key, table.get(slot.name))

    def relation(self, new: Function, old_slot: Slot, new_slot: Slot) -> Relation:
        """How the value of one local becomes that of another."""
        own = f"{new.name}_{new_slot.name}"
        return self._relations.of(old_slot.type, new_slot.type, own)

    def passes_by(self, function: Function, point: Point) -> bool:
        """Whether a frame at a point goes on by itself soon: nothing in the call waits for more than a lock.

        What is missing there is worth a warning, not a decision: the update waits for the frame to go on.
        """
        version = self._comparison.old
        seen: set[str] = set()
        pending = [(function, point)]
        while pending:
            caller, at_point = pending.pop()
            if at_point.kind != "call" or at_point.callee is None or at_point.callee.startswith("*"):
                return False
            if at_point.blocking:
                if at_point.callee not in _LOCKS:
                    return False
                continue
            callee = version.callee(caller, at_point.callee)
            if callee is None:
                return False
            if callee.id not in seen:
                seen.add(callee.id)
                pending += [(callee, p) for p in callee.points]
        return True

    def assume(self, new: Function, slot: Slot) -> None:
        """Note, once for all points, that a new local starts with its initialiser."""
        text = f"new local, starts as {slot.initial}"
        note = Finding(f"{new.name}: {slot.name} ({slot.type_name})", text, new=f"{new.file}:{slot.line}")
        self._notes.setdefault((new.id, slot.key), note)

    def need(self, new: Function, slot: Slot, finding: Finding, point: Point) -> None:
        """A decision about a local, once for all points."""
        known = self._needs.setdefault((new.id, slot.key, finding.text), _Need(finding, []))
        known.points.append(at(point))

    def stored(self, function: Function, slot: Slot) -> list[AddressUse]:
        """Where the address of a local goes that outlives the expression."""
        return [u for u in self._uses.get(f"{function.id}:{slot.key}", []) if u.how in ESCAPES]

    def passed(self, function: Function, slot: Slot, point: Point) -> bool:
        """Whether the call at the point gets the address of a local: then its frame points there while it runs."""
        uses = self._uses.get(f"{function.id}:{slot.key}", [])
        return any(u.how == "argument" and u.where == point.callee for u in uses)

    def refuse(self, function: Function, slot: Slot, finding: Finding) -> None:
        """A local that cannot be moved, once for all points."""
        self._refused.setdefault((function.id, slot.key), finding)


class _PointSlots:
    """The slots of one pair of points."""

    def __init__(self, frames: Frames, old: Function, new: Function, old_point: Point, new_point: Point) -> None:
        self._frames = frames
        self._old, self._new = old, new
        self._old_point, self._new_point = old_point, new_point
        by_key = {slot.key: slot for slot in old.slots}
        self._live = [by_key[key] for key in old_point.live if key in by_key]
        self._flags = 0
        self._asked: list[_Question] = []
        self._lost: str | None = None

    def plan(self) -> tuple[list[SlotPlan] | None, int, str | None]:
        """The plans of all slots that the new point needs (None: a decision is open), flags, and why it is missing."""
        by_key = {slot.key: slot for slot in self._new.slots}
        wanted = [by_key[key] for key in self._new_point.live if key in by_key]
        jumps = self._lost_jump()
        if jumps is not None:
            return None, 0, jumps
        temporaries = self._pair_temporaries([s for s in wanted if s.temporary and s.key != self._new_point.result])
        if temporaries is None:
            return None, 0, "the values of an unfinished expression do not correspond"
        plans: list[SlotPlan] = []
        for slot in wanted:
            made = self._plan_slot(slot, temporaries)
            if made is not None:
                plans.append(made)
        lost = self._lost or self._lost_object(plans)
        if lost is not None:
            return None, 0, lost
        if not self._asked:
            return plans, self._flags, None
        rare = self._old_point.tail or self._frames.passes_by(self._old, self._old_point)
        if (all(q.only_missing for q in self._asked) and rare) or self._frames.gives_up:
            names = ", ".join(f"{q.slot.name} ({type_text(q.slot.type_name, q.slot.type)})" for q in self._asked)
            return None, 0, f"there is no value here for {names}"
        for question in self._asked:
            self._frames.need(self._new, question.slot, question.finding, self._new_point)
        return None, 0, None

    def _pair_temporaries(self, wanted: list[Slot]) -> dict[str, Slot] | None:
        """Temporaries of normal form have no meaning but their order in the expression."""
        present = [s for s in self._live if s.temporary and s.key != self._old_point.result]
        if not wanted:
            return {}
        if self._old_point.text != self._new_point.text and self._old.body != self._new.body:
            return None
        if len(present) != len(wanted):
            return None
        pairs = {new.key: old for old, new in zip(present, wanted, strict=True)}
        relations = [self._frames.relation(self._new, old, new) for old, new in zip(present, wanted, strict=True)]
        return None if any(any(r.problems()) for r in relations) else pairs

    def _plan_slot(self, slot: Slot, temporaries: dict[str, Slot]) -> SlotPlan | None:
        if slot.own:
            return self._plan_own(slot)
        text = self._frames.mapped_local(self._new, slot)
        if slot.key == self._new_point.result and text is None:
            return self._plan_result(slot)
        if slot.key in temporaries:
            return self._from(temporaries[slot.key], slot)
        if text is not None:
            return self._plan_mapped(slot, text)
        source = self._find(slot.key) or self._find_by_name(slot)
        if self._is_constant(slot):
            return self._plan_constant(slot, source)
        if source is not None:
            return self._from(source, slot)
        before = [s for s in self._old.slots if s.key == slot.key or s.name == slot.name]
        if before:
            kind = "parameter" if slot.parameter else "local"
            text = f"this {kind} has no value at this point of the version before"
            return self._ask(slot, text, before[0], only_missing=True)
        if slot.jump:
            return SlotPlan(slot, text=slot.initial)
        if slot.initial is not None:
            self._frames.assume(self._new, slot)
            return SlotPlan(slot, text=slot.initial)
        kind = "parameter" if slot.parameter else "local"
        return self._ask(slot, f"new {kind} needs a value", only_missing=True)

    def _plan_own(self, slot: Slot) -> SlotPlan | None:
        """Memory of the frame that is no variable of the user's stays where it is."""
        source = next((s for s in self._live if s.own == slot.own and s.key == slot.key), None)
        if source is not None:
            relation = self._frames.relation(self._new, source, slot)
            if relation.kind is Kind.SAME:
                return SlotPlan(slot, source, relation, keeps_address=slot.kept)
            self._lost = f"the elements of {slot.name}, an array of variable length, change their type"
            return None
        if slot.own in ("chain", "length"):
            return SlotPlan(slot, text="0")
        self._lost = f"{slot.name} is not an array of variable length in both versions, or does not exist in one yet"
        if slot.own == "arguments":
            self._lost = "it may go on to read its variable arguments, which the other version has not kept"
        return None

    def _plan_mapped(self, slot: Slot, text: str) -> SlotPlan | None:
        """A local that the mapping file speaks of."""
        names = names_in(text, f"{self._new.name}: {slot.name}")
        for name in sorted(names):
            if self._find(name) is None:
                return self._ask(slot, f"the mapping file takes it from 'old.{name}', which is not live here")
        renamed = renamed_local(text)
        source = self._find(renamed) if renamed is not None else None
        return SlotPlan(slot, text=text) if source is None else self._from(source, slot)

    def _is_constant(self, slot: Slot) -> bool:
        """Whether a local has its initialiser as its value for as long as it lives."""
        return slot.initial is not None and slot.type_name.startswith("const ") and not slot.type.endswith("*")

    def _plan_constant(self, slot: Slot, source: Slot | None) -> SlotPlan:
        """A constant local takes what the new version says, where the old one was if it fits there."""
        relation = self._frames.relation(self._new, source, slot) if source is not None else None
        if source is None or relation is None or relation.kind is not Kind.SAME:
            return SlotPlan(slot, text=slot.initial)
        keeps = source.kept and slot.kept and source.size == slot.size
        text = None if source.initial == slot.initial else slot.initial
        return SlotPlan(slot, source, relation, text, keeps_address=keeps)

    def _plan_result(self, slot: Slot) -> SlotPlan | None:
        """The slot that takes the value of the call: not needed while the call is running."""
        source = self._find(self._old_point.result) if self._old_point.result is not None else None
        if source is None:
            self._flags |= ONLY_IN_CALL
            return None
        relation = self._frames.relation(self._new, source, slot)
        if any(relation.problems()):
            self._flags |= ONLY_IN_CALL
            return None
        return self._made(source, slot, relation)

    def _from(self, source: Slot, slot: Slot) -> SlotPlan | None:
        if source.key == self._old_point.result and slot.key != self._new_point.result:
            self._flags |= ONLY_AFTER
        relation = self._frames.relation(self._new, source, slot)
        problems = list(relation.problems())
        if problems:
            first = problems[0]
            where = f" (in {first.path})" if first.path else ""
            before, after = type_text(source.type_name, source.type), type_text(slot.type_name, slot.type)
            return self._ask(slot, f"its type changes from '{before}' to '{after}'{where}: {first.reason}", source)
        return self._made(source, slot, relation)

    def _made(self, source: Slot, slot: Slot, relation: Relation) -> SlotPlan:
        keeps = source.kept and slot.kept and relation.kind is Kind.SAME and source.size == slot.size
        if source.kept and not keeps:
            self._check_pointers(source, slot)
            if self._frames.passed(self._old, source, self._old_point):
                self._flags |= ONLY_AFTER
        return SlotPlan(slot, source, relation, keeps_address=keeps)

    def _check_pointers(self, source: Slot, slot: Slot) -> None:
        stored = self._frames.stored(self._old, source)
        if stored:
            before, after = type_text(source.type_name, source.type), type_text(slot.type_name, slot.type)
            change = f"its type changes from '{before}' to '{after}'"
            if before == after:
                change = f"its type '{before}' changes its layout, or its address is no longer taken"
            finding = Finding(
                f"{self._old.name}: local {source.name}",
                f"{change}, so {MOVES}",
                f"{self._old.file}:{source.line}",
                f"{self._new.file}:{slot.line}",
                details=[use_text(use) for use in stored],
            )
            self._frames.refuse(self._old, source, finding)

    def _lost_object(self, plans: list[SlotPlan]) -> str | None:
        """A local that others point to and that the new version does not have."""
        used = {plan.old.key for plan in plans if plan.old is not None}
        for slot in self._live:
            if slot.own in _LOST_MEMORY and slot.key not in used:
                return _LOST_MEMORY[slot.own]
            if slot.kept and slot.key not in used and self._frames.stored(self._old, slot):
                return f"pointers to the local {slot.name} are kept, and the other version does not have it"
        return None

    def _lost_jump(self) -> str | None:
        """A setjmp that may be in use and that the new version does not have, or has more often."""
        for slot in self._old.slots:
            if slot.jump:
                ours = [s for s in self._old.slots if s.jump and s.name == slot.name]
                theirs = [s for s in self._new.slots if s.jump and s.name == slot.name]
                if len(ours) != len(theirs):
                    return f"{slot.name} may be in use, and the other version has it {_times(len(theirs))}"
        return None

    def _find(self, key: str) -> Slot | None:
        found = next((s for s in self._live if s.key == key and not s.own), None)
        named = [s for s in self._live if s.name == key and not s.temporary and not s.own]
        return found or (named[0] if len(named) == 1 else None)

    def _find_by_name(self, slot: Slot) -> Slot | None:
        """Blocks may repeat a name, and the ordinals in keys shift when one is added."""
        if slot.temporary:
            return None
        ours = [s for s in self._live if s.name == slot.name and not s.temporary and not s.own]
        return ours[0] if len(ours) == 1 else None

    def _ask(
        self, slot: Slot, text: str, source: Slot | None = None, *, only_missing: bool = False
    ) -> SlotPlan | None:
        hint = f'[locals."{self._new.unit}:{self._new.name}"] {slot.name} = "EXPRESSION over old.NAME"'
        none = f'[points."{self._old.unit}:{self._old.name}"] {_point_key(self._old, self._old_point)} = "none"'
        if source is not None and source in self._live:
            hint = f"write upstare_transform_{self._new.name}_{slot.name} (see --transformers), or {hint}"
        hint += f"\nor, to refuse updates while a frame is there: {none}"
        old_line = source.line if source is not None and source.line else self._old_point.line
        finding = Finding(
            f"{self._new.name}: {'parameter' if slot.parameter else 'local'} {slot.name} "
            f"({type_text(slot.type_name, slot.type)})",
            text,
            f"{self._old.file}:{old_line}",
            f"{self._new.file}:{slot.line or self._new_point.line}",
            hint=hint,
            details=[f"needed at {at(self._new_point)} to go on from {at(self._old_point)}"],
        )
        self._asked.append(_Question(slot, finding, only_missing))
        return None


@dataclass(frozen=True)
class _CalleeOf:
    """What a point calls, in terms that both versions share: the new function for program functions, else a name."""

    version: Version
    caller: Function
    pairs: dict[str, str] | None  # old to new ids; None: the functions are new ones
    relations: Relations

    def __call__(self, point: Point) -> Callee:
        if point.callee is None:
            return ("", "")
        if point.callee.startswith("*"):
            text = normal(point.callee)
            return ("*", self.relations.renamed(text) if self.pairs is not None else text)
        if point.blocking:
            return ("blocking", point.callee)
        function = self.version.callee(self.caller, point.callee)
        if function is None:
            return ("name", point.callee)
        if self.pairs is None:
            return ("function", function.id)
        if function.id in self.pairs:
            return ("function", self.pairs[function.id])
        return ("gone", function.id)


def describe(point: Point) -> str:
    """A point as people see it."""
    text = point.text if len(point.text) <= 60 else point.text[:57] + "..."
    if point.kind == "loop":
        return f"the loop `{text}`"
    if point.kind == "entry":
        return "its entry"
    return f"the call `{text}`"


def _times(count: int) -> str:
    return "no more" if count == 0 else "once" if count == 1 else f"{count} times"


def _points_at(function: Function, text: str, source: str) -> list[Point]:
    by_number = text.startswith("#")
    found = [p for p in function.points if str(p.number if by_number else p.line) == text.removeprefix("#")]
    if not found:
        lines = ", ".join(_known_points(function))
        raise UsageError(f"{source}: [points] {function.name} has no update point at {text}", hint=f"it has {lines}")
    return found


def _known_points(function: Function) -> Iterator[str]:
    for point in function.points:
        yield f"#{point.number} at line {point.line}"


def _point_key(function: Function, point: Point) -> str:
    """How to name a point in a mapping file: by line where that is enough."""
    alone = sum(1 for p in function.points if p.line == point.line) == 1
    return f'"{point.line}"' if alone else f'"#{point.number}"'
