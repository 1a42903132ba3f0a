"""Calls of the C library from what sleeps of the runtime (``c_runtime/src/update/far.c``).

Where the linker binds a call of a shared library it makes an entry of the program's procedure linkage table, which is
text from the start, and the dynamic linker looks for the name when the program begins. What sleeps until an update
calls a hundred functions of the C library. Each has a stub here, which sleeps as well and jumps to where the runtime,
once awake, has found the function. What is awake calls the C library as everything does.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from upstare.driver import elf, process

STUB = "ups_far$"
_LIBRARIES = ("libc.so.6", "ld-linux-x86-64.so.2")  # those that every process has
_REAL = "__real_"  # of a function that the link wraps
_HIDDEN_VERSION = 0x8000
_FIRST_VERSION = 2  # 0 and 1 are none
_TLS = "__tls_get_addr"  # the linker changes what calls it

_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QIIq")
_STARTERS = (".preinit_array", ".init_array", ".fini_array")


def wanted(runtime: Path, compiler: Sequence[str]) -> list[str]:
    """The functions of the C library that an object refers to.

    Raises:
        UpstareError: a file cannot be read.
    """
    offered: set[str] = set()
    for name in _LIBRARIES:
        answer = process.check([*compiler, f"-print-file-name={name}"], f"find {name}")
        path = Path(answer.decode(errors="surrogateescape").strip())
        if path.is_absolute() and path.is_file():
            offered |= _offered(elf.read(path))
    undefined = [s.name for s in _symbols(elf.read(runtime), ".symtab") if s.home == elf.SHN_UNDEF]
    return sorted(name for name in undefined if name.removeprefix(_REAL) in offered)


def _offered(library: elf.Elf) -> set[str]:
    """The functions that a link with this library finds, if they have a version."""
    versions = struct.iter_unpack("<H", library.section(".gnu.version") or b"")
    return {
        symbol.name
        for symbol, (version,) in zip(_symbols(library, ".dynsym"), versions, strict=False)
        if symbol.home != elf.SHN_UNDEF and symbol.type in (elf.STT_FUNC, elf.STT_IFUNC)
        if version >= _FIRST_VERSION and not version & _HIDDEN_VERSION
    } - {_TLS}


def stubs(names: Sequence[str]) -> str:
    """The assembly of a stub for each name, and of the lists that ``far.c`` goes by."""
    lines = [f'.section {elf.SECTION_UPDATE},"ax",@progbits', ".cfi_startproc"]
    for number, name in enumerate(names):
        stub = f'"{STUB}{name}"'
        lines += [f".globl {stub}", f".hidden {stub}", f".type {stub},@function"]
        lines += [f"{stub}: jmp *ups_far_places+{8 * number}(%rip)", f".size {stub},.-{stub}"]
    lines += [".cfi_endproc", ".globl ups_far_names", ".hidden ups_far_names", "ups_far_names:"]
    lines += [f'.asciz "{name.removeprefix(_REAL)}"' for name in (*names, "")]
    lines += [".globl ups_far_places", ".hidden ups_far_places", ".bss", ".balign 8", "ups_far_places:"]
    lines += [f".zero {8 * (len(names) + 1)}", '.section .note.GNU-stack,"",@progbits', ""]
    return "\n".join(lines)


def lead(path: Path, awake: Sequence[str]) -> None:
    """What the sections of an object call that has stubs leads there, but for these sections and what they refer to;
    names that nothing refers to any more are gone.

    Raises:
        UpstareError: the object cannot be read or changed.
    """
    file = elf.read(path)
    data = bytearray(file.data)
    symbols = _symbols(file, ".symtab")
    indexes = {s.name: i for i, s in enumerate(symbols)}
    names = [s.name.removeprefix(STUB) for s in symbols if s.name.startswith(STUB)]
    moved = {indexes[name]: indexes[STUB + name] for name in names}
    relocations = {s.name.removeprefix(".rela"): s for s in file.sections if s.type == elf.SHT_RELA}
    kept: set[str] = set()
    used: set[int] = set()
    waiting = [*awake, *(s.name for s in file.sections if s.name.startswith(_STARTERS))]
    while waiting:
        section = waiting.pop()
        if section in kept or section == elf.SECTION_UPDATE:
            continue
        kept.add(section)
        for _, symbol in _references(file, relocations.get(section)):
            used.add(symbol)
            if 0 < symbols[symbol].home < len(file.sections):
                waiting.append(file.sections[symbols[symbol].home].name)
    for section, part in relocations.items():
        if section not in kept:
            for at, symbol in _references(file, part):
                if symbol in moved:
                    struct.pack_into("<I", data, at + 12, moved[symbol])
    path.write_bytes(data)
    gone = [name for name in names if indexes[name] not in used]
    process.check(["objcopy", *(f"--strip-symbol={name}" for name in gone), str(path)], "forget names of the C library")


class _Symbol(NamedTuple):
    """A symbol: its name, its section's number, its type (STT_*)."""

    name: str
    home: int
    type: int


def _symbols(file: elf.Elf, table: str) -> list[_Symbol]:
    """All symbols of a table, the nameless ones too: by their numbers."""
    rows: list[_Symbol] = []
    for section in file.sections:
        if section.name == table:
            strings = file.sections[section.link].offset
            for name, info, _, home, _, _ in _SYMBOL.iter_unpack(
                file.data[section.offset : section.offset + section.size]
            ):
                rows.append(_Symbol(file.string(strings + name), home, info & 15))
    return rows


def _references(file: elf.Elf, part: elf.Section | None) -> list[tuple[int, int]]:
    """The places of the relocations of a section in the file, and the numbers of their symbols."""
    if part is None:
        return []
    rows = _RELOCATION.iter_unpack(file.data[part.offset : part.offset + part.size])
    return [(part.offset + i * _RELOCATION.size, symbol) for i, (_, _, symbol, _) in enumerate(rows)]
