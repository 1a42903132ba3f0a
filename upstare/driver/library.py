"""A shared library that ``upstare cc`` links: its units, and what it says of itself.

The units stay in it (``.upstare.unit``). Beside them, in ``.upstare.library`` (JSON, not loaded), it says where the
linker found what it needs, and why it cannot be taken apart if so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from upstare.driver import args, elf, embed, inputs
from upstare.driver.args import Command
from upstare.driver.inputs import Input, Part
from upstare.driver.sections import add_sections
from upstare.errors import NotUpdatable, UpstareError

if TYPE_CHECKING:
    from upstare.driver.elf import Elf
    from upstare.model.description import Library as Described

# Options of the linker after which a library is more than its objects, one after the other.
_MORE_THAN_OBJECTS = (
    "--wrap", "--defsym", "-T", "--script", "-init", "-fini", "-e", "--entry", "-R", "--just-symbols", "-F", "--filter",
    "-f", "--auxiliary", "-nostartfiles", "-nostdlib", "initfirst", "interpose",
)  # fmt: skip


@dataclass(eq=False)
class Library:
    """A shared library on its way into a program.

    Attributes:
        name: by which programs load it.
        path: the file.
        file: its contents.
        record: what it says of itself; None if it was not linked by ``upstare cc``.
        libraries: those of the program's own that it needs and that are taken into the program, too.
    """

    name: str
    path: Path
    file: Elf
    record: Record | None
    libraries: list[Library] = field(default_factory=list)

    @property
    def units(self) -> bytes:
        """The records of its units."""
        return self.file.section(elf.SECTION_UNIT) or b""

    @property
    def digests(self) -> list[str]:
        """The digests of its units."""
        return embed.digests(self.units, str(self.path))

    @property
    def exported(self) -> set[str]:
        """The functions and variables that others see."""
        return {s.name for s in self.file.symbols(".dynsym") if s.defined and not s.local}

    @property
    def needed(self) -> list[str]:
        """The names of the libraries that it is linked with."""
        return self.file.dynamic(elf.DT_NEEDED)

    @property
    def known_as(self) -> set[str]:
        """What a person may call it: as the linker does, by its file's name, or by the name that programs know."""
        names = {self.name, self.path.name}
        return names | {n[3:].partition(".so")[0] for n in names if n.startswith("lib")}

    def family(self) -> Iterator[Library]:
        """The library and those that it brings into the program."""
        yield self
        for other in self.libraries:
            yield from other.family()

    def describe(self, versioned: bool) -> Described:
        """What the version description says of it."""
        from upstare.model.description import Library as Described

        units = len(self.digests)
        return Described(self.name, versioned, units, elf.code_digest(self.file) if units and not versioned else "")


@dataclass
class Record:
    """What a library that ``upstare cc`` linked says of itself.

    Attributes:
        needed: files by the names under which it needs them.
        directories: where its linker looked for libraries.
        obstacle: why it cannot be taken apart, or None.
    """

    needed: dict[str, str]
    directories: list[str]
    obstacle: str | None

    def encode(self) -> bytes:
        """The contents of the section."""
        return json.dumps(vars(self), sort_keys=True).encode()

    @classmethod
    def decode(cls, data: bytes, name: str) -> Record:
        """What :meth:`encode` wrote. Raises UpstareError if it is something else; ``name`` is that of the file."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError) as error:
            raise UpstareError(f"what {name} says of itself is damaged: {error}") from error


def describe_library(command: Command, compiler: Sequence[str], output: Path) -> None:
    """A shared library that was just linked holds all of its units and its record; one without units stays as it is."""
    with output.open("rb") as file:
        start = file.read(5)
    if not elf.is_elf(start) or start[4] != elf.CLASS_64:
        return  # nothing that a program could take in
    library = elf.read(output)
    units = embed.records_of_sources(command, compiler)
    present = library.section(elf.SECTION_UNIT) or b""
    if not present and not units:
        return
    found: list[Input] = []
    try:
        found = inputs.collect(command, compiler)
        obstacle = _obstacle(command, inputs.opaque_parts(found, library))
    except NotUpdatable as error:
        obstacle = str(error)
    shared = {needed_name(elf.read(f.path), f): str(f.path.absolute()) for f in found if f.kind == "shared"}
    directories = [os.path.abspath(d) for d in inputs.search_directories(command)]
    record = Record({n: shared[n] for n in library.dynamic(elf.DT_NEEDED) if n in shared}, directories, obstacle)
    sections = {elf.SECTION_UNIT: present + b"".join(units)} if units else {}
    add_sections(output, {**sections, elf.SECTION_LIBRARY: record.encode()})


def _obstacle(command: Command, opaque: Sequence[Part]) -> str | None:
    others = [*(part.name for part in opaque), *(token.value for token in command.other_sources)]
    if others:
        return f"it holds code that was not compiled by upstare cc as C ({', '.join(others[:3])})"
    for token in command.tokens:
        if token.kind == args.LINK:
            option = token.value if token.words[0] in ("-Xlinker", "-z") else token.words[0]
            if option.partition("=")[0] in _MORE_THAN_OBJECTS:
                return f"it was linked with {option}"
    return None


def needed_name(file: Elf, found: Input) -> str:
    """The name under which a program that is linked with the file needs it."""
    names = file.dynamic(elf.DT_SONAME)
    if names:
        return names[0]
    return found.path.name if found.token.kind == args.LIBRARY else found.token.value
