"""What the patch needs from the objects of the new image: initial values, and names for what has none outside.

Objects of the new image that the running program has already are bound to its storage, and static functions cannot be
seen from other objects. So the patch gives hidden names to the image's own definitions: ``upi$SYMBOL`` is the variable
in this image, ``upf$ENTRY`` the function behind a stable entry.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from upstare.driver import process
from upstare.errors import UpstareError
from upstare.model.description import Function, Variable
from upstare.patch.transformers import Pristine, entry_alias, initial_alias
from upstare.points.bindings import read_bindings

_LARGEST = 1 << 16  # initial values up to this size are copied into the patch's tables
_ABSOLUTE = 1  # R_X86_64_64
_RELOCATIONS = ("SHT_RELA", "SHT_RELR")  # of linked files; the addresses that are packed in the second are in the data
_ALLOCATED, _THREADS = 2, 0x400  # SHF_ALLOC, SHF_TLS


@dataclass
class _Definition:
    """Where a symbol is defined: object, section (None: common storage) and offset."""

    path: Path
    section: Any
    offset: int


@dataclass
class ObjectIndex:
    """The objects of an image and what they define: variables, slots, and functions that all units see."""

    paths: list[Path]
    _definitions: dict[str, _Definition] = field(default_factory=dict)
    _aliases: dict[Path, dict[str, tuple[str, int, str]]] = field(default_factory=dict)
    _files: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path in self.paths:
            file = path.open("rb")
            self._files.append(file)
            elf = ELFFile(file)
            table: Any = elf.get_section_by_name(".symtab")
            for symbol in table.iter_symbols() if table is not None else ():
                index = symbol["st_shndx"]
                function = symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_info"]["bind"] != "STB_LOCAL"
                if (function or symbol.name.startswith(("up$", "ups$slot$"))) and index != "SHN_UNDEF":
                    section = elf.get_section(index) if isinstance(index, int) else None
                    self._definitions.setdefault(symbol.name, _Definition(path, section, symbol["st_value"]))

    def close(self) -> None:
        """No file is open any more."""
        for file in self._files:
            file.close()

    def pristine(self, variables: Iterable[Variable]) -> Pristine:
        """The initial values of these variables; those that hold addresses get an alias."""
        result = Pristine()
        for variable in variables:
            definition = self._definitions.get(variable.symbol)
            if definition is None:
                raise UpstareError(f"the new image does not define {variable.symbol} ({variable.file}:{variable.line})")
            section = definition.section
            if section is None or section["sh_type"] == "SHT_NOBITS":
                continue
            begin, end = definition.offset, definition.offset + variable.size
            content = section.data()[begin:end]
            if len(content) <= _LARGEST and not any(begin <= r["r_offset"] < end for r in _relocations(section)):
                result.content[variable.symbol] = content
            else:
                name = result.alias[variable.symbol] = initial_alias(variable)
                self._add(definition.path, name, section.name, definition.offset, "object")
        return result

    def add_entries(self, functions: Iterable[Function]) -> None:
        """Functions with a stable entry get their aliases: the slot's own initial value says where they are."""
        for function in functions:
            slot = self._definitions.get(f"ups$slot${function.entry}")
            if slot is None or slot.section is None:
                raise UpstareError(f"the new image has no entry for {function.name} ({function.file}:{function.line})")
            elf = slot.section.elffile
            for relocation in _relocations(slot.section):
                if relocation["r_offset"] == slot.offset and relocation["r_info_type"] == _ABSOLUTE:
                    symbol = elf.get_section_by_name(".symtab").get_symbol(relocation["r_info_sym"])
                    break
            else:
                raise UpstareError(f"the entry of {function.name} does not lead to a function")
            code: _Definition | None
            if isinstance(symbol["st_shndx"], int):
                offset = symbol["st_value"] + relocation["r_addend"]
                code = _Definition(slot.path, elf.get_section(symbol["st_shndx"]), offset)
            else:  # an inline function, whose code is in another unit
                code = self._definitions.get(symbol.name)
            if code is None or code.section is None:
                raise UpstareError(f"the entry of {function.name} leads to nothing")
            self._add(code.path, entry_alias(function), code.section.name, code.offset, "function")

    def apply(self, work: Path) -> list[Path]:
        """The objects, those that get aliases as copies in ``work``."""
        result = []
        for number, path in enumerate(self.paths):
            aliases = self._aliases.get(path)
            if aliases is None:
                result.append(path)
                continue
            copy = work / f"aliased{number}.o"
            words = [f"--add-symbol={n}={s}:{o:#x},global,{kind}" for n, (s, o, kind) in sorted(aliases.items())]
            process.check(["objcopy", *words, str(path), str(copy)], f"name the functions and variables of {path}")
            result.append(copy)
        return result

    def _add(self, path: Path, name: str, section: str, offset: int, kind: str) -> None:
        self._aliases.setdefault(path, {})[name] = (section, offset, kind)


def _relocations(section: Any) -> Iterable[Any]:
    """The relocations of a section of an object."""
    found = section.elffile.get_section_by_name(f".rela{section.name}")
    return () if found is None else found.iter_relocations()


def changed_initials(old: Path, new: Path, sizes: Mapping[str, int]) -> list[str]:
    """Those of the variables (of both executables, with the same symbol and size) whose initial bytes differ.

    Initial values that hold addresses are not compared: those differ in every build.

    Raises:
        UpstareError: the point table of one is damaged.
    """
    before, after = _initial_bytes(old, sizes), _initial_bytes(new, sizes)
    return sorted(name for name in sizes if name in before and name in after and before[name] != after[name])


def _initial_bytes(path: Path, sizes: Mapping[str, int]) -> dict[str, bytes]:
    places = read_bindings(path)
    with path.open("rb") as file:
        elf: Any = ELFFile(file)
        sections = [s for s in elf.iter_sections() if s["sh_flags"] & _ALLOCATED]
        tables = [s for s in sections if s["sh_type"] in _RELOCATIONS]
        relocated = sorted(r["r_offset"] for table in tables for r in table.iter_relocations())
        result: dict[str, bytes] = {}
        for name in places.keys() & sizes.keys():
            begin, size = places[name], sizes[name]
            place = bisect_left(relocated, begin)
            if place < len(relocated) and relocated[place] < begin + size:
                continue
            for section in sections:
                at = begin - section["sh_addr"]
                if not 0 <= at <= at + size <= section["sh_size"] or section["sh_flags"] & _THREADS:
                    continue
                if section["sh_type"] == "SHT_NOBITS":
                    result[name] = bytes(size)
                else:
                    file.seek(section["sh_offset"] + at)
                    result[name] = file.read(size)
        return result
