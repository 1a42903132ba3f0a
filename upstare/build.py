"""From the units of a program to the objects of one image: summarise, decide, transform, compile.

Each worker process keeps the parsed units that it was given, so that a unit is read by libclang once per build. What a
worker makes is cached by content: summaries by the unit, objects by the unit and the decisions about it.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from transforms.decisions import Decisions
from transforms.unit import Transformed, UnitTransform
from upstare.driver import elf
from upstare.driver.cache import Cache
from upstare.driver.compiler import ask
from upstare.driver.options import for_recompile
from upstare.driver.runtime import include_directory
from upstare.errors import UpstareError
from upstare.frontend.functions import FunctionTree, functions
from upstare.frontend.nodes import Parsed
from upstare.frontend.summary import UnitSummary, summarise
from upstare.frontend.types import TypeTable
from upstare.model.description import FORMAT, Description, Function, Loop, OpaqueCall, Type, UnitInfo, Variable
from upstare.model.program import Program, function_id, redirect_lists
from upstare.model.unit import Options, Unit
from upstare.points.keep import keep_source

ABI = 3
SHARED_NAMES = ("upstare_", "up$", "upe$", "ups$slot$")  # how the names begin that all images of a process share
DYNAMIC_LIST = "{ " + "".join(f"{name}*; " for name in SHARED_NAMES) + "};\n"

T = TypeVar("T")
Progress = Callable[[str, int, int], None]


@dataclass
class Image:
    """What :func:`build_image` made. ``objects`` by the digest of the unit."""

    objects: dict[str, Path]
    extra_objects: list[Path]
    description: Description
    dynamic_list: str = DYNAMIC_LIST


@dataclass
class _Loaded:
    parsed: Parsed
    trees: list[FunctionTree]
    types: TypeTable


# A parsed unit takes many times the memory of its text. Beyond this much text a worker reads a unit again when it
# needs it again: a program of a thousand units must not take all memory.
KEPT_BYTES = 48 << 20

_loaded: dict[str, _Loaded] = {}


def _load(unit: Unit) -> _Loaded:
    if unit.digest in _loaded:
        return _loaded[unit.digest]
    parsed = Parsed(unit.text, unit.flags)
    loaded = _Loaded(parsed, list(functions(parsed)), TypeTable())
    if sum(len(other.parsed.source.text) for other in _loaded.values()) + len(unit.text) <= KEPT_BYTES:
        _loaded[unit.digest] = loaded
    return loaded


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


def _summarise(unit: Unit, release: str) -> UnitSummary:
    cache = Cache()
    key = hashlib.sha256(f"summary {release} {unit.digest}".encode()).hexdigest()
    found = cache.get(key)
    if found is not None:
        summary: UnitSummary = pickle.loads(found.read_bytes())
        return summary
    loaded = _load(unit)
    summary = summarise(loaded.parsed, loaded.trees, loaded.types)
    cache.put(key, pickle.dumps(summary))
    return summary


@dataclass
class _Built:
    functions: dict[str, Function]
    pinned: dict[str, str]
    types: dict[str, Type]


def _key(what: str, unit: Unit, decisions: Decisions, release: str) -> str:
    return hashlib.sha256(f"{what} {release} {unit.digest} {decisions.key()}".encode()).hexdigest()


def _text(unit: Unit, decisions: Decisions, release: str, work: str) -> Path:
    """Where the transformed text of a unit is on its way to the compiler."""
    return Path(work) / f"{_key('object', unit, decisions, release)[:16]}.i"


def _transform(unit: Unit, decisions: Decisions, release: str, work: str) -> _Built:
    """What the transform finds out about a unit. Its text waits for :func:`_object`, if it is new."""
    cache = Cache()
    key = _key("facts", unit, decisions, release)
    found = cache.get(key)
    if found is not None:
        result: _Built = pickle.loads(found.read_bytes())
        return result
    loaded = _load(unit)
    transformed = _run_transform(loaded, decisions)
    _text(unit, decisions, release, work).write_bytes(transformed.text)
    result = _Built(transformed.functions, transformed.pinned, loaded.types.types)
    cache.put(key, pickle.dumps(result))
    return result


def _run_transform(loaded: _Loaded, decisions: Decisions) -> Transformed:
    result = UnitTransform(loaded.parsed, loaded.trees, loaded.types, decisions).run()
    if decisions.shared:
        result.text = _visible(result.text)
    return result


def _object(unit: Unit, decisions: Decisions, release: str, work: str) -> Path:
    """The object of a transformed unit."""
    cache = Cache()
    key = _key("object", unit, decisions, release)
    found = cache.get(key)
    if found is not None:
        return found
    source = _text(unit, decisions, release, work)
    if not source.exists():
        source.write_bytes(_run_transform(_load(unit), decisions).text)
    target = source.with_suffix(".o")
    _compile(unit, source, target, decisions)
    kept = cache.put(key, target)
    if not os.environ.get("UPSTARE_KEEP"):
        source.unlink()
    target.unlink(missing_ok=True)
    return kept


def _compile(unit: Unit, source: Path, target: Path, decisions: Decisions) -> None:
    command = [*unit.compiler, *for_recompile(unit.flags), *ask(unit.compiler).own_places]
    if decisions.scheme == "flag":
        # What is called while frames come down must not be pushed over the arguments of the call before.
        command += ask(unit.compiler).room_for_arguments
    if decisions.shared:
        command += ["-fPIC", "-fno-semantic-interposition", "-fvisibility=default"]
    command += ["-x", "cpp-output", "-c", str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[:200])
        raise UpstareError(
            f"{unit.path}: the transformed text does not compile: {first}",
            hint=f"this is a fault of UpStare; the text is {source}",
        )
    if decisions.shared:
        drop = [
            a
            for s in (".init_array", ".fini_array", ".ctors", ".dtors")
            for a in ("-R", s, "-R", f"{s}.*", "-R", f".rela{s}", "-R", f".rela{s}.*")
        ]
        subprocess.run(["objcopy", *drop, str(target)], check=True, capture_output=True)
    else:
        elf.expose(target, SHARED_NAMES)


def _visible(text: bytes) -> bytes:
    """The text of a unit of a patch, where nothing is hidden: it reaches the variables of the program by their names.

    What a patch exports is up to the linker. The program itself keeps what the user says of visibility.
    """
    text = re.sub(rb'(visibility(?:__)?[ \t\n]*\([ \t\n]*)"(?:hidden|internal|protected)"', rb'\1"default"', text)
    return re.sub(rb"(#[ \t]*pragma[ \t]+GCC[ \t]+visibility[ \t]+push[ \t]*\()[^)\n]*", rb"\1default", text)


def _kept_object(unit: Unit, objects: Sequence[Path], work: Path) -> list[Path]:
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


class _Workers:
    """One single-process pool per core; a unit always goes to the same one. Where one is enough, it is this process."""

    def __init__(self, count: int) -> None:
        self._pools = [ProcessPoolExecutor(max_workers=1) for _ in range(count)] if count > 1 else []

    def submit(self, index: int, call: Callable[..., T], *args: object) -> Future[T]:
        if self._pools:
            return self._pools[index % len(self._pools)].submit(call, *args)
        done: Future[T] = Future()
        done.set_result(call(*args))
        return done

    def close(self) -> None:
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)


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
    workers = _Workers(max(1, min(os.cpu_count() or 1, len(units))))
    try:
        futures = [workers.submit(i, _summarise, unit, release) for i, unit in enumerate(units)]
        summaries = []
        for index, future in enumerate(futures):
            summaries.append(future.result())
            report("reading", index + 1, len(units))
        blocking, plain = redirect_lists(include_directory().parent)
        while True:
            merged = Program(units, summaries, options, blocking, plain)
            decisions = [
                replace(merged.decisions(i), arguments_forward=ask(unit.compiler).arguments_forward,
                        fixed_room=not ask(unit.compiler).clang)  # fmt: skip
                for i, unit in enumerate(units)
            ]
            transformed = [
                workers.submit(i, _transform, unit, decisions[i], release, str(work)) for i, unit in enumerate(units)
            ]
            built = [future.result() for future in transformed]
            if not _pin_more(summaries, built):
                break
        compiled = [workers.submit(i, _object, unit, decisions[i], release, str(work)) for i, unit in enumerate(units)]
        objects = {}
        for index, (unit, path) in enumerate(zip(units, compiled, strict=True)):
            objects[unit.digest] = path.result()
            report("transforming", index + 1, len(units))
    finally:
        workers.close()
    sources = _sources_digest(units, summaries, merged.names, options, release)
    description = _describe(units, summaries, built, merged, options, link_args, program, version, build or sources)
    description.sources = sources
    extra = [_image_object(units[0], description, work, options)]
    extra += _kept_object(units[0], sorted(set(objects.values())), work)
    return Image(objects, extra, description)


def _pin_more(summaries: list[UnitSummary], built: list[_Built]) -> bool:
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
    units: Sequence[Unit], summaries: list[UnitSummary], built: list[_Built], merged: Program, options: Options,
    link_args: list[str], program: str, version: str, build: str,
) -> Description:  # fmt: skip
    result = Description(
        FORMAT, ABI, build, program, version, options.scheme, options.placement, link_args
    )  # fmt: skip
    redirected = set(merged.redirects)
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
