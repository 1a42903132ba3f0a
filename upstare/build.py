"""From the units of a program to the objects of one image: summarise, decide, transform, compile."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from transforms.decisions import Decisions
from upstare.driver import process
from upstare.driver.compiler import ask
from upstare.driver.elf import UNIT_NAMES
from upstare.driver.runtime import include_directory
from upstare.model.description import FORMAT, Constant, Description, Function, Loop, OpaqueCall, UnitInfo, Variable
from upstare.model.facts import ConstantFact, UnitSummary, VariableFact
from upstare.model.flows import Flows
from upstare.model.program import Program, function_id, redirect_lists, relative_paths
from upstare.model.unit import Options, Unit
from upstare.points.keep import References, keep_source
from upstare.release import release_digest
from upstare.units import UnitFacts, UnitWork, import_all
from upstare.workers import Workers

ABI = 6
DYNAMIC_LIST = "{ " + "".join(f"{name}*; " for name in UNIT_NAMES) + "};\n"  # of what is thread-local, and of patches

T = TypeVar("T")
Progress = Callable[[str, int, int], None]
_Workers = Workers[Callable[[UnitWork], Any], Any]


@dataclass
class Image:
    """What :func:`build_image` made. ``objects`` by the digest of the unit; ``describe`` is asked once."""

    objects: dict[str, Path]
    extra_objects: list[Path]
    describe: Callable[[], Description]
    dynamic_list: str = DYNAMIC_LIST

    @functools.cached_property
    def description(self) -> Description:
        """The description, which takes its time: ask for it while something else is at work."""
        return self.describe()


def _kept_object(unit: Unit, objects: Sequence[References], work: Path) -> list[Path]:
    """What the linker must be told so that it keeps everything that the notes of ``objects`` refer to."""
    text = keep_source(objects)
    if text is None:
        return []
    source, target = work / "upstare_keep.s", work / "upstare_keep.o"
    source.write_text(text)
    command = [*unit.compiler, "-Wa,-mrelax-relocations=no", "-c", str(source), "-o", str(target)]
    process.check(command, "assemble the object for the notes")
    return [target]


def build_image(
    units: Sequence[Unit],
    options: Options,
    work: Path,
    link_args: list[str],
    program: str,
    version: str,
    progress: Progress | None = None,
    build: str | None = None,
) -> Image:
    """Objects and description of one image. Raises UpstareError; nothing else is left behind but the cache.

    ``build``: the identity of the executable that the image (a patch's) stands for. That of an executable is known
    when it is linked: see ``driver/link.py``.
    """
    report = progress or _no_report
    unit_work = UnitWork(units, work)
    numbers = range(len(units))
    with _workers(unit_work, min(os.cpu_count() or 1, len(units))) as workers:
        known = [unit_work.known_summary(i) for i in numbers]
        summaries = _complete(workers, known, [partial(UnitWork.summary, number=i) for i in numbers], report, "reading")
        sources = _sources_digest(units, summaries, options)
        image_object = _ImageObject(units[0], build or sources, program, version, work, options)
        decided = _decide(unit_work, options, summaries, workers)
        made = [unit_work.known_object(i, decided.keys[i]) for i in numbers]
        again = [partial(UnitWork.object, number=i, decisions=d) for i, d in enumerate(decided.decisions)]
        objects = _complete(workers, made, again, report, "transforming")
    extra = [image_object.path()]
    extra += _kept_object(units[0], [o.references for o in objects], work)

    def describe() -> Description:
        description = _describe(units, decided, options, link_args, program, version, build or sources)
        description.sources = sources
        description.clones = options.clones
        description.outside = sorted(options.outside & {
            *(f.name for f in description.functions if not f.static), *decided.merged.external_variables,
            *decided.merged.constants.external,
        })  # fmt: skip
        return description

    return Image({u.digest: o.path for u, o in zip(units, objects, strict=True)}, extra, describe)


def prepare_units(
    units: Sequence[Unit], options: Options, pinned: Sequence[Mapping[str, str]], changed: Mapping[int, Unit]
) -> None:
    """The cache has what :func:`build_image` will most likely ask it of the units that take the places of others.

    Args:
        units: of the last build. They need no text: the cache has all of them.
        options: of the last build.
        pinned: of each unit of the last build, the functions that turned out to be pinned, and why.
        changed: units by the places that they take.

    Raises:
        UpstareError: the cache has not, or a unit cannot be built.
    """
    now = [changed.get(number, unit) for number, unit in enumerate(units)]
    with process.Scratch() as scratch:
        before, work = UnitWork(units, Path(scratch)), UnitWork(now, Path(scratch))
        summaries = [work.known_summary(number) or work.summary(number) for number in range(len(now))]
        outside = set(options.outside)
        for number in changed:
            old = _external_names(before.known_summary(number) or before.summary(number))
            if 2 * len(old & outside) > len(old):  # as with -rdynamic
                outside |= _external_names(summaries[number]) - old
        options = replace(options, outside=frozenset(outside))
        chosen = _decide_some(work, options, summaries, changed)
        if _pin_more(summaries, [{} if number in changed else names for number, names in enumerate(pinned)]):
            chosen = _decide_some(work, options, summaries, changed)
        for number, decisions in chosen.items():
            if work.known_object(number, decisions.key()) is None:
                work.object(number, decisions)


def _decide_some(
    work: UnitWork, options: Options, summaries: list[UnitSummary], numbers: Collection[int]
) -> dict[int, Decisions]:
    """The decisions on these units, which are transformed with them."""
    while True:
        merged = _merge(work.units, summaries, options)
        chosen = {number: _decisions(merged, number) for number in numbers}
        found: list[Mapping[str, str]] = [{}] * len(summaries)
        for number, decisions in chosen.items():
            found[number] = (work.known_facts(number, decisions.key()) or work.facts(number, decisions)).pinned
        if not _pin_more(summaries, found):
            return chosen


def _external_names(summary: UnitSummary) -> set[str]:
    """The functions and variables that a unit defines for others."""
    objects: list[VariableFact | ConstantFact] = [*summary.variables, *summary.constants]
    variables = {v.name for v in objects if v.defined and not v.static and v.function is None}
    return {f.name for f in summary.functions if not f.static} | variables


@contextmanager
def _workers(unit_work: UnitWork, count: int) -> Iterator[_Workers]:
    workers = _Workers(count, lambda call: call(unit_work))
    try:
        yield workers
    finally:
        workers.close()


@dataclass
class _Decided:
    """What is known of a program when all its units are transformed. Lists are by unit."""

    summaries: list[UnitSummary]
    merged: Program
    decisions: list[Decisions]
    keys: list[str]  # of the decisions
    facts: list[UnitFacts]


def _no_report(stage: str, done: int, total: int) -> None:
    pass


def _decide(unit_work: UnitWork, options: Options, summaries: list[UnitSummary], workers: _Workers) -> _Decided:
    numbers = range(len(unit_work.units))
    while True:
        merged = _merge(unit_work.units, summaries, options)
        decisions = [_decisions(merged, i) for i in numbers]
        keys = [d.key() for d in decisions]
        facts = [unit_work.known_facts(i, keys[i]) for i in numbers]
        transform = [partial(UnitWork.facts, number=i, decisions=d) for i, d in enumerate(decisions)]
        built = _complete(workers, facts, transform)
        if not _pin_more(summaries, [made.pinned for made in built]):
            return _Decided(summaries, merged, decisions, keys, built)


def _merge(units: Sequence[Unit], summaries: Sequence[UnitSummary], options: Options) -> Program:
    blocking, plain, calls_opaque = redirect_lists(include_directory().parent)
    return Program(units, summaries, options, blocking, [*plain, *calls_opaque])


def _decisions(merged: Program, number: int) -> Decisions:
    compiler = ask(merged.units[number].compiler)
    return replace(
        merged.decisions(number), arguments_forward=compiler.arguments_forward, fixed_room=not compiler.clang
    )


def _complete(
    workers: _Workers, known: list[T | None], make: Sequence[Callable[[UnitWork], T]],
    report: Progress = _no_report, stage: str = "",
) -> list[T]:  # fmt: skip
    """What is known, and what the workers made of the rest."""
    missing = [i for i, result in enumerate(known) if result is None]
    if missing:
        import_all()
    before = len(known) - len(missing)
    replies = workers.run([(i, make[i]) for i in missing], lambda n: report(stage, before + n, len(known)))
    made = dict(zip(missing, replies, strict=True))
    return [made[i] if result is None else result for i, result in enumerate(known)]


def _pin_more(summaries: Sequence[UnitSummary], pinned: Sequence[Mapping[str, str]]) -> bool:
    """Functions that the transform could not bring into normal form change the model: decide again without them."""
    changed = False
    for summary, reasons in zip(summaries, pinned, strict=True):
        for fact in summary.functions if reasons else ():
            if fact.name in reasons and fact.pinned is None:
                fact.pinned = reasons[fact.name]
                changed = True
    return changed


def _sources_digest(units: Sequence[Unit], summaries: Sequence[UnitSummary], options: Options) -> str:
    digest = hashlib.sha256(release_digest().encode())
    names = relative_paths([u.path for u in units])
    for name, unit, summary in sorted(zip(names, units, summaries, strict=True), key=lambda p: p[0]):
        digest.update(json.dumps([name, list(unit.flags), summary.text]).encode())
    digest.update(json.dumps([options.scheme, options.placement, ABI]).encode())
    return digest.hexdigest()


def _describe(
    units: Sequence[Unit], decided: _Decided, options: Options, link_args: list[str], program: str, version: str,
    build: str,
) -> Description:  # fmt: skip
    summaries, merged = decided.summaries, decided.merged
    result = Description(
        FORMAT, ABI, build, program, version, options.scheme, options.placement, link_args
    )  # fmt: skip
    _, _, calls_opaque = redirect_lists(include_directory().parent)
    redirected = set(merged.redirects).difference(calls_opaque)
    for index, (unit, summary, made) in enumerate(zip(units, summaries, decided.facts, strict=True)):
        name = merged.names[index]
        result.units.append(UnitInfo(name, unit.path, list(unit.flags), list(unit.compiler), unit.digest))
        for types in (summary.types, made.types):
            for key, kind in types.items():
                if key not in result.types or not result.types[key].complete:
                    result.types[key] = kind
        for fact in summary.functions:
            key2 = (index, fact.name)
            detail = made.functions.get(fact.name)
            taken = key2 in merged.address_taken
            identity = function_id(name, fact.name)
            result.functions.append(
                Function(
                    identity, name, fact.name, fact.file, fact.line, fact.static, fact.type, fact.returns, fact.body,
                    detail is not None, fact.pinned, taken, merged.entry_id(key2) if taken else None,
                    detail.frame_size if detail else 0, detail.slots if detail else [], detail.points if detail else [],
                    fact.labels,
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
        for use in summary.address_uses:
            function, _, key = use.object.rpartition(":")
            symbol = symbols.get(use.object) or (f"{function_id(name, function)}:{key}" if function else None)
            if symbol is not None:
                use.object = symbol
                result.address_uses.append(use)
        result.pointer_sources += summary.pointer_sources
    for (index, _), symbol, constant in merged.constants.named():
        home = merged.names[index] if constant.static else None
        result.constants.append(
            Constant(constant.name, home, constant.function, symbol, constant.span, constant.file, constant.line)
        )
    flows = Flows(merged)
    result.shared_records, result.messages = flows.shared_records(), flows.messages()
    return result


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


class _ImageObject:
    """The object that says what the image is (``upstare_image_self``), on its way."""

    def __init__(self, unit: Unit, build: str, program: str, version: str, work: Path, options: Options) -> None:
        source, self._target = work / "upstare_image.c", work / "upstare_image.o"
        digest = ",".join(f"0x{b:02x}" for b in bytes.fromhex(build))
        scheme, apart = 0 if options.scheme == "trap" else 1, int(not options.clones)
        source.write_text(
            '#include "upstare_abi.h"\n__attribute__((visibility("hidden")))\n'
            "const struct upstare_image_info upstare_image_self = {\n"
            f"  {ABI}, {scheme}, {{{digest}}}, {json.dumps(program)}, {json.dumps(version)}, {apart} }};\n"
        )
        words = ["-O2", "-fPIC", "-w", f"-I{include_directory()}", "-c", str(source), "-o", str(self._target)]
        self._compiler = process.start([*unit.compiler, *words], capture=True, capture_errors=True)

    def path(self) -> Path:
        """Where it is, when it is there."""
        process.finish(self._compiler, self._compiler.wait_or_end(), "compile the image's own object")
        return self._target
