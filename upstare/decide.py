"""What is decided on a whole program, and how it is described.

Also done ahead of a link, for the units that are compiled again: what the link will most likely ask for is kept then.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from transforms.decisions import Decisions
from upstare.driver import process
from upstare.driver.compiler import ask
from upstare.driver.runtime import include_directory
from upstare.kept import Kept
from upstare.model.description import (
    FORMAT,
    Constant,
    Description,
    Function,
    Loop,
    OpaqueCall,
    PackedFrame,
    UnitInfo,
    Variable,
    pack_body,
    pack_frame,
)
from upstare.model.facts import ConstantFact, Flow, UnitSummary, VariableFact
from upstare.model.flows import Flows
from upstare.model.guess import guess
from upstare.model.outline import Described, outline
from upstare.model.program import Program, function_id, redirect_lists, relative_paths
from upstare.model.unit import Options, Unit
from upstare.release import ABI, release_digest
from upstare.units import Compilation, Team, UnitFacts, UnitWork
from upstare.workers import Beside

_NO_FRAME = pack_frame(0, [], [])


@dataclass
class Decided:
    """What is known of a program when all its units are transformed. Lists are by unit."""

    summaries: list[UnitSummary]
    merged: Program
    decisions: list[Decisions]
    keys: list[str]  # of the decisions
    facts: list[UnitFacts]


def decide(
    unit_work: UnitWork, options: Options, summaries: list[UnitSummary], team: Team, merged: Program | None = None
) -> Decided:
    """Decide on the units of a program, and transform those that were not with these decisions.

    ``merged``: the summaries, if they have been merged.
    """
    numbers = range(len(unit_work.units))
    while True:
        merged = merged or _merge(unit_work.units, summaries, options)
        decisions = [_decisions(merged, i) for i in numbers]
        keys = [d.key() for d in decisions]
        facts = [unit_work.known_facts(i, keys[i]) for i in numbers]
        transform = [partial(UnitWork.facts, number=i, decisions=d) for i, d in enumerate(decisions)]
        built = team.complete(facts, transform)
        if not _pin_more(summaries, [made.pinned for made in built]):
            return Decided(summaries, merged, decisions, keys, built)
        merged = None


def _merge(units: Sequence[Unit], summaries: Sequence[UnitSummary], options: Options) -> Program:
    blocking, plain, calls_opaque = redirect_lists(include_directory().parent)
    return Program(units, summaries, options, blocking, [*plain, *calls_opaque])


def _decisions(merged: Program, number: int) -> Decisions:
    compiler = ask(merged.units[number].compiler)
    return replace(
        merged.decisions(number), arguments_forward=compiler.arguments_forward, fixed_room=not compiler.clang
    )


def _pin_more(summaries: Sequence[UnitSummary], pinned: Sequence[Mapping[str, str]]) -> bool:
    """Functions that the transform could not bring into normal form change the model: decide again without them."""
    changed = False
    for summary, reasons in zip(summaries, pinned, strict=True):
        for fact in summary.functions if reasons else ():
            if fact.name in reasons and fact.pinned is None:
                fact.pinned = reasons[fact.name]
                changed = True
    return changed


def sources_digest(units: Sequence[Unit], summaries: Sequence[UnitSummary], options: Options) -> str:
    """64 hex digits: of all that a program is made of, and of this release."""
    digest = hashlib.sha256(release_digest().encode())
    names = relative_paths([u.path for u in units])
    for name, unit, summary in sorted(zip(names, units, summaries, strict=True), key=lambda p: p[0]):
        digest.update(json.dumps([name, list(unit.flags), summary.text]).encode())
    digest.update(json.dumps([options.scheme, options.placement, ABI]).encode())
    return digest.hexdigest()


def describe(units: Sequence[Unit], decided: Decided, options: Options) -> Described:
    """How a program is described, but for its names and how it is linked."""
    summaries, merged = decided.summaries, decided.merged
    result = Description(FORMAT, ABI, "", "", "", options.scheme, options.placement, [])
    result.sources = sources_digest(units, summaries, options)
    result.clones = options.clones
    _, _, calls_opaque = redirect_lists(include_directory().parent)
    flows: list[list[Flow]] = []
    frames: list[PackedFrame] = []
    redirected = set(merged.redirects).difference(calls_opaque)
    for index, (unit, summary, made) in enumerate(zip(units, summaries, decided.facts, strict=True)):
        name = merged.names[index]
        details = summary.details
        flows.append(details.flows)
        result.units.append(UnitInfo(name, unit.path, list(unit.flags), list(unit.compiler), unit.digest))
        for types in (details.types, made.types):
            for key, kind in types.items():
                if key not in result.types or not result.types[key].complete:
                    result.types[key] = kind
        for fact in summary.functions:
            key2 = (index, fact.name)
            frame = made.frames.get(fact.name)
            frames.append(frame or _NO_FRAME)
            taken = key2 in merged.address_taken
            identity = function_id(name, fact.name)
            result.functions.append(
                Function(
                    identity, name, fact.name, fact.file, fact.line, fact.static, fact.type, fact.returns, fact.body,
                    frame is not None, fact.pinned, taken, merged.entry_id(key2) if taken else None,
                    frames[-1].size, labels=fact.labels,
                )
            )  # fmt: skip
            if fact.pinned is not None:
                result.refusals.append(fact.pinned)
            for call in fact.calls:
                if call.callee is None or call.callee.startswith("__builtin"):
                    continue
                if merged.resolve(index, call.callee) is None and call.callee not in redirected:
                    result.opaque_calls.append(OpaqueCall(identity, call.callee, call.file, call.line))
            for loop in fact.loops:
                if loop.why and not loop.inner and options.placement == "default":
                    result.bounded_loops.append(Loop(identity, loop.file, loop.line, loop.why))
        symbols = _add_variables(result, index, summary, merged)
        for use in details.address_uses:
            function, _, key = use.object.rpartition(":")
            symbol = symbols.get(use.object) or (f"{function_id(name, function)}:{key}" if function else None)
            if symbol is not None:
                use.object = symbol
                result.address_uses.append(use)
        result.pointer_sources += details.pointer_sources
    for (index, _), symbol, constant in merged.constants.named():
        home = merged.names[index] if constant.static else None
        result.constants.append(
            Constant(constant.name, home, constant.function, symbol, constant.span, constant.file, constant.line)
        )
    pointers = Flows(merged, flows)
    result.shared_records, result.messages = pointers.shared_records(), pointers.messages()
    result.outside = sorted(options.outside & {
        *(f.name for f in result.functions if not f.static), *merged.external_variables, *merged.constants.external
    })  # fmt: skip
    return Described(outline(result, frames), pack_body(result, frames))


def _add_variables(result: Description, index: int, summary: UnitSummary, merged: Program) -> dict[str, str]:
    """Add the unit's variables to the description; the symbols by the names that the unit uses."""
    symbols: dict[str, str] = {}
    for fact in summary.variables:
        local = f"{fact.function}:{fact.key}" if fact.function is not None else fact.name
        if fact.static:
            if local in symbols or not fact.movable:
                continue
            symbol = merged.static_symbol(index, fact)
            unit: str | None = merged.names[index]
        elif fact.name in merged.external_variables:
            symbol, definition, home = merged.external_variables[fact.name]
            symbols[local] = symbol
            if home != index or definition is not fact:
                continue
            unit = None
        else:
            continue
        symbols[local] = symbol
        result.variables.append(
            Variable(
                fact.name, unit, fact.function, symbol, fact.type, fact.type_name, fact.size, fact.file, fact.line,
                fact.thread_local, fact.defined, fact.initial,
            )
        )  # fmt: skip
    return symbols


def prepare_units(
    units: Sequence[Unit], options: Options, pinned: Sequence[Mapping[str, str]], changed: Mapping[int, Unit],
    alone: Callable[[], bool] = lambda: True,
) -> None:  # fmt: skip
    """The cache has what :func:`build_image` will most likely ask it of the units that take the places of others.

    Args:
        units: of the last build. They need no text: the cache has all of them.
        options: of the last build.
        pinned: of each unit of the last build, the functions that turned out to be pinned, and why.
        changed: units by the places that they take.
        alone: whether no other unit of the program has changed since: then what is decided on the whole program is
            waited for, which takes no longer than the build would.

    Raises:
        UpstareError: the cache has not, or a unit cannot be built.
    """
    now = [changed.get(number, unit) for number, unit in enumerate(units)]
    with process.Scratch() as scratch:
        before, work = UnitWork(units, Path(scratch)), UnitWork(now, Path(scratch))
        summaries = _summaries(work, changed)
        outside = set(options.outside)
        old = {number: before.known_summary(number) or before.summary(number) for number in changed}
        for number, summary in old.items():
            names = _external_names(summary)
            if 2 * len(names & outside) > len(names):  # as with -rdynamic
                outside |= _external_names(summaries[number]) - names
        last_options, options = options, replace(options, outside=frozenset(outside))
        pins = _count_pinned(summaries)
        begun: Compilation | None = None
        everything: Beside[None] | None = None
        try:
            if len(changed) == 1:
                [number] = changed
                last = _last_decisions(before, last_options, number)
                guessed = guess(last, old[number], summaries[number], outside) if last is not None else None
                if guessed is not None and not _facts(work, number, guessed).pinned:
                    begun = work.begin(number, guessed)
            merged, chosen = _decide_some(work, options, summaries, changed)
            if _pin_more(summaries, [{} if number in changed else names for number, names in enumerate(pinned)]):
                merged, chosen = _decide_some(work, options, summaries, changed)
            if begun is not None and begun.key not in [decisions.key() for decisions in chosen.values()]:
                begun.stop()
                begun = None
            if _count_pinned(summaries) == pins:  # otherwise the build decides in another order, perhaps differently
                everything = Beside(partial(_keep, work, options, summaries, merged))
            for number, decisions in chosen.items():
                (begun or work.begin(number, decisions)).result()
            if everything is not None and alone():
                everything.result()
                everything = None
        finally:
            if everything is not None:
                everything.end()
            if begun is not None:
                begun.stop()


def _last_decisions(before: UnitWork, options: Options, number: int) -> Decisions | None:
    """What was decided on a unit in the last build of its program, if that is kept. (It may be in others, too.)"""
    kept = Kept(before.cache, before.units, options).keys()
    return before.known_decisions(number, kept[1][number]) if kept is not None else None


def _summaries(work: UnitWork, changed: Collection[int]) -> list[UnitSummary]:
    """Of all units. Those that the cache has are read while libclang is at work on a changed one."""
    found: list[UnitSummary | None] = [None] * len(work.units)

    def read() -> None:
        for number in range(len(found)):
            if number not in changed:
                found[number] = work.known_summary(number)

    reader = threading.Thread(target=read)
    reader.start()
    for number in changed:
        found[number] = work.known_summary(number) or work.summary(number)
    reader.join()
    return [summary or work.summary(number) for number, summary in enumerate(found)]


def _count_pinned(summaries: Sequence[UnitSummary]) -> int:
    return sum(fact.pinned is not None for summary in summaries for fact in summary.functions)


def _keep(work: UnitWork, options: Options, summaries: list[UnitSummary], merged: Program) -> None:
    """What :func:`build_image` will decide is kept."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no half of it is left
    os.nice(10)  # the compiler goes first
    with Team(work, 1) as team:
        decided = decide(work, options, summaries, team, merged)
    Kept(work.cache, work.units, options).keep(decided.keys, describe(work.units, decided, options))


def _decide_some(
    work: UnitWork, options: Options, summaries: list[UnitSummary], numbers: Collection[int]
) -> tuple[Program, dict[int, Decisions]]:
    """The summaries merged, and the decisions on these units, which are transformed with them."""
    while True:
        merged = _merge(work.units, summaries, options)
        chosen = {number: _decisions(merged, number) for number in numbers}
        found: list[Mapping[str, str]] = [{}] * len(summaries)
        for number, decisions in chosen.items():
            found[number] = _facts(work, number, decisions).pinned
        if not _pin_more(summaries, found):
            return merged, chosen


def _facts(work: UnitWork, number: int, decisions: Decisions) -> UnitFacts:
    return work.known_facts(number, decisions.key()) or work.facts(number, decisions)


def _external_names(summary: UnitSummary) -> set[str]:
    """The functions and variables that a unit defines for others."""
    objects: list[VariableFact | ConstantFact] = [*summary.variables, *summary.constants]
    variables = {v.name for v in objects if v.defined and not v.static and v.function is None}
    return {f.name for f in summary.functions if not f.static} | variables
