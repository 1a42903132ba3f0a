"""What is done with single units of a program: read, summarise, transform, compile once more.

Results are kept in the cache by content: summaries by the unit, facts and objects by the unit and the decisions about
it. A process keeps the units that it has read, so that libclang reads each once in a build. The front end and the
transform are imported when there is something to do for them: a link in which nothing changed goes without.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from upstare.driver import elf, process
from upstare.driver.cache import Cache
from upstare.driver.compiler import ask
from upstare.driver.embed import unit_digest
from upstare.driver.options import for_recompile
from upstare.errors import UpstareError
from upstare.points.keep import References, references
from upstare.release import release_digest
from upstare.workers import Workers

if TYPE_CHECKING:
    from transforms.decisions import Decisions
    from transforms.unit import Transformed
    from upstare.frontend.functions import FunctionTree
    from upstare.frontend.nodes import Parsed
    from upstare.frontend.types import TypeTable
    from upstare.model.description import PackedFrame, Type
    from upstare.model.facts import UnitSummary
    from upstare.model.unit import Unit


T = TypeVar("T")
Progress = Callable[[str, int, int], None]


@dataclass
class _Loaded:
    parsed: Parsed
    trees: list[FunctionTree]
    summarised: dict[str, Type] = field(default_factory=dict)  # the types that its summary has, if it was made here

    def new_types(self) -> TypeTable:
        """For one transform: what others have asked for makes no difference to it."""
        from upstare.frontend.types import TypeTable

        table = TypeTable(self.parsed.source)
        table.types.update(self.summarised)
        return table


# A parsed unit takes many times the memory of its text. Beyond this much text a worker reads a unit again when it
# needs it again: a program of a thousand units must not take all memory.
KEPT_BYTES = 48 << 20

_loaded: dict[str, _Loaded] = {}


def _load(unit: Unit) -> _Loaded:
    from upstare.frontend.ahead import parsed as parsed_unit
    from upstare.frontend.functions import functions

    if unit.digest in _loaded:
        return _loaded[unit.digest]
    if unit_digest(unit.flags, unit.compiler, unit.text) != unit.digest:
        raise UpstareError(f"the text of {unit.path} is not here")
    parsed = parsed_unit(unit.digest, unit.text, unit.flags)
    loaded = _Loaded(parsed, list(functions(parsed)))
    if sum(len(other.parsed.source.text) for other in _loaded.values()) + len(unit.text) <= KEPT_BYTES:
        _loaded[unit.digest] = loaded
    return loaded


@dataclass
class UnitFacts:
    """What the transform found out about a unit: frames by function, the reasons for those that it pinned, types that
    the summary does not have."""

    frames: dict[str, PackedFrame]
    pinned: dict[str, str]
    types: dict[str, Type]


@dataclass
class UnitObject:
    """The object of a transformed unit, and what its notes refer to."""

    path: Path
    references: References


def import_all() -> None:
    """Everything that work on a unit needs is imported: before processes are forked that all need it."""
    import transforms.unit  # noqa: F401
    import upstare.frontend.summary  # noqa: F401
    from upstare.frontend.native import library

    library()


class UnitWork:
    """The work on the units of one build.

    Args:
        units: all of them; below they are numbers.
        work: a directory for what is on its way to the compiler.
    """

    def __init__(self, units: Sequence[Unit], work: Path) -> None:
        self.units = units
        self.work = work
        self.cache = Cache()

    # ---- what the cache has ------------------------------------------------------------------------------------------

    def known_summary(self, number: int) -> UnitSummary | None:
        """The summary of a unit, if it was made before."""
        found = self.cache.read(self._key("summary", number))
        summary: UnitSummary | None = pickle.loads(found) if found is not None else None
        return summary

    def known_facts(self, number: int, decisions: str) -> UnitFacts | None:
        """The facts about a unit with these decisions (:meth:`Decisions.key`), if it was transformed before."""
        found = self.cache.read(self._key("facts", number, decisions))
        facts: UnitFacts | None = pickle.loads(found) if found is not None else None
        return facts

    def known_object(self, number: int, decisions: str) -> UnitObject | None:
        """The object of a unit, if it was made before."""
        path = self.cache.get(self._object_key("object", number, decisions))
        refers = self.cache.read(self._object_key("references", number, decisions))
        return UnitObject(path, pickle.loads(refers)) if path is not None and refers is not None else None

    def known_decisions(self, number: int, key: str) -> Decisions | None:
        """The decisions with this key, if a unit was transformed with them."""
        found = self.cache.read(self._key("decisions", number, key))
        decisions: Decisions | None = pickle.loads(found) if found is not None else None
        return decisions

    def known_code(self, number: int, decisions: str) -> Path | None:
        """The object of a unit, if it was made before, whatever is known of its references."""
        return self.cache.get(self._object_key("object", number, decisions))

    def _object_key(self, what: str, number: int, decisions: str) -> str:
        """The key of what depends on the version of the compiler, too."""
        return self._key(f"{what} {ask(self.units[number].compiler).identity}", number, decisions)

    def _key(self, what: str, number: int, decisions: str = "") -> str:
        text = f"{what} {release_digest()} {self.units[number].digest} {decisions}"
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()

    # ---- what makes it ---------------------------------------------------------------------------------------------

    def summary(self, number: int) -> UnitSummary:
        """Make the summary of a unit."""
        from upstare.frontend.summary import summarise

        loaded = _load(self.units[number])
        table = loaded.new_types()
        summary = summarise(loaded.parsed, loaded.trees, table)
        loaded.summarised = table.types
        self.cache.put(self._key("summary", number), pickle.dumps(summary))
        return summary

    def facts(self, number: int, decisions: Decisions) -> UnitFacts:
        """Transform a unit. Its text waits for :meth:`object`."""
        loaded = _load(self.units[number])
        table = loaded.new_types()
        transformed = _run_transform(loaded, decisions, table)
        self._text(number, decisions).write_bytes(transformed.text)
        types = {key: kind for key, kind in table.types.items() if loaded.summarised.get(key) is not kind}
        result = UnitFacts(transformed.frames, transformed.pinned, types)
        self.cache.put(self._key("facts", number, decisions.key()), pickle.dumps(result))
        self.cache.put(self._key("decisions", number, decisions.key()), pickle.dumps(decisions))
        return result

    def object(self, number: int, decisions: Decisions) -> UnitObject:
        """Compile a transformed unit."""
        return self.begin(number, decisions).result()

    def begin(self, number: int, decisions: Decisions) -> Compilation:
        """Begin to compile a transformed unit, if its object is not known."""
        return Compilation(self, number, decisions)

    def _text(self, number: int, decisions: Decisions) -> Path:
        """Where the transformed text of a unit is on its way to the compiler."""
        return self.work / f"{self._key('object', number, decisions.key())[:16]}.i"

    def transformed(self, number: int, decisions: Decisions) -> Path:
        """The transformed text of a unit."""
        source = self._text(number, decisions)
        if not source.exists():
            loaded = _load(self.units[number])
            source.write_bytes(_run_transform(loaded, decisions, loaded.new_types()).text)
        return source

    def keep_code(self, number: int, decisions: str, code: Path) -> Path:
        """The object of a unit, which was just made, is known from now on; where it is kept."""
        return self.cache.put(self._object_key("object", number, decisions), code)

    def refer(self, number: int, decisions: str, code: Path) -> UnitObject:
        """The object of a unit, of which all is known from now on."""
        refers = references(code)
        self.cache.put(self._object_key("references", number, decisions), pickle.dumps(refers))
        return UnitObject(code, refers)


class Compilation:
    """The compiler at work on a unit that was transformed with these decisions."""

    def __init__(self, work: UnitWork, number: int, decisions: Decisions) -> None:
        self.key = decisions.key()
        self._work, self._number, self._decisions = work, number, decisions
        self._compiler: process.Child | None = None
        self._known = work.known_code(number, self.key)
        if self._known is None:
            self._source = work.transformed(number, decisions)
            self._target = self._source.with_suffix(".o")
            self._compiler = _start_compiler(work.units[number], self._source, self._target, decisions)

    def result(self) -> UnitObject:
        """The object, which is kept. Raises UpstareError if the compiler fails."""
        work, number = self._work, self._number
        if self._compiler is not None:
            compiler, self._compiler = self._compiler, None
            _finish_compiler(compiler, work.units[number], self._source, self._target, self._decisions)
            self._known = work.keep_code(number, self.key, self._target)
            if not os.environ.get("UPSTARE_KEEP"):
                self._source.unlink()
            self._target.unlink(missing_ok=True)
        assert self._known is not None
        return work.refer(number, self.key, self._known)

    def stop(self) -> None:
        """Nobody wants the object any more."""
        if self._compiler is not None:
            self._compiler.end()
            self._compiler = None


class Team:
    """Processes that do work on units; where there is little to do it is this one."""

    def __init__(self, work: UnitWork, count: int) -> None:
        self._workers = Workers[Callable[[UnitWork], Any], Any](count, lambda call: call(work))

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.close()

    def complete(
        self, known: list[T | None], make: Sequence[Callable[[UnitWork], T]], report: Progress | None = None,
        stage: str = "",
    ) -> list[T]:  # fmt: skip
        """What is known, and what the team made of the rest. ``report`` is told the stage and how many are done."""
        missing = [i for i, result in enumerate(known) if result is None]
        if missing:
            import_all()
        before = len(known) - len(missing)

        def done(count: int) -> None:
            if report is not None:
                report(stage, before + count, len(known))

        made = dict(zip(missing, self._workers.run([(i, make[i]) for i in missing], done), strict=True))
        return [made[i] if result is None else result for i, result in enumerate(known)]


def _run_transform(loaded: _Loaded, decisions: Decisions, types: TypeTable) -> Transformed:
    from transforms.unit import UnitTransform

    result = UnitTransform(loaded.parsed, loaded.trees, types, decisions).run()
    if decisions.shared:
        result.text = _visible(result.text)
    return result


def _start_compiler(unit: Unit, source: Path, target: Path, decisions: Decisions) -> process.Child:
    command = [*unit.compiler, *for_recompile(unit.flags), *ask(unit.compiler).own_places]
    if decisions.scheme == "flag":
        # What is called while frames come down must not be pushed over the arguments of the call before.
        command += ask(unit.compiler).room_for_arguments
    if decisions.shared:
        command += ["-fPIC", "-fno-semantic-interposition", "-fvisibility=default"]
    command += ["-pipe", "-x", "cpp-output", "-c", str(source), "-o", str(target)]
    return process.start(command, capture_errors=True)


def _finish_compiler(compiler: process.Child, unit: Unit, source: Path, target: Path, decisions: Decisions) -> None:
    code = compiler.wait_or_end()
    assert compiler.errors is not None
    said = compiler.errors.take().decode(errors="replace")
    if code != 0:
        first = next((line for line in said.splitlines() if "error" in line), said.strip()[:200])
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
        process.check(["objcopy", *drop, str(target)], f"leave the constructors of {unit.path} out")
    else:
        elf.share(target)


def _visible(text: bytes) -> bytes:
    """The text of a unit of a patch, where nothing is hidden: it reaches the variables of the program by their names.

    What a patch exports is up to the linker. The program itself keeps what the user says of visibility.
    """
    text = re.sub(rb'(visibility(?:__)?[ \t\n]*\([ \t\n]*)"(?:hidden|internal|protected)"', rb'\1"default"', text)
    return re.sub(rb"(#[ \t]*pragma[ \t]+GCC[ \t]+visibility[ \t]+push[ \t]*\()[^)\n]*", rb"\1default", text)
