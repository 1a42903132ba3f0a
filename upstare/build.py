"""From the units of a program to the objects of one image: summarise, decide, transform, compile."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from upstare.driver.compiler import ask
from upstare.driver.elf import SHARED_NAMES
from upstare.driver.runtime import JUMPS, include_directory
from upstare.errors import UpstareError
from upstare.model.description import FORMAT, Description, Function, Loop, OpaqueCall, UnitInfo, Variable
from upstare.model.facts import UnitSummary
from upstare.model.flows import Flows
from upstare.model.program import Program, function_id, redirect_lists
from upstare.model.unit import Options, Unit
from upstare.points.keep import References, keep_source
from upstare.units import UnitFacts, UnitWork, import_all
from upstare.workers import Workers

ABI = 4
DYNAMIC_LIST = "{ " + "".join(f"{name}; " for name in [*(f"{n}*" for n in SHARED_NAMES), *JUMPS]) + "};\n"

T = TypeVar("T")
Progress = Callable[[str, int, int], None]
_Workers = Workers[Callable[[UnitWork], Any], Any]


@dataclass
class Image:
    """What :func:`build_image` made. ``objects`` by the digest of the unit."""

    objects: dict[str, Path]
    extra_objects: list[Path]
    description: Description
    dynamic_list: str = DYNAMIC_LIST


def _source_digest() -> str:
    """Digest of the program code that makes summaries and objects: a new release does not use old results."""
    import transforms
    import upstare

    digest = hashlib.sha256()
    for package in (transforms, upstare):
        assert package.__file__ is not None
        for path in sorted(Path(package.__file__).parent.rglob("*")):
            if path.suffix in (".py", ".c"):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _kept_object(unit: Unit, objects: Sequence[References], work: Path) -> list[Path]:
    """What the linker must be told so that it keeps everything that the notes of ``objects`` refer to."""
    text = keep_source(objects)
    if text is None:
        return []
    source, target = work / "upstare_keep.s", work / "upstare_keep.o"
    source.write_text(text)
    command = [*unit.compiler, "-Wa,-mrelax-relocations=no", "-c", str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise UpstareError(f"the object for the notes does not assemble: {done.stderr.strip()[:300]}")
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
    report = progress or (lambda stage, done, total: None)
    release = _source_digest()
    unit_work = UnitWork(units, release, work)
    numbers = range(len(units))
    workers = _Workers(min(os.cpu_count() or 1, len(units)), lambda call: call(unit_work))
    try:
        known = [unit_work.known_summary(i) for i in numbers]
        summaries = _complete(workers, known, [partial(UnitWork.summary, number=i) for i in numbers], report, "reading")
        blocking, plain, calls_opaque = redirect_lists(include_directory().parent)
        while True:
            merged = Program(units, summaries, options, blocking, [*plain, *calls_opaque])
            decisions = [
                replace(merged.decisions(i), arguments_forward=ask(unit.compiler).arguments_forward,
                        fixed_room=not ask(unit.compiler).clang)  # fmt: skip
                for i, unit in enumerate(units)
            ]
            keys = [d.key() for d in decisions]
            facts = [unit_work.known_facts(i, keys[i]) for i in numbers]
            transform = [partial(UnitWork.facts, number=i, decisions=d) for i, d in enumerate(decisions)]
            built = _complete(workers, facts, transform)
            if not _pin_more(summaries, built):
                break
        made = [unit_work.known_object(i, keys[i]) for i in numbers]
        again = [partial(UnitWork.object, number=i, decisions=d) for i, d in enumerate(decisions)]
        objects = _complete(workers, made, again, report, "transforming")
    finally:
        workers.close()
    sources = _sources_digest(units, summaries, merged.names, options, release)
    description = _describe(
        units, summaries, built, merged, options, link_args, program, version, build or sources, calls_opaque
    )
    description.sources = sources
    description.outside = sorted(options.outside & {
        *(f.name for f in description.functions if not f.static), *merged.external_variables
    })  # fmt: skip
    extra = [_image_object(units[0], description, work, options)]
    extra += _kept_object(units[0], [o.references for o in objects], work)
    return Image({u.digest: o.path for u, o in zip(units, objects, strict=True)}, extra, description)


def _complete(
    workers: _Workers, known: list[T | None], make: Sequence[Callable[[UnitWork], T]],
    report: Progress = lambda stage, done, total: None, stage: str = "",
) -> list[T]:  # fmt: skip
    """What is known, and what the workers made of the rest."""
    missing = [i for i, result in enumerate(known) if result is None]
    if missing:
        import_all()
    before = len(known) - len(missing)
    replies = workers.run([(i, make[i]) for i in missing], lambda n: report(stage, before + n, len(known)))
    made = dict(zip(missing, replies, strict=True))
    return [made[i] if result is None else result for i, result in enumerate(known)]


def _pin_more(summaries: list[UnitSummary], built: list[UnitFacts]) -> bool:
    """Functions that the transform could not bring into normal form change the model: decide again without them."""
    changed = False
    for summary, result in zip(summaries, built, strict=True):
        for fact in summary.functions:
            if fact.name in result.pinned and fact.pinned is None:
                fact.pinned = result.pinned[fact.name]
                changed = True
    return changed


def _sources_digest(
    units: Sequence[Unit], summaries: Sequence[UnitSummary], names: list[str], options: Options, release: str
) -> str:
    digest = hashlib.sha256(release.encode())
    for name, unit, summary in sorted(zip(names, units, summaries, strict=True), key=lambda p: p[0]):
        digest.update(json.dumps([name, list(unit.flags), summary.text]).encode())
    digest.update(json.dumps([options.scheme, options.placement, ABI]).encode())
    return digest.hexdigest()


def _describe(
    units: Sequence[Unit], summaries: list[UnitSummary], built: list[UnitFacts], merged: Program, options: Options,
    link_args: list[str], program: str, version: str, build: str, calls_opaque: Sequence[str],
) -> Description:  # fmt: skip
    result = Description(
        FORMAT, ABI, build, program, version, options.scheme, options.placement, link_args
    )  # fmt: skip
    redirected = set(merged.redirects).difference(calls_opaque)
    for index, (unit, summary, made) in enumerate(zip(units, summaries, built, strict=True)):
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


def _image_object(unit: Unit, description: Description, work: Path, options: Options) -> Path:
    """The object that says what the image is (``upstare_image_self``)."""
    source, target = work / "upstare_image.c", work / "upstare_image.o"
    digest = ",".join(f"0x{b:02x}" for b in bytes.fromhex(description.build))
    scheme = 0 if options.scheme == "trap" else 1
    source.write_text(
        '#include "upstare_abi.h"\n__attribute__((visibility("hidden")))\n'
        "const struct upstare_image_info upstare_image_self = {\n"
        f"  {ABI}, {scheme}, {{{digest}}}, {json.dumps(description.program)}, {json.dumps(description.version)} }};\n"
    )
    command = [*unit.compiler, "-O2", "-fPIC", "-w", f"-I{include_directory()}", "-c", str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise UpstareError(f"the image's own object does not compile: {done.stderr.strip()[:300]}")
    return target
