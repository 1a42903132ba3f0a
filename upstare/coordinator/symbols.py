"""Names for addresses in a running process, to say which call a thread does not come back from.

The address is that of a *return*: the instruction before it is the call. What it calls is found through the procedure
linkage table, so that a library's function has its name even in a stripped program.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from upstare.coordinator.process import Process, describe
from upstare.errors import UpstareError
from upstare.model.description import Description


@dataclass(frozen=True)
class Call:
    """A call on a stack; None where it cannot be told."""

    function: str | None
    callee: str | None
    place: str | None  # file:line

    def __str__(self) -> str:
        callee = f"{self.callee.removeprefix('upstare_')}()" if self.callee else "a library call"
        caller = f", called from {self.function}()" if self.function else ""
        return f"in {callee}{caller}{f' at {self.place}' if self.place else ''}"


def call_at(process: Process, address: int) -> Call:
    """The call that returns to ``address``."""
    found = _file_at(process, address)
    if found is None:
        return Call(None, None, None)
    path, offset = found
    try:
        image = _Image(path.read_bytes())
        function, callee = image.function_at(image.address(offset)), image.callee_before(offset)
    except (OSError, ELFError, struct.error):
        return Call(None, None, None)
    return Call(function, callee, _place(process, function, callee))


class _Image:
    """One ELF file, as far as calls need it. Addresses are link-time addresses."""

    def __init__(self, data: bytes) -> None:
        self.elf = ELFFile(io.BytesIO(data))
        self.data = data

    def address(self, offset: int) -> int | None:
        """Where the byte at ``offset`` of the file is loaded."""
        for segment in self.elf.iter_segments("PT_LOAD"):
            if segment["p_offset"] <= offset < segment["p_offset"] + segment["p_filesz"]:
                return int(segment["p_vaddr"] + offset - segment["p_offset"])
        return None

    def function_at(self, address: int | None) -> str | None:
        """The function that holds an address."""
        if address is None:
            return None
        for name, begin, size in self._functions:
            # A call that does not return may be the last instruction: its return address is just behind the function.
            if begin < address <= begin + size:
                return name
        return None

    def callee_before(self, offset: int) -> str | None:
        """What the call just before ``offset`` calls; None for a call through a pointer."""
        address = self.address(offset)
        if address is None or offset < 6:
            return None
        before = self.data[offset - 6 : offset]
        (distance,) = struct.unpack("<i", before[2:])
        if before[:2] == b"\xff\x15":  # call *slot(%rip)
            return self._slots.get(address + distance)
        if before[1:2] != b"\xe8":
            return None
        target = address + distance
        return self._through_stub(target) or self.function_at(target + 1)

    def _through_stub(self, target: int) -> str | None:
        """The name behind an entry of the procedure linkage table."""
        offset = next(iter(self.elf.address_offsets(target)), None)
        if offset is None:
            return None
        code = self.data[offset : offset + 16].removeprefix(b"\xf3\x0f\x1e\xfa")
        at = target + (self.data[offset : offset + 4] == b"\xf3\x0f\x1e\xfa") * 4
        if code[:1] == b"\xf2":
            code, at = code[1:], at + 1
        if code[:2] != b"\xff\x25":  # jmp *slot(%rip)
            return None
        (distance,) = struct.unpack_from("<i", code, 2)
        return self._slots.get(at + 6 + distance)

    @cached_property
    def _functions(self) -> list[tuple[str, int, int]]:
        tables = [section for section in self.elf.iter_sections() if isinstance(section, SymbolTableSection)]
        return [
            (symbol.name, symbol["st_value"], symbol["st_size"])
            for table in tables
            for symbol in table.iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF"
        ]

    @cached_property
    def _slots(self) -> dict[int, str]:
        """Addresses that the dynamic linker fills in, and the names that it looks up for them."""
        result: dict[int, str] = {}
        for section in self.elf.iter_sections():
            if not isinstance(section, RelocationSection):
                continue
            symbols = self.elf.get_section(section["sh_link"])
            if not isinstance(symbols, SymbolTableSection):
                continue
            for relocation in section.iter_relocations():
                if relocation["r_info_sym"]:
                    result[relocation["r_offset"]] = symbols.get_symbol(relocation["r_info_sym"]).name
        return result


def _file_at(process: Process, address: int) -> tuple[Path, int] | None:
    """The file mapped at an address, and the offset in it."""
    root = Path(f"/proc/{process.pid}")
    try:
        lines = (root / "maps").read_text(errors="surrogateescape").splitlines()
        inode = (root / "exe").stat().st_ino
    except OSError:
        return None
    for line in lines:
        span, _, offset, _, number, *_ = line.split(maxsplit=5)
        begin, end = (int(part, 16) for part in span.split("-"))
        if begin <= address < end and number != "0":
            path = root / "exe" if int(number) == inode else root / "map_files" / f"{begin:x}-{end:x}"
            return path, address - begin + int(offset, 16)
    return None


def _place(process: Process, function: str | None, callee: str | None) -> str | None:
    """Where the version description knows such a call, if it is the only one."""
    if function is None:
        return None
    try:
        description: Description = describe(process)
    except (OSError, UpstareError):
        return None
    ids = {each.id for each in description.functions if each.name == function}
    calls = [c for c in description.opaque_calls if c.function in ids and c.callee == callee]
    return f"{calls[0].file}:{calls[0].line}" if len(calls) == 1 else None
