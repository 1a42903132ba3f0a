"""What the linker must be told for the sake of the notes.

Notes are in a section that is not loaded, and the linker counts references from loaded sections only. An operand that
reads a slot of the global offset table, or a variable of a shared library, finds no slot (or no copy of the variable)
if no loaded code needs one. A few bytes of data that refer to the same symbols make them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from upstare.errors import NotUpdatable
from upstare.points.elf import Elf
from upstare.points.notes import SECTION

_PC32 = 2
_GOT = frozenset((9, 41, 42))  # GOTPCREL, GOTPCRELX, REX_GOTPCRELX
_DTPOFF = frozenset((17, 21))  # offsets that the linker changes in loaded code only


@dataclass(frozen=True)
class References:
    """Symbols that the notes of an object refer to: by slots of the global offset table, and directly in others."""

    slots: frozenset[str]
    direct: frozenset[str]


def references(path: Path) -> References:
    """The references of an object.

    Raises:
        NotUpdatable: an operand is a thread-local variable, reached in a way that notes cannot tell.
    """
    slots: set[str] = set()
    direct: set[str] = set()
    for relocation in Elf(path).relocations(SECTION):
        if relocation.type in _DTPOFF:
            raise NotUpdatable(
                f"{path}: a thread-local variable is live at an update point in a form that cannot be recorded",
                hint="compile with -ftls-model=initial-exec",
            )
        if relocation.type in _GOT and not relocation.local:
            slots.add(relocation.symbol)
        elif relocation.type == _PC32 and not relocation.defined:
            direct.add(relocation.symbol)
    return References(frozenset(slots), frozenset(direct))


def keep_source(objects: Sequence[References]) -> str | None:
    """Assembly of an object that must be linked with ``objects`` for the sake of their notes; None if none must."""
    slots = {symbol for one in objects for symbol in one.slots}
    direct = {symbol for one in objects for symbol in one.direct}
    if not slots and not direct:
        return None
    lines = ['\t.section .upstare.keep,"a",@progbits', "\t.zero 8"]
    lines += [f'\t.long "{symbol}"@GOTPCREL' for symbol in sorted(slots)]
    lines += [f'\t.long "{symbol}" - .' for symbol in sorted(direct)]
    lines += ['\t.section .note.GNU-stack,"",@progbits', ""]
    return "\n".join(lines)
