"""The files that a link command takes, and the units in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from upstare.driver import args, elf, embed, process
from upstare.driver.args import Command, Token
from upstare.errors import NotUpdatable


@dataclass
class Part:
    """An object: a file of the command line, or a member of an archive.

    Attributes:
        name: for messages.
        data: its bytes.
        units: digests of its units; empty for an opaque object.
    """

    name: str
    data: bytes
    units: list[str] = field(default_factory=list)

    def symbols(self) -> list[elf.Symbol]:
        """The symbols that other objects see; of what is not ELF (bytecode in an archive) none are known."""
        if not elf.is_elf(self.data):
            return []
        return [s for s in elf.Elf(self.data, self.name).symbols() if not s.local]


@dataclass
class Input:
    """A file that the linker reads, at the place of its token.

    Attributes:
        token: an INPUT or LIBRARY token.
        path: the file.
        kind: 'object', 'archive', 'shared', or 'other' (linker script, bytecode).
        parts: the objects in it (of 'object' and 'archive').
        changed: a part is not what is in the file any more.
    """

    token: Token
    path: Path
    kind: str
    parts: list[Part] = field(default_factory=list)
    changed: bool = False


def collect(command: Command, compiler: Sequence[str]) -> list[Input]:
    """Every file for the linker on the command line, in order; sources are not among them."""
    found: list[Input] = []
    for token, static in _with_mode(command.tokens):
        if token.kind == args.INPUT and token.language is None:
            path: Path | None = Path(token.value)
        elif token.kind == args.LIBRARY:
            path = find_library(token.value, static, command, compiler)
        else:
            continue
        if path is not None and path.is_file():
            found.append(_read(token, path))
    return found


def opaque_parts(files: Iterable[Input], result: elf.Elf) -> list[Part]:
    """The objects without a unit that are in what was linked of the files, as far as its symbols tell."""
    names = {s.name for s in result.symbols() if s.defined}
    stripped = not any(s.name == ".symtab" for s in result.sections)
    found = []
    for file in files:
        for part in file.parts:
            if part.units:
                continue
            defined = {s.name for s in part.symbols() if s.defined}
            if file.kind == "object" or stripped or (defined and defined <= names):
                found.append(part)
    return found


def find_library(name: str, static: bool, command: Command, compiler: Sequence[str]) -> Path | None:
    """The file that the linker takes for -lNAME, by its own rules: each directory in turn, shared before static."""
    if name.startswith(":"):
        names = [name[1:]]
    else:
        names = [f"lib{name}.a"] if static else [f"lib{name}.so", f"lib{name}.a"]
    for directory in search_directories(command):
        for candidate in names:
            path = Path(directory, candidate)
            if path.is_file():
                return path
    for candidate in names:
        answer = process.check([*compiler, f"-print-file-name={candidate}"], f"find the library {name}")
        path = Path(os.fsdecode(answer.rstrip(b"\n")))
        if path.is_absolute() and path.is_file():
            return path
    return None


def search_directories(command: Command) -> list[str]:
    """The directories of -L, then those of LIBRARY_PATH."""
    named: list[str] = []
    tokens = iter(command.tokens)
    for token in tokens:
        word = token.words[0]
        if word == "-Xlinker" and token.value == "-L":
            named.append(next(tokens, token).value)
        elif word == "-Xlinker" and token.value.startswith("-L"):
            named.append(token.value[2:])
        elif word.startswith(("-L", "--library-path")):
            named.append(token.value)
    return named + [d for d in os.environ.get("LIBRARY_PATH", "").split(":") if d]


def _with_mode(tokens: Sequence[Token]) -> Iterator[tuple[Token, bool]]:
    """Each token, and whether -lNAME means a static library there."""
    static = False
    for token in tokens:
        if token.kind == args.LINK:
            if token.value in ("-Bstatic", "-dn", "-non_shared", "-static"):
                static = True
            elif token.value in ("-Bdynamic", "-dy", "-call_shared"):
                static = False
        yield token, static


def _read(token: Token, path: Path) -> Input:
    with path.open("rb") as file:
        magic = file.read(20)
    if elf.is_archive(magic):
        parts = [_part(f"{path}({m.name})", m.data) for m in elf.members(path)]
        return Input(token, path, "archive", parts)
    if not elf.is_elf(magic):
        return Input(token, path, "other")
    if int.from_bytes(magic[16:18], "little") != elf.ET_REL:
        return Input(token, path, "shared")
    return Input(token, path, "object", [_part(str(path), path.read_bytes())])


def _part(name: str, data: bytes) -> Part:
    if not elf.is_elf(data):
        return Part(name, data)
    records = elf.Elf(data, name).section(elf.SECTION_UNIT)
    units = embed.digests(records, name) if records else []
    if embed.opaque_digest() in units:
        raise NotUpdatable(
            f"{name} holds C that UpStare knows and code that it does not; one cannot be replaced without the other",
            hint="link the parts of it one by one instead of with -r",
        )
    return Part(name, data, units)
