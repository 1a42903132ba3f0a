"""No-ops that become part of the instruction behind them.

A point is one byte that a breakpoint can replace and that can be jumped over. In place of a no-op this can be a prefix
without a meaning: the processor takes it and the instruction behind it for one instruction, so the point costs nothing.
The prefix is ES, which 64-bit code ignores. It is written into the linked file, when all that is to be known of the
code has been read from it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from pathlib import Path

from upstare.points.code import Decoder
from upstare.points.elf import Elf

PREFIX = 0x26
LONGEST = 13  # bytes of an instruction that takes a prefix; a processor takes 15 in all

_REX = range(0x40, 0x50)


def _opcodes(*ranges: tuple[int, int]) -> frozenset[int]:
    return frozenset(code for first, last in ranges for code in range(first, last + 1))


# Moves, arithmetic, tests, jumps, calls, returns. Not those that mean another thing with a prefix (strings), that serve
# the system, or that are no-ops themselves.
_ONE = _opcodes(
    (0x00, 0x05), (0x08, 0x0D), (0x10, 0x15), (0x18, 0x1D), (0x20, 0x25), (0x28, 0x2D), (0x30, 0x35), (0x38, 0x3D),
    (0x50, 0x5F), (0x63, 0x63), (0x68, 0x6B), (0x70, 0x81), (0x83, 0x8B), (0x8D, 0x8D), (0x98, 0x99), (0xA8, 0xA9),
    (0xB0, 0xC1), (0xC3, 0xC3), (0xC6, 0xC7), (0xC9, 0xC9), (0xD0, 0xD3), (0xE8, 0xE9), (0xEB, 0xEB), (0xF6, 0xF7),
    (0xFE, 0xFF),
)  # fmt: skip
_TWO = _opcodes(
    (0x10, 0x17), (0x28, 0x2F), (0x40, 0x76), (0x7E, 0x9F), (0xA3, 0xA5), (0xAB, 0xAD), (0xAF, 0xAF), (0xB3, 0xB3),
    (0xB6, 0xB8), (0xBA, 0xBF), (0xC2, 0xC2), (0xC4, 0xC6), (0xC8, 0xFE),
)  # fmt: skip


def takes_prefix(code: bytes) -> bool:
    """Whether a prefix before this instruction surely changes nothing."""
    at = 0
    if len(code) > LONGEST:
        return False
    first = code[0]
    if first in (0x66, 0xF2, 0xF3):
        at += 1
    if at < len(code) and code[at] in _REX:
        at += 1
    if code[at : at + 1] == b"\x0f":
        return len(code) > at + 1 and code[at + 1] in _TWO
    return first not in (0xF2, 0xF3) and code[at : at + 1] != b"" and code[at] in _ONE


def with_prefix(decoder: Decoder) -> list[bool]:
    """Of each point, whether its no-op can be a prefix of what stands behind it."""
    known: dict[bytes, bool] = {b"": False}
    found: list[bool] = []
    for code in decoder.behind_notes():
        if (takes := known.get(code)) is None:
            takes = known[code] = takes_prefix(code)
        found.append(takes)
    return found


def write_prefixes(path: Path, addresses: Iterable[int]) -> None:
    """Put prefixes at these link-time addresses of a linked file."""
    places = list(Elf(path).offsets(addresses))
    if not places:
        return
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        for offset in places:
            assert offset is not None, "an instruction was read there"
            data[offset] = PREFIX
