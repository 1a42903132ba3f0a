"""What single instructions do, as far as the proofs in returns.py need to know.

capstone is asked for details once for each different encoding; text of it is never read.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum

import capstone
from capstone import x86

from upstare.points.elf import Elf, Symbol

# Registers are numbered as in the ABI (0 rax ... 15 r15); vector registers follow.
RAX, RDX, RSP, RBP = 0, 2, 4, 5
XMM0 = 16
N_REGISTERS = 48
RIP = 100
NONE = 101
OTHER = 102  # flags, x87, masks, segments: nothing here depends on them


class Kind(Enum):
    """How control leaves an instruction."""

    PLAIN = 0
    JUMP = 1
    BRANCH = 2
    RETURN = 3
    BARRIER = 4  # call, trap, indirect jump, anything unknown


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory operand: its address registers (NONE: absent), and whether it is relative to %fs."""

    base: int
    index: int
    fs: bool
    value: int
    read: bool
    write: bool


@dataclass(frozen=True, slots=True)
class Effect:
    """What one instruction does. ``target`` of jumps is relative to the end of the instruction."""

    size: int
    kind: Kind
    target: int = 0
    condition: int = 0  # of a branch: condition code of the encoding
    memory: tuple[Memory, ...] = ()
    reads: frozenset[int] = frozenset()  # not those in addresses
    writes: frozenset[int] = frozenset()
    copy: tuple[int, int] | None = None  # plain move between registers: (to, from)
    address_of: int | None = None  # lea: register that takes the address of memory[0]
    constant: bool = False  # writes do not depend on reads (xor a,a)
    guard: bool = False  # reads the stack protector's canary, %fs:0x28
    may_fault: bool = False  # divides
    restores: bool = False  # pop, leave


# Instructions that only read a first operand in memory, and those that only write it.
_READS_FIRST = frozenset(
    "cmp test bt push mul imul div idiv fld fild fadd fsub fsubr fmul fdiv fdivr fiadd fisub fisubr fimul fidiv fidivr "
    "fcom fcomp ficom ficomp fldcw ldmxcsr".split()
)
_STORES = ("mov", "vmov", "set", "fst", "fist", "pextr", "vpextr", "stos")

_NAMES = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")


def _register_numbers(engine: capstone.Cs) -> dict[int, int]:
    numbers: dict[int, int] = {0: NONE}
    for register in range(1, x86.X86_REG_ENDING):
        name = engine.reg_name(register) or ""
        number = OTHER
        if name in ("rip", "eip"):
            number = RIP
        elif name[:3] in ("xmm", "ymm", "zmm") and name[3:].isdigit():
            number = XMM0 + int(name[3:])
        elif name[:1] == "r" and name[1:].rstrip("bwd").isdigit():
            number = int(name[1:].rstrip("bwd"))
        else:
            core = name.removeprefix("r").removeprefix("e") if len(name) == 3 else name
            if core in _NAMES:
                number = _NAMES.index(core)
            elif len(core) == 2 and core[1] in "lh" and core[0] + "x" in _NAMES:
                number = _NAMES.index(core[0] + "x")
            elif len(core) == 3 and core[2] == "l" and core[:2] in _NAMES:
                number = _NAMES.index(core[:2])
        numbers[register] = number
    return numbers


class Decoder:
    """Decodes instructions of one ELF file, each encoding once in detail and each address once at all."""

    def __init__(self, elf: Elf) -> None:
        self.elf = elf
        self._lite = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._full = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._full.detail = True
        self._registers = _register_numbers(self._full)
        names = {i: self._full.insn_name(i) or "" for i in range(1, x86.X86_INS_ENDING)}
        self._reads_first = {i for i, name in names.items() if name in _READS_FIRST or name.startswith("prefetch")}
        self._stores = {i for i, name in names.items() if name.startswith(_STORES)}
        self._effects: dict[bytes, Effect] = {}
        self._at: dict[int, Effect | None] = {}

    def at(self, address: int) -> Effect | None:
        """The instruction at a link-time address, or None if there is none."""
        if address not in self._at:
            self._decode_run(address)
        return self._at[address]

    def _decode_run(self, begin: int) -> None:
        """Decode a few instructions from ``begin`` on, up to the first that ends a block."""
        code = self.elf.text(begin, begin + 48)
        self._at[begin] = None
        for address, size, _mnemonic, _operands in self._lite.disasm_lite(code, begin, 8):
            effect = self._effect(code[address - begin : address - begin + size])
            self._at[address] = effect
            if effect.kind is not Kind.PLAIN:
                return

    def _effect(self, code: bytes) -> Effect:
        effect = self._effects.get(code)
        if effect is None:
            effect = _control(code) or self._describe(code)
            self._effects[code] = effect
        return effect

    def _describe(self, code: bytes) -> Effect:
        instruction = next(self._full.disasm(code, 0, 1))
        number = self._registers
        groups = instruction.groups
        if any(
            g in groups
            for g in (
                x86.X86_GRP_CALL,
                x86.X86_GRP_JUMP,
                x86.X86_GRP_RET,
                x86.X86_GRP_INT,
                x86.X86_GRP_IRET,
                x86.X86_GRP_PRIVILEGE,
            )
        ) or instruction.id in (x86.X86_INS_UD2, x86.X86_INS_SYSCALL, x86.X86_INS_HLT, x86.X86_INS_INT3):
            return Effect(len(code), Kind.BARRIER)
        lea = instruction.id == x86.X86_INS_LEA
        memory = [
            self._memory(instruction, i, lea)
            for i, o in enumerate(instruction.operands)
            if o.type == x86.X86_OP_MEM and instruction.id != x86.X86_INS_NOP
        ]
        accessed, written = instruction.regs_access()
        in_addresses = {r for m in memory for r in (m.base, m.index)}
        registers = [number[o.reg] for o in instruction.operands if o.type == x86.X86_OP_REG]
        reads = {number[r] for r in accessed} & set(range(N_REGISTERS))
        if memory:  # address registers count as read only where they are operands, too
            reads = {r for r in reads if r not in in_addresses or r in registers}
        writes = {number[r] for r in written} & set(range(N_REGISTERS))
        same = len(registers) == 2 and registers[0] == registers[1]
        zeroing = same and instruction.id in (
            x86.X86_INS_XOR,
            x86.X86_INS_SUB,
            x86.X86_INS_PXOR,
            x86.X86_INS_XORPS,
            x86.X86_INS_XORPD,
        )
        move = instruction.id == x86.X86_INS_MOV and len(registers) == 2 and instruction.operands[0].size == 8
        return Effect(
            len(code),
            Kind.PLAIN,
            memory=tuple(memory),
            reads=frozenset(reads),
            writes=frozenset(writes),
            copy=(registers[0], registers[1]) if move else None,
            address_of=registers[0] if lea else None,
            constant=zeroing or (not reads and not memory),
            guard=any(m.fs and m.value == 0x28 and m.base == NONE for m in memory),
            may_fault=instruction.id in (x86.X86_INS_DIV, x86.X86_INS_IDIV),
            restores=instruction.id in (x86.X86_INS_POP, x86.X86_INS_LEAVE),
        )

    def _memory(self, instruction: capstone.CsInsn, position: int, idle: bool) -> Memory:
        """The memory operand at ``position``.

        capstone takes some stores (movups, movq, fstp) for loads. So a first operand counts as written but for the
        instructions that are known only to read it, and as read but for plain moves.
        """
        operand = instruction.operands[position]
        read = write = False
        if not idle:
            read = position > 0 or instruction.id not in self._stores
            write = position == 0 and instruction.id not in self._reads_first
        number = self._registers
        return Memory(
            number[operand.mem.base],
            number[operand.mem.index],
            operand.mem.segment == x86.X86_REG_FS,
            operand.mem.disp,
            read,
            write,
        )


def _control(code: bytes) -> Effect | None:
    """Direct jumps, branches and returns, read from their bytes; None for all other instructions."""
    size = len(code)
    at = 0
    while at < size and code[at] in (0xF2, 0xF3, 0x3E, 0x2E, 0x66, 0x67):  # bnd, rep ret, notrack, hints
        at += 1
    opcode = code[at]
    if opcode == 0xC3:
        return Effect(size, Kind.RETURN)
    if opcode in (0xE9, 0xE8):
        kind = Kind.JUMP if opcode == 0xE9 else Kind.BARRIER
        return Effect(size, kind, int.from_bytes(code[at + 1 : at + 5], "little", signed=True))
    if opcode == 0xEB:
        return Effect(size, Kind.JUMP, int.from_bytes(code[at + 1 : at + 2], "little", signed=True))
    if opcode & 0xF0 == 0x70:
        return Effect(size, Kind.BRANCH, int.from_bytes(code[at + 1 : at + 2], "little", signed=True), opcode & 15)
    if opcode == 0x0F and code[at + 1] & 0xF0 == 0x80:
        target = int.from_bytes(code[at + 2 : at + 6], "little", signed=True)
        return Effect(size, Kind.BRANCH, target, code[at + 1] & 15)
    return None


@dataclass(slots=True)
class Body:
    """One contiguous piece of a function's text."""

    symbol: Symbol
    begin: int
    end: int
    physical: str  # name of the function that it is a piece of, e.g. "f.part.0" for "f.part.0.cold"
    source: str  # name in the source, e.g. "f"


class Bodies:
    """The function bodies of an ELF file by address. Of aliases, the longest body counts."""

    def __init__(self, symbols: list[Symbol]) -> None:
        best: dict[int, Symbol] = {}
        for symbol in symbols:
            other = best.get(symbol.address)
            if symbol.size and (other is None or symbol.size > other.size):
                best[symbol.address] = symbol
        self.bodies = [
            Body(s, s.address, s.address + s.size, physical_name(s.name), source_name(s.name))
            for s in sorted(best.values(), key=lambda s: s.address)
        ]
        self._begins = [b.begin for b in self.bodies]

    def at(self, address: int) -> Body | None:
        """The body that holds an address."""
        i = bisect_right(self._begins, address) - 1
        return self.bodies[i] if i >= 0 and address < self.bodies[i].end else None


def physical_name(symbol: str) -> str:
    """The function that a piece split off for being cold belongs to: "f.part.0.cold" -> "f.part.0"."""
    head, dot, tail = symbol.partition(".cold")
    return head if dot and (not tail or tail[1:].isdigit()) else symbol


def source_name(symbol: str) -> str:
    """The name that a clone or piece has in the source: "f.constprop.0.isra.0" -> "f"."""
    return symbol.partition(".")[0]
