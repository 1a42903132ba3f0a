"""Reading and changing the ELF files of a build: sections, symbols, and the members of archives.

The reader knows little-endian 64-bit ELF, which is all that x86-64 has. Sections are changed in sections.py.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

from upstare.driver import process
from upstare.driver.mapped import Bytes, mapped
from upstare.errors import UpstareError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

SECTION_UNIT = ".upstare.unit"
SECTION_LIBRARY = ".upstare.library"
SECTION_POINTS = ".upstare.points"
SECTION_DESCRIPTION = ".upstare.desc"
SECTION_NOTES = ".upstare_notes"
# Where in the cache the twin of the executable is, and the command that makes it, as NUL-terminated words.
SECTION_MAKER = ".upstare.maker"
# How the names begin that a patch shares with the units of an executable; the last are static locals that only the twin
# shares.
UNIT_NAMES = ("up$", "upe$", "ups$slot$", "ups$own$")
LONGJMP = ("longjmp", "_longjmp", "siglongjmp", "__longjmp_chk")  # the runtime stands in for these
RUNTIME_NAMES = ("upstare_", *(f"__wrap_{name}" for name in LONGJMP))  # ... and with its runtime
SHARED_NAMES = (*UNIT_NAMES, *RUNTIME_NAMES)
ENTRY = "upe$"  # those of stable entries
SECTION_RESUME = "upstare_resume"  # a C identifier: the linker provides its bounds
SECTION_RUNTIME = "upstare_rt"  # what is awake of the runtime
SECTION_UPDATE = "upstare_update"  # the part of the runtime that only an update needs; so is this

CLASS_64 = 2  # the fifth byte of a file
ET_REL, ET_EXEC, ET_DYN = 1, 2, 3
PT_LOAD = 1
PF_R = 4
SHT_RELA, SHT_NOBITS = 4, 8
SHF_ALLOC = 2
SHF_EXECINSTR = 4
STT_OBJECT, STT_FUNC, STT_COMMON, STT_TLS, STT_IFUNC = 1, 2, 5, 6, 10
STB_LOCAL, STB_WEAK = 0, 2
SHN_UNDEF = 0
SHT_DYNAMIC = 6
SHT_NOTE = 7
DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH = 1, 14, 15, 29

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_DYNAMIC = struct.Struct("<qQ")

_INFO = 4  # where binding and type are in a symbol
_OTHER = 5  # ... and the visibility
_VISIBILITY = 3
_HIDDEN = 2
_VALUE = 8  # where the address is in a symbol

# What reading bytes that say something impossible raises.
_DAMAGE = (struct.error, IndexError, ValueError, OverflowError)


class Section:
    """A section header: name, type, flags, and where the bytes are."""

    __slots__ = ("name", "type", "flags", "offset", "size", "link")

    def __init__(self, name: str, kind: int, flags: int, offset: int, size: int, link: int) -> None:
        self.name = name
        self.type = kind
        self.flags = flags
        self.offset = offset
        self.size = size
        self.link = link


class Symbol:
    """A symbol: name, type (STT_*), whether the file defines it, and its address or offset."""

    __slots__ = ("name", "type", "local", "defined", "value")

    def __init__(self, name: str, kind: int, local: bool, defined: bool, value: int) -> None:
        self.name = name
        self.type = kind
        self.local = local
        self.defined = defined
        self.value = value

    @property
    def is_object(self) -> bool:
        """Whether it is known to be a variable."""
        return self.type in (STT_OBJECT, STT_COMMON, STT_TLS)

    @property
    def is_function(self) -> bool:
        """Whether it is known to be a function that is called at its address."""
        return self.type == STT_FUNC


class Elf:
    """The sections and symbols of one ELF file in memory.

    Raises:
        UpstareError: the bytes are not a 64-bit little-endian ELF file, or are cut short.
    """

    def __init__(self, data: Bytes, name: str) -> None:
        self.data = data
        self.name = name
        if data[:4] != b"\x7fELF":
            raise UpstareError(f"{name} is not an ELF file")
        if data[4:6] != b"\x02\x01":
            raise UpstareError(f"{name} is not for a 64-bit little-endian processor")
        try:
            self.type, self.sections = self._read_sections()
        except _DAMAGE as error:
            raise UpstareError(f"{name} is damaged: {error}") from error

    def _read_sections(self) -> tuple[int, list[Section]]:
        header = _HEADER.unpack_from(self.data)
        kind, offset, entry_size, count, names = header[1], header[6], header[11], header[12], header[13]
        if offset == 0:
            return kind, []
        if count == 0 or names == 0xFFFF:  # more than 16 bits hold: section 0 has the figures
            first = _SECTION.unpack_from(self.data, offset)
            count = count or first[5]
            names = first[6] if names == 0xFFFF else names
        if entry_size < _SECTION.size or offset + count * entry_size > len(self.data):
            raise ValueError("its sections lie outside of it")
        raw = [_SECTION.unpack_from(self.data, offset + i * entry_size) for i in range(count)]
        base = raw[names][4]
        return kind, [Section(self.string(base + r[0]), r[1], r[2], r[4], r[5], r[6]) for r in raw]

    def string(self, offset: int) -> str:
        """The string that begins here. Raises ValueError if it does not end."""
        end = self.data.find(b"\0", offset)
        if end < 0:
            raise ValueError("a name does not end")
        return self.data[offset:end].decode(errors="surrogateescape")

    def section(self, name: str) -> bytes | None:
        """The bytes of all sections of this name, one after the other; None if there is none."""
        found = [s for s in self.sections if s.name == name and s.type != SHT_NOBITS]
        if not found:
            return None
        return b"".join(self.data[s.offset : s.offset + s.size] for s in found)

    def symbols(self, table: str = ".symtab") -> Iterator[Symbol]:
        """The named symbols of ``.symtab`` or ``.dynsym``; none if the table is missing.

        Raises:
            UpstareError: the table is damaged.
        """
        try:
            for section in self.sections:
                if section.name != table:
                    continue
                names = self.sections[section.link].offset
                end = section.offset + section.size
                for name, info, _, index, value, _ in _SYMBOL.iter_unpack(self.data[section.offset : end]):
                    if name:
                        local, defined = info >> 4 == STB_LOCAL, index != SHN_UNDEF
                        yield Symbol(self.string(names + name), info & 15, local, defined, value)
        except _DAMAGE as error:
            raise UpstareError(f"{self.name} is damaged: {error}") from error

    def dynamic(self, *tags: int) -> list[str]:
        """The strings that a linked file has under these tags (DT_NEEDED, DT_SONAME, ...), in their order.

        Raises:
            UpstareError: the file is damaged.
        """
        try:
            return [
                self.string(self.sections[section.link].offset + value)
                for section in self.sections
                if section.type == SHT_DYNAMIC
                for tag, value in _DYNAMIC.iter_unpack(self.data[section.offset : section.offset + section.size])
                if tag in tags
            ]
        except _DAMAGE as error:
            raise UpstareError(f"{self.name} is damaged: {error}") from error


class Member:
    """A member of an archive: its name, and its bytes."""

    __slots__ = ("name", "data")

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.data = data


def is_elf(data: bytes) -> bool:
    """Whether these are the first bytes of an ELF file."""
    return data[:4] == b"\x7fELF"


def is_archive(data: bytes) -> bool:
    """Whether these are the first bytes of an archive, thin or not."""
    return data[:8] in (b"!<arch>\n", b"!<thin>\n")


def members(path: Path) -> Iterator[Member]:
    """The members of an archive in their order, without its tables.

    Raises:
        UpstareError: the archive is damaged, or a member of a thin archive cannot be read.
    """
    data = path.read_bytes()
    thin = data[:8] == b"!<thin>\n"
    if not is_archive(data):
        raise UpstareError(f"{path} is not an archive")
    names = b""
    offset = 8
    while offset + 60 <= len(data):
        header = data[offset : offset + 60]
        if header[58:] != b"`\n":
            raise UpstareError(f"the archive {path} is damaged")
        raw = header[:16].decode(errors="surrogateescape").rstrip(" ")
        size = _number(header[48:58], path)
        offset += 60
        table = raw in ("/", "//", "/SYM64/")
        body = data[offset : offset + size] if table or not thin else b""
        offset += (len(body) + 1) & ~1
        if raw == "//":
            names = body
        if table:
            continue
        try:
            name = _member_name(raw, names)
        except ValueError as error:
            raise UpstareError(f"the archive {path} is damaged: {error}") from error
        if thin:
            try:
                body = (path.parent / name).read_bytes()
            except OSError as error:
                raise UpstareError(f"cannot read {name}, a member of the thin archive {path}: {error}") from error
        yield Member(name, body)


def _number(field: bytes, path: Path) -> int:
    digits = field.strip()
    if not digits.isdigit():
        raise UpstareError(f"the archive {path} is damaged: a member has no size")
    return int(digits)


def _member_name(raw: str, names: bytes) -> str:
    if raw.startswith("/"):
        begin = int(raw[1:].partition(":")[0])
        end = names.index(b"\n", begin)
        return names[begin:end].decode(errors="surrogateescape").removesuffix("/")
    return raw.removesuffix("/")


def write_archive(path: Path, contents: Iterable[Member]) -> None:
    """An archive with these members, with an index of their symbols."""
    names = bytearray()
    bodies = bytearray()
    for member in contents:
        header = f"/{len(names)}".ljust(16) + "0".ljust(12) + "0".ljust(6) + "0".ljust(6) + "644".ljust(8)
        names += os.path.basename(member.name).encode(errors="surrogateescape") + b"/\n"
        bodies += (header + str(len(member.data)).ljust(10) + "`\n").encode() + member.data
        bodies += b"\n" * (len(member.data) % 2)
    table = ("//".ljust(48) + str(len(names)).ljust(10) + "`\n").encode() + bytes(names) + b"\n" * (len(names) % 2)
    path.write_bytes(b"!<arch>\n" + table + bytes(bodies))
    process.check(["ranlib", str(path)], "index an archive")


def read(path: Path) -> Elf:
    """The ELF file at ``path``.

    Raises:
        UpstareError: it cannot be read or is not one.
    """
    try:
        data = mapped(path)
    except OSError as error:
        raise UpstareError(f"cannot read {path}: {error.strerror}") from error
    return Elf(data, str(path))


def read_section(path: Path, name: str) -> bytes | None:
    """The bytes of a section of an ELF file, None if it has no such section."""
    return read(path).section(name)


def seal(path: Path, digest: str) -> str:
    """Make the digest in a linked file one of its machine code too; the new digest, as 64 hex digits.

    The same sources give other code with another compiler or linker, and a point table is right for one code only. A
    file that does not hold the digest (it says nothing of itself) stays as it is.
    """
    file = read(path)
    old = bytes.fromhex(digest)
    at = file.data.find(old)
    if at < 0 or file.data.find(old, at + 1) >= 0:
        return digest
    new = hashlib.sha256(old)
    for section in file.sections:
        if section.flags & SHF_EXECINSTR and section.type != SHT_NOBITS:
            new.update(file.data[section.offset : section.offset + section.size])
    with path.open("r+b") as changed:
        changed.seek(at)
        changed.write(new.digest())
    return new.hexdigest()


def withhold_segment(path: Path, sections: Iterable[str]) -> None:
    """A segment that holds nothing but these sections is mapped like data that are only read: it is no text, and takes
    no memory until the program makes it text."""
    file = read(path)
    header = _HEADER.unpack_from(file.data)
    loaded = [s for s in file.sections if s.flags & SHF_ALLOC and s.type != SHT_NOBITS]
    for number in range(header[10]):
        at = header[5] + number * _SEGMENT.size
        kind, flags, offset, *addresses, filesz, memsz, align = _SEGMENT.unpack_from(file.data, at)
        inside = {s.name for s in loaded if offset <= s.offset < offset + filesz}
        if kind == PT_LOAD and inside and inside <= set(sections):
            with path.open("r+b") as changed:
                changed.seek(at)
                changed.write(_SEGMENT.pack(kind, PF_R, offset, *addresses, filesz, memsz, align))


def share(path: Path) -> None:
    """What a transformed object of an executable shares with patches is hidden from the dynamic linker: they bind to it
    by the point table. Only what belongs to threads is the dynamic linker's to bind."""

    def settled(name: str, entry: bytearray) -> None:
        if not name.startswith(UNIT_NAMES):
            return
        _, info, _, index, _, _ = _SYMBOL.unpack(entry)
        if info & 15 == STT_TLS:
            entry[_OTHER] &= ~_VISIBILITY
        elif index != SHN_UNDEF:
            entry[_OTHER] = entry[_OTHER] & ~_VISIBILITY | _HIDDEN

    _change_symbols(path, ".symtab", settled)


def bind_late(path: Path) -> None:
    """The dynamic linker leaves what a patch shares with the executable to the runtime, where it does not find it."""

    def weakened(name: str, entry: bytearray) -> None:
        _, info, _, index, _, _ = _SYMBOL.unpack(entry)
        if name.startswith(SHARED_NAMES) and index == SHN_UNDEF and info & 15 != STT_TLS:
            entry[_INFO] = STB_WEAK << 4 | info & 15

    _change_symbols(path, ".dynsym", weakened)


def hide(path: Path, hidden: Container[str]) -> None:
    """The linker exports none of these symbols of the object."""

    def gone(name: str, entry: bytearray) -> None:
        if name in hidden:
            entry[_OTHER] = entry[_OTHER] & ~_VISIBILITY | _HIDDEN

    _change_symbols(path, ".symtab", gone)


def hide_all(path: Path) -> None:
    """The linker exports nothing that the object defines."""

    def gone(_: str, entry: bytearray) -> None:
        if _SYMBOL.unpack(entry)[3] != SHN_UNDEF:
            entry[_OTHER] = entry[_OTHER] & ~_VISIBILITY | _HIDDEN

    _change_symbols(path, ".symtab", gone)


def lead_to_entries(path: Path) -> None:
    """Whoever looks up a function of a linked file by one of its names finds the stable entry, if there is one."""
    entries: dict[bytes, int] = {}
    functions: list[tuple[bytes, int]] = []
    begin = ENTRY.encode()
    file = read(path)
    for section in (s for s in file.sections if s.name == ".symtab"):
        names = file.sections[section.link]
        strings = file.data[names.offset : names.offset + names.size]
        rows = file.data[section.offset : section.offset + section.size]
        for at, info, _, index, value, _ in _SYMBOL.iter_unpack(rows):
            if index == SHN_UNDEF:
                continue
            if strings.startswith(begin, at):
                entries[strings[at + len(begin) : strings.index(b"\0", at)]] = value
            elif info & 15 == STT_FUNC:
                functions.append((strings[at : strings.index(b"\0", at)], value))
    by_address = {value: entries[name] for name, value in functions if name in entries}

    def led(name: str, entry: bytearray) -> None:
        _, info, _, index, value, _ = _SYMBOL.unpack(entry)
        if info & 15 == STT_FUNC and index != SHN_UNDEF:
            known = entries.get(name.encode(errors="surrogateescape"))
            struct.pack_into("<Q", entry, _VALUE, by_address.get(value, value) if known is None else known)

    _change_symbols(path, ".dynsym", led)


def code_digest(file: Elf) -> str:
    """A digest (64 hex digits) of all that a process sees of a file: where it was built does not matter."""
    digest = hashlib.sha256()
    for section in file.sections:
        if section.flags & SHF_ALLOC and section.type != SHT_NOTE:
            bytes_of = b"" if section.type == SHT_NOBITS else file.data[section.offset : section.offset + section.size]
            digest.update(f"{section.name} {section.size} ".encode(errors="surrogateescape") + bytes_of)
    return digest.hexdigest()


def _change_symbols(path: Path, table: str, change: Callable[[str, bytearray], None]) -> None:
    """``change`` is shown the name and the entry of every symbol in a table that other files see."""
    file = read(path)
    for section in file.sections:
        if section.name != table:
            continue
        names = file.sections[section.link].offset
        rows = bytearray()
        for at in range(section.offset, section.offset + section.size, _SYMBOL.size):
            entry = bytearray(file.data[at : at + _SYMBOL.size])
            name, info, *_ = _SYMBOL.unpack(entry)
            if info >> 4 != STB_LOCAL:
                change(file.string(names + name), entry)
            rows += entry
        with path.open("r+b") as changed:
            changed.seek(section.offset)
            changed.write(rows)
