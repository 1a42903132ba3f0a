"""Where a variable is at a point, decoded from the one instruction that the assembler made of its operand.

The transform writes ``movq %q0,%rax`` (VALUE of an integer or pointer, POINTER), ``movups %0,%xmm0`` (VALUE of a
floating point number) or ``leaq %0,%rax`` (OBJECT, MEMORY). The assembler is free in the encoding, so all forms that
it makes are read here, and any other is an error: a wrong guess would restore a wrong value.

The bytes are in a section that is not loaded. A displacement relative to %rip was therefore resolved as if the
instruction ran at the address of that section (0) plus its offset; the target is found by undoing just that. Operands
may be slots of the global offset table (``movq x@GOTPCREL(%rip)``): the linker keeps these loads in such sections as
they are, so that the value is in memory at the slot.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from upstare.points.layout import (
    IMM,
    MEM,
    MEM_FS,
    MEM_RIP,
    NO_REGISTER,
    POINTER,
    REG,
    VALUE,
    XMM,
)


class Undecodable(Exception):
    """The instruction is none that an operand can be."""


@dataclass(frozen=True, slots=True)
class Place:
    """Place and registers of ``struct upstare_operand``."""

    place: int
    base: int = 0
    index: int = 0
    scale: int = 0
    value: int = 0


def decode(kind: int, code: bytes, address: int) -> Place:
    """The place that ``code`` reads (VALUE, POINTER) or whose address it takes (OBJECT, MEMORY).

    Args:
        kind: enum upstare_operand_kind.
        code: exactly one instruction.
        address: where the linker thinks that it is: the address of its section plus its offset.

    Raises:
        Undecodable: for any instruction that is not one of the forms in the module's text.
    """
    try:
        place, used = _decode(kind, code, address)
    except (IndexError, struct.error) as error:
        raise Undecodable("the instruction is cut short") from error
    if used != len(code):
        raise Undecodable(f"{len(code) - used} bytes are left over")
    return place


def _decode(kind: int, code: bytes, address: int) -> tuple[Place, int]:
    at = 0
    segment = 0
    while code[at] in (0x64, 0x65, 0x2E, 0x3E, 0x26, 0x36):  # segment prefixes; only %fs has a meaning for us
        segment = code[at]
        at += 1
        if segment == 0x65:
            raise Undecodable("operand relative to %gs")
    rex = 0
    if code[at] & 0xF0 == 0x40:
        rex = code[at]
        at += 1
    opcode = code[at]
    at += 1
    wide = bool(rex & 8)
    if kind in (VALUE, POINTER):
        if opcode == 0x0F:
            return _decode_movups(kind, code, at, rex, address, segment)
        if opcode == 0x8B and wide:
            return _modrm(code, at, rex, address, segment, REG, other=0)
        if opcode == 0x89 and wide:
            return _move_from_register(code, at, rex)
        if opcode == 0xC7 and wide and code[at] == 0xC0 and not rex & 1:
            return Place(IMM, value=struct.unpack_from("<i", code, at + 1)[0]), at + 5
        if opcode == 0xB8 and not rex & 1:  # movabs $imm64,%rax or mov $imm32,%eax
            form = "<q" if wide else "<I"
            return Place(IMM, value=struct.unpack_from(form, code, at)[0]), at + struct.calcsize(form)
        if opcode == 0x31 and code[at] == 0xC0 and not rex & 5:  # xor %eax,%eax (as -O)
            return Place(IMM, value=0), at + 1
    elif opcode == 0x8D and wide:
        return _modrm(code, at, rex, address, segment, None, other=0)
    raise Undecodable(f"opcode {opcode:#x} is not one of kind {kind}")


def _decode_movups(kind: int, code: bytes, at: int, rex: int, address: int, segment: int) -> tuple[Place, int]:
    opcode, modrm = code[at], code[at + 1]
    if kind != VALUE or opcode not in (0x10, 0x11):
        raise Undecodable(f"opcode 0x0f {opcode:#x} is not one of kind {kind}")
    if opcode == 0x11:  # movups %xmmN,%xmm0, the other direction of the same move
        if modrm & 0xC7 != 0xC0 or rex & 1:
            raise Undecodable("movups does not go to %xmm0")
        return Place(XMM, base=modrm >> 3 & 7 | (rex & 4) << 1), at + 2
    return _modrm(code, at + 1, rex, address, segment, XMM, other=0)


def _move_from_register(code: bytes, at: int, rex: int) -> tuple[Place, int]:
    modrm = code[at]
    if modrm & 0xC7 != 0xC0 or rex & 1:
        raise Undecodable("mov does not go to %rax")
    return Place(REG, base=modrm >> 3 & 7 | (rex & 4) << 1), at + 1


def _modrm(
    code: bytes, at: int, rex: int, address: int, segment: int, register: int | None, other: int
) -> tuple[Place, int]:
    """The r/m operand at ``at``; its ``reg`` field must be ``other`` (%rax, %xmm0). ``register``: REG, XMM or none."""
    modrm = code[at]
    at += 1
    mode, low = modrm >> 6, modrm & 7
    if (modrm >> 3 & 7 | (rex & 4) << 1) != other:
        raise Undecodable("the instruction does not go to %rax or %xmm0")
    if mode == 3:
        if register is None:
            raise Undecodable("the address of a register")
        return Place(register, base=low | (rex & 1) << 3), at
    memory = MEM_FS if segment == 0x64 else MEM
    base, index, scale = low | (rex & 1) << 3, NO_REGISTER, 1
    if low == 4:
        sib = code[at]
        at += 1
        base = sib & 7 | (rex & 1) << 3
        index = sib >> 3 & 7 | (rex & 2) << 2
        scale = 1 << (sib >> 6)
        if index == 4:
            index, scale = NO_REGISTER, 1
        if sib & 7 == 5 and mode == 0:
            return Place(memory, NO_REGISTER, index, scale, struct.unpack_from("<i", code, at)[0]), at + 4
    elif low == 5 and mode == 0:
        (displacement,) = struct.unpack_from("<i", code, at)
        if segment == 0x64:
            raise Undecodable("operand relative to %fs and %rip")
        return Place(MEM_RIP, NO_REGISTER, NO_REGISTER, 1, address + at + 4 + displacement), at + 4
    if mode == 1:
        return Place(memory, base, index, scale, struct.unpack_from("<b", code, at)[0]), at + 1
    if mode == 2:
        return Place(memory, base, index, scale, struct.unpack_from("<i", code, at)[0]), at + 4
    return Place(memory, base, index, scale, 0), at
