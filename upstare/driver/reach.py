"""What of the runtime a program can reach before anything wakes the rest.

A program calls a few of the functions that the runtime has for it. These, and what they refer to, stay awake; the rest
sleeps with what only an update needs (``c_runtime/src/wake.c``). What a patch calls is awake by the time it is there.

The relocations of the runtime's object say which function refers to which, itself or through data: each function and
each object is in a section of its own.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from upstare.driver import elf

_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")
_HEADER = struct.Struct("<40xQ10xHH")  # where the table of sections is, the size of its entries, how many
_SECTION = struct.Struct("<4xI16xQQI20x")  # type, offset, size, link
_SHT_SYMTAB = 2
_STARTERS = (".preinit_array", ".init_array", ".fini_array")  # whom the C library calls
_WANTED = re.compile(rb"upstare_\w+|longjmp\w*")
_BEFORE = ("", "_", "__", "sig")  # what names of jumps begin with


@dataclass(frozen=True)
class Reach:
    """The sections of code of a runtime object that can be asleep, and what leads to them."""

    edges: dict[str, list[str]]  # by section, those that it refers to
    defined: dict[str, str]  # by the name of a visible function, its section
    always: list[str]  # what the start of a process needs, whatever the program calls

    def awake(self, names: Collection[str]) -> list[str]:
        """The sections that a program can reach that mentions these names."""
        found: set[str] = set()
        waiting = [*self.always, *(section for name, section in self.defined.items() if name in names)]
        while waiting:
            section = waiting.pop()
            if section not in found:
                found.add(section)
                waiting += self.edges[section]
        return [section for section in self.edges if section in found]

    def pack(self) -> bytes:
        """As a file."""
        return json.dumps([self.edges, self.defined, self.always]).encode()

    @staticmethod
    def unpack(data: bytes) -> Reach:
        """What :meth:`pack` gave."""
        return Reach(*json.loads(data))


def find(path: Path, prefix: str, start: str) -> Reach:
    """What leads to the sections of an object whose names begin with ``prefix``; ``start`` is where a process enters.

    Raises:
        UpstareError: the object cannot be read.
    """
    file = elf.read(path)
    names = [s.name for s in file.sections]
    code = {s.name for s in file.sections if s.flags & elf.SHF_EXECINSTR}
    [table] = [s for s in file.sections if s.type == _SHT_SYMTAB]
    symbols = list(_SYMBOL.iter_unpack(file.data[table.offset : table.offset + table.size]))
    refers: dict[str, set[str]] = {name: set() for name in names}
    for section in file.sections:
        target = section.name.removeprefix(".rela")
        if target == section.name or target not in refers or target.startswith(".eh_frame"):
            continue
        for _, info, _ in _RELOCATION.iter_unpack(file.data[section.offset : section.offset + section.size]):
            home = symbols[info >> 32][3]
            if 0 < home < len(names):
                refers[target].add(names[home])

    def behind(first: str) -> list[str]:
        """The sections that can be asleep to which a section refers, itself or through data."""
        seen: set[str] = set()
        waiting = [*refers[first]]
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += refers[name] if name not in code else ()
        return sorted(name for name in seen & code if name.startswith(prefix))

    edges = {name: behind(name) for name in names if name in code and name.startswith(prefix)}
    defined: dict[str, str] = {}
    strings = file.sections[table.link].offset
    for name, info, _, home, _, _ in symbols:
        if info >> 4 != elf.STB_LOCAL and 0 < home < len(names) and names[home] in edges:
            defined[file.string(strings + name)] = names[home]
    starters = {section for name in names if name.startswith(_STARTERS) for section in behind(name)}
    return Reach(edges, defined, sorted({*starters, defined[start]}))


def mentioned(objects: Iterable[Path]) -> set[str]:
    """The names that transformed objects may call the runtime by, and those of jumps, which it wraps.

    The names of an object are not looked up one by one, and one may be the end of another. So these are all that could
    be meant.
    """
    names: set[str] = set()
    for path in objects:
        data = path.read_bytes()
        offset, size, count = _HEADER.unpack_from(data)
        count = count or _SECTION.unpack_from(data, offset)[2]  # more than 16 bits hold
        rows = [_SECTION.unpack_from(data, offset + i * size) for i in range(count)]
        for kind, _, _, link in rows:
            if kind == _SHT_SYMTAB:
                _, begin, length, _ = rows[link]
                found = {name.decode() for name in _WANTED.findall(data[begin : begin + length])}
                names.update(name[i:] for name in found for i in range(len(name)))
                names.update(before + name for name in found for before in _BEFORE)
    return names
