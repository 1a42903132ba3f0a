"""What will be decided on a unit that has changed, guessed before the program is merged: mostly nothing that matters to
other units has.

A guess need not be right: what is made with it is kept under what was guessed, and found only if that is decided.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from transforms.decisions import Decisions
from upstare.model.facts import FunctionFact, UnitSummary
from upstare.model.program import function_id


def guess(last: Decisions, before: UnitSummary, now: UnitSummary, outside: Collection[str]) -> Decisions | None:
    """The decisions on a unit, or None where more than the insides of functions has changed.

    Args:
        last: what was decided on the unit as it was.
        before: the unit as it was.
        now: the unit.
        outside: names that code without a unit can find.
    """
    known = {f.name: f for f in before.functions}
    new = [f for f in now.functions if f.name not in known]
    if len(now.functions) - len(new) < len(known) or list(_objects(before)) != list(_objects(now)):
        return None
    if any(_shape(f) != _shape(known[f.name]) for f in now.functions if f.name in known):
        return None
    called = {(call.callee, call.type) for f in before.functions for call in f.calls}
    hot = {*last.hot, *last.blocking, *last.hot_types}
    if any(_may_have_points(f, called, hot) for f in new):
        return None
    found = {f.name for f in new if not f.static and f.name in outside}
    return replace(
        last,
        ids={**last.ids, **{f.name: function_id(last.unit, f.name) for f in new}},
        entries={**last.entries, **{name: name for name in found}},
        define_entries=sorted({*last.define_entries, *found}) if found else last.define_entries,
    )


def _shape(function: FunctionFact) -> tuple[object, ...]:
    """What of a function counts for the rest of the program, more or less."""
    calls = {(call.callee, call.type, tuple(call.doom), call.tail) for call in function.calls}
    return (
        function.static, function.noreturn, function.pinned is None, function.type, function.unused, calls,
        _endless(function), all(loop.why for loop in function.loops), [repr(end) for end in function.ends],
    )  # fmt: skip


def _endless(function: FunctionFact) -> bool:
    """Whether it has a loop with a point."""
    return any(not loop.why or loop.inner for loop in function.loops)


def _may_have_points(function: FunctionFact, called: Collection[object], hot: Collection[str]) -> bool:
    return (
        function.pinned is not None or function.noreturn or _endless(function)
        or any((c.callee, c.type) not in called or (c.callee or c.type) in hot for c in function.calls)
    )  # fmt: skip


def _objects(summary: UnitSummary) -> Iterator[object]:
    """The rest of a summary, but for where it is in the text."""
    yield summary.fixed, summary.values, summary.aliases, summary.weak, summary.kinds
    for variable in summary.variables:
        yield replace(variable, file="", line=0)
    for constant in summary.constants:
        yield replace(constant, file="", line=0, place=0)
