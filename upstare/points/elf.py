"""The little of ELF that the tables need: sections, function symbols, relocations, text by address.

Whole symbol tables are unpacked at once with ``struct``; nothing is made an object that is not asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from upstare.driver.mapped import mapped
from upstare.errors import UpstareError

SHT_SYMTAB = 2
SHT_RELA = 4
SHT_NOBITS = 8
SHF_ALLOC = 2
SHF_EXECINSTR = 4
STB_LOCAL = 0
STT_FUNC = 2
STT_GNU_IFUNC = 10
EM_X86_64 = 62

_VISIBILITY = 3
_UNSEEN = (1, 2)  # STV_INTERNAL, STV_HIDDEN

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")


class Section(NamedTuple):
    """One section header, with its name."""

    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int


class Symbol(NamedTuple):
    """One function symbol of the symbol table."""

    name: str
    address: int
    size: int


class Relocation(NamedTuple):
    """One relocation of an object: where, of which type, against which symbol ('' for a section)."""

    offset: int
    type: int
    symbol: str
    defined: bool
    local: bool


class Elf:
    """An ELF file in memory. Raises UpstareError if the bytes are not a little-endian x86-64 ELF file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.data = mapped(path)
        except OSError as error:
            raise UpstareError(f"cannot read {path}: {error.strerror}") from error
        try:
            self.sections = self._read_sections()
        except (struct.error, ValueError, IndexError) as error:
            raise UpstareError(f"{path}: the ELF file is damaged") from error
        self.by_name = {section.name: section for section in self.sections}
        self._text = [
            (s.address, s.address + s.size, s.offset)
            for s in self.sections
            if s.flags & SHF_EXECINSTR and s.flags & SHF_ALLOC and s.type != SHT_NOBITS
        ]

    def _read_sections(self) -> list[Section]:
        data = self.data
        if data[:6] != b"\x7fELF\x02\x01" or len(data) < 64:
            raise UpstareError(f"{self.path} is not a 64-bit little-endian ELF file")
        (machine,) = struct.unpack_from("<H", data, 18)
        if machine != EM_X86_64:
            raise UpstareError(f"{self.path} is not for x86-64")
        (table,) = struct.unpack_from("<Q", data, 40)
        entry, count, names_index = struct.unpack_from("<HHH", data, 58)
        if not table:
            return []
        if count == 0:  # more than 0xff00 sections: the first header says how many
            count = _SECTION.unpack_from(data, table)[5]
        headers = [_SECTION.unpack_from(data, table + i * entry) for i in range(count)]
        if names_index == 0xFFFF:
            names_index = headers[0][6]
        names = headers[names_index]
        strings = data[names[4] : names[4] + names[5]]
        return [Section(_string(strings, h[0]), h[1], h[2], h[3], h[4], h[5], h[6], h[7]) for h in headers]

    def content(self, section: Section) -> bytes:
        """The bytes of a section."""
        if section.type == SHT_NOBITS:
            return b""
        content = self.data[section.offset : section.offset + section.size]
        if len(content) != section.size:
            raise UpstareError(f"{self.path}: section {section.name} is cut short")
        return content

    def functions(self) -> list[Symbol]:
        """All function symbols that are defined here, in the order of the symbol table."""
        table = next((s for s in self.sections if s.type == SHT_SYMTAB), None)
        if table is None:
            raise UpstareError(
                f"{self.path} has no symbol table", hint="link without -s; strip after the link step instead"
            )
        strings = self.content(self.sections[table.link])
        return [
            Symbol(_string(strings, name), value, size)
            for name, info, _other, section, value, size in _SYMBOL.iter_unpack(self.content(table))
            if section and info & 15 in (STT_FUNC, STT_GNU_IFUNC)
        ]

    def withheld(self, beginnings: tuple[str, ...]) -> list[tuple[bytes, int, int]]:
        """What is defined here under names that begin like this, and that other files do not see: the name, the
        address, and the number of its section."""
        found: list[tuple[bytes, int, int]] = []
        names = tuple(name.encode() for name in beginnings)
        for table in (s for s in self.sections if s.type == SHT_SYMTAB):
            strings = self.content(self.sections[table.link])
            for name, info, other, section, value, _size in _SYMBOL.iter_unpack(self.content(table)):
                seen = info >> 4 != STB_LOCAL and other & _VISIBILITY not in _UNSEEN  # GNU ld does not make all local
                if seen or not section or not strings.startswith(names, name):
                    continue
                found.append((strings[name : strings.index(b"\0", name)], value, section))
        return found

    def relocations(self, name: str) -> Iterator[Relocation]:
        """The relocations of all sections of an object that are called ``name``."""
        for section in self.sections:
            if section.type != SHT_RELA or self.sections[section.info].name != name:
                continue
            table = self.sections[section.link]
            symbols = self.content(table)
            strings = self.content(self.sections[table.link])
            for offset, info, _addend in _RELA.iter_unpack(self.content(section)):
                string, kind, _, index, _, _ = _SYMBOL.unpack_from(symbols, (info >> 32) * _SYMBOL.size)
                yield Relocation(offset, info & 0xFFFFFFFF, _string(strings, string), index != 0, kind >> 4 == 0)

    def span(self, begin: int, end: int) -> tuple[int, int]:
        """Where in the file the machine code from ``begin`` up to ``end`` is: offset and size (cut at the end of its
        section); (0, 0) where there is none."""
        for low, high, offset in self._text:
            if low <= begin < high:
                end = min(end, high, low - offset + len(self.data))
                return offset + begin - low, max(end - begin, 0)
        return 0, 0

    def offsets(self, addresses: Iterable[int]) -> Iterator[int | None]:
        """Where in the file the bytes of machine code at these link-time addresses are; None where there is none."""
        low = high = offset = 0
        for address in addresses:
            if not low <= address < high:
                low, high, offset = next((t for t in self._text if t[0] <= address < t[1]), (0, 0, 0))
            place = offset + address - low
            yield place if low <= address < high and place < len(self.data) else None

    def text(self, begin: int, end: int) -> bytes:
        """The machine code from link-time address ``begin`` up to ``end`` (cut at the end of its section), or b''."""
        offset, size = self.span(begin, end)
        return self.data[offset : offset + size]


def _string(strings: bytes, offset: int) -> str:
    return strings[offset : strings.index(b"\0", offset)].decode("utf-8", "surrogateescape")
