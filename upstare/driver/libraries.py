"""Shared libraries of a program's own, and how they become part of an updateable program.

A program that is linked with such a library (see :mod:`upstare.driver.library`) has it *opaque*, as any other, or
*versioned*: then its units are transformed with those of the program, as if its objects had been named in its place,
and the file is not loaded any more. What a dynamic linker does and a static one does not is done here (the order of
constructors, what stays hidden), or is a reason to refuse.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from upstare.driver import elf, process
from upstare.driver.inputs import Input, Part
from upstare.driver.library import Library, Record, needed_name
from upstare.errors import NotUpdatable

if TYPE_CHECKING:
    from upstare.model.description import Library as Described

VARIABLE = "UPSTARE_LIBRARIES"
VERSIONED, OPAQUE = "versioned", "opaque"

# The compiler gives 101 and more to constructors of the user, and no number to most.
_PRIORITIES = range(1, 101)
_NO_PRIORITY = 1 << 16
_ARRAY = re.compile(r"\.(init|fini)_array(?:\.(\d+))?$")


def _chosen() -> set[str] | None:
    """The names of the libraries that are to be versioned; None for all that can be."""
    choice = os.environ.get(VARIABLE) or OPAQUE
    return None if choice == VERSIONED else {name for name in choice.split(",") if name and choice != OPAQUE}


class Libraries:
    """The shared libraries that a program is linked with, and which of them it takes in.

    Args:
        output: the program, for messages.
        needed: the names of the libraries that the plain link gave it.
        files: what is on its command line.
        directories: of -L.

    Raises:
        NotUpdatable: a library that is to be versioned cannot be.
    """

    def __init__(self, output: Path, needed: Sequence[str], files: Sequence[Input], directories: Sequence[str]) -> None:
        self.output = output
        self.directories = directories
        self.needed = needed
        shared = [f for f in files if f.kind == "shared"]
        self._known: dict[str, Library] = {}
        self.of_input: dict[int, Library] = {}
        for file in shared:
            name = needed_name(elf.read(file.path), file)
            self.of_input[id(file)] = self._known.setdefault(name, self._library(name, file.path))
        self.taken: list[Library] = []  # in the order in which their constructors run
        self.opaque: list[str] = []
        self._visited: set[str] = set()
        for name in reversed(needed):
            self._visit(name, self._known.get(name))
        self._verify_alone()
        self._warn_of_unknown()

    def _library(self, name: str, path: Path) -> Library:
        file = elf.read(path)
        section = file.section(elf.SECTION_LIBRARY)
        return Library(name, path, file, Record.decode(section, str(path)) if section is not None else None)

    def _visit(self, name: str, library: Library | None) -> None:
        """The library is taken in, or opaque; so is what one that is taken in needs."""
        if name in self._visited:  # or on the way: libraries may need one another
            return
        self._visited.add(name)
        if library is None or not self._wanted(library):
            self.opaque.append(name)
            return
        self._verify(library)
        assert library.record is not None
        for other in reversed(library.needed):
            path = library.record.needed.get(other)
            if other not in self._known and path is not None and os.path.isfile(path):
                self._known[other] = self._library(other, Path(path))
            self._visit(other, self._known.get(other))
            if self._known.get(other) in self.taken:
                library.libraries.append(self._known[other])
        self.taken.append(library)

    def _wanted(self, library: Library) -> bool:
        chosen = _chosen()
        return bool(library.units) if chosen is None else not library.known_as.isdisjoint(chosen)

    def _warn_of_unknown(self) -> None:
        """Say which libraries are chosen by name, but are none of the program's."""
        known = set().union(*(library.known_as for library in self._known.values()))
        for name in sorted((_chosen() or set()) - known):
            print(f"upstare: warning: {self.output} is not linked with {name} ({VARIABLE})", file=sys.stderr)

    def _verify(self, library: Library) -> None:
        """Raises NotUpdatable for a library that cannot be taken apart."""
        reason = library.record.obstacle if library.record is not None else "it was not linked by upstare cc"
        if not library.units:
            reason = "it was not built by upstare cc"
        if reason is not None:
            raise self._refusal(library, reason)

    def _refusal(self, library: Library, reason: str) -> NotUpdatable:
        return NotUpdatable(
            f"{library.path} cannot be versioned with {self.output}: {reason}",
            hint=f"mend that, or leave it opaque ({VARIABLE} names those that are to be versioned, or says {OPAQUE})",
        )

    def _verify_alone(self) -> None:
        """Raises NotUpdatable where an opaque library would load one that is taken in: there would be two of it."""
        taken = {library.name: library for library in self.taken}
        work = [self._known[name] for name in self.opaque if name in self._known]
        seen = {library.name for library in work}
        for library in work:
            for name in library.needed:
                if name in taken:
                    reason = f"{library.path} is opaque and needs it, so there would be two of it"
                    raise self._refusal(taken[name], reason)
                path = self._find(name, library) if name not in seen else None
                if path is not None:
                    seen.add(name)
                    work.append(self._library(name, path))

    def _find(self, name: str, user: Library) -> Path | None:
        if name in self._known:
            return self._known[name].path
        places = [user.path.parent / name, *(Path(d, name) for d in self.directories)]
        if user.record is not None and name in user.record.needed:
            places.insert(0, Path(user.record.needed[name]))
        return next((p for p in places if p.is_file()), None)

    # ---- units -------------------------------------------------------------------------------------------------------

    @property
    def exported(self) -> set[str]:
        """What the libraries that are taken in let others see: so does the program in their place."""
        return set().union(*(library.exported for library in self.taken))

    def verify_units(self, others: Iterable[str], paths: Mapping[str, str]) -> None:
        """Raises NotUpdatable for a unit that is in two of them: the program (``others``) and the libraries.

        ``paths`` are those of the units, by digest.
        """
        owner = dict.fromkeys(others, str(self.output))
        for library in self.taken:
            for digest in set(library.digests):
                if digest in owner:
                    raise self._refusal(library, f"{paths[digest]} is in it and in {owner[digest]}")
                owner[digest] = str(library.path)

    def prepare(self, objects: dict[str, Path], opaque: Sequence[Part], work: Path) -> None:
        """The transformed objects of the libraries become what a static linker makes the same program of.

        Raises:
            NotUpdatable: the names of the library and of the rest of the program would meet.
        """
        if not self.taken:
            return
        names = {digest: _Names.of(elf.read(path).symbols()) for digest, path in objects.items()}
        self._verify_names(names, [_Names.of(iter(part.symbols())) for part in opaque])
        arrays = self._arrays(objects)
        for library in self.taken:
            for digest in library.digests:
                copy = work / f"library-{digest[:16]}.o"
                words = [w for old, new in arrays[digest].items() for w in ("--rename-section", f"{old}={new}")]
                process.check(["objcopy", *words, str(objects[digest]), str(copy)], f"prepare a unit of {library.path}")
                elf.hide(copy, names[digest].defined - library.exported)
                objects[digest] = copy

    def _verify_names(self, names: Mapping[str, _Names], opaque: Sequence[_Names]) -> None:
        earlier: set[str] = set()  # of opaque libraries in front of it
        before = {}
        for found in self.of_input.values():
            before[found.name] = set(earlier)
            earlier |= found.exported if found not in self.taken else set()
        for library in self.taken:
            own = set(library.digests)
            inside = set().union(*(names[d].defined for d in own))
            outside = _Names.join([*(n for d, n in names.items() if d not in own), *opaque])
            if versions := sorted(n for n in inside if "@" in n):
                raise self._refusal(library, f"it has symbol versions ({versions[0]})")
            public = inside & library.exported
            for name in sorted(public & (outside.defined | before.get(library.name, set()))):
                raise self._refusal(library, f"it defines {name}, and so does another part of the program")
            for name in sorted((inside - public) & (outside.defined | outside.wanted)):
                raise self._refusal(library, f"its {name} is private, and the program has or wants another one")

    def _arrays(self, objects: Mapping[str, Path]) -> dict[str, dict[str, str]]:
        """New names, by the digest of the unit, for the sections that list constructors and destructors.

        A dynamic linker runs those of a library before those of the program, and of the library that others need first.
        """
        found = {
            digest: [(number, m) for s in elf.read(objects[digest]).sections if (m := _ARRAY.match(s.name))]
            for number, library in enumerate(self.taken)
            for digest in library.digests
        }
        places = sorted({(number, int(m[2] or _NO_PRIORITY)) for rows in found.values() for number, m in rows})
        if len(places) > len(_PRIORITIES):
            raise NotUpdatable(f"the versioned libraries of {self.output} have constructors of too many priorities")
        priority = dict(zip(places, _PRIORITIES, strict=False))
        return {
            digest: {m[0]: f".{m[1]}_array.{priority[number, int(m[2] or _NO_PRIORITY)]:05}" for number, m in rows}
            for digest, rows in found.items()
        }

    def list_names(self, compiler: Sequence[str], work: Path) -> list[Path]:
        """The object by which the runtime knows what the libraries that are taken in are called (``plugins.c``)."""
        if not self.taken:
            return []
        names = sorted({name for library in self.taken for name in (os.path.basename(library.name), library.path.name)})
        listed = "".join(f"{json.dumps(name)}, " for name in names)
        target = work / "upstare_libraries.o"
        text = f"extern const char *const upstare_libraries[]; const char *const upstare_libraries[] = {{{listed}0}};\n"
        words = [*compiler, "-fPIC", "-fno-lto", "-w", "-x", "c", "-c", "-", "-o", str(target)]
        process.check(words, "list the versioned libraries", feed=text.encode(errors="surrogateescape"))
        return [target]

    # ---- the second link ---------------------------------------------------------------------------------------------

    def at(self, file: Input) -> Library | None:
        """The library that is taken in at the place of this file."""
        library = self.of_input.get(id(file))
        return library if library in self.taken else None

    def arguments(self, library: Library) -> list[str]:
        """The arguments that bring what a library that is taken in needs besides, and where it is when it is loaded."""
        assert library.record is not None
        words: list[str] = []
        for name in library.needed:
            if name in self.needed or name.startswith("ld-linux"):
                continue
            if self._known.get(name) not in self.taken:
                directory, file = os.path.split(library.record.needed.get(name, name))
                words += [*([f"-L{directory}"] if directory else []), f"-l:{file}"]
        for other in library.libraries:
            words += self.arguments(other)
        if words:
            words = ["-Wl,--push-state,--no-as-needed", *words, "-Wl,--pop-state"]
            words += [f"-Wl,-rpath,{d}" for d in self._run_path(library)]
        return [*(f"-L{d}" for d in library.record.directories if words), *words]

    def _run_path(self, library: Library) -> Iterator[str]:
        for entry in ":".join(library.file.dynamic(elf.DT_RPATH, elf.DT_RUNPATH)).split(":"):
            if "$" in entry:
                reason = f"it finds what it needs by {entry}, which means something else in the program"
                raise self._refusal(library, reason + "; link the program with what it needs, too")
            if entry:
                yield entry

    def describe(self) -> list[Described]:
        """All of them for the version description."""
        from upstare.model.description import Library as Described

        taken = [library.describe(versioned=True) for library in reversed(self.taken)]
        known = [(name, self._known.get(name)) for name in reversed(self.opaque)]
        return taken + [k.describe(versioned=False) if k is not None else Described(n, False) for n, k in known]


@dataclass
class _Names:
    """Names as the user knows them that objects define, and that they want from elsewhere."""

    defined: set[str]
    wanted: set[str]

    @classmethod
    def of(cls, symbols: Iterator[elf.Symbol]) -> _Names:
        result = cls(set(), set())
        for symbol in symbols:
            name = _plain(symbol.name)
            if not symbol.local and name is not None:
                (result.defined if symbol.defined else result.wanted).add(name)
        return result

    @classmethod
    def join(cls, parts: Sequence[_Names]) -> _Names:
        return cls(set().union(*(p.defined for p in parts)), set().union(*(p.wanted for p in parts)))


def _plain(symbol: str) -> str | None:
    """What the user calls a symbol of a transformed object; None for one that no other unit can mean.

    An external variable is up$HASH$NAME there, and a function whose address is used upe$NAME.
    """
    match symbol.split("$"):
        case ["up", _, name] | ["upe", name]:
            return name
    return None if symbol.startswith(elf.SHARED_NAMES) else symbol
