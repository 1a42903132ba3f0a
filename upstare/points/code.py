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
    CALL = 4
    BARRIER = 5  # trap, indirect jump, anything unknown


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
class Step:
    """How one instruction passes control on. ``target`` of jumps and branches is relative to its end."""

    code: bytes
    kind: Kind
    target: int = 0
    condition: int = 0  # of a branch: condition code of the encoding
    guard: bool = False  # reads the stack protector's canary, %fs:0x28

    @property
    def size(self) -> int:
        """Bytes of the instruction."""
        return len(self.code)


@dataclass(frozen=True, slots=True)
class Effect:
    """What one plain instruction does to registers and memory."""

    memory: tuple[Memory, ...] = ()
    reads: frozenset[int] = frozenset()  # not those in addresses
    writes: frozenset[int] = frozenset()
    copy: tuple[int, int] | None = None  # plain move between registers: (to, from)
    address_of: int | None = None  # lea: register that takes the address of memory[0]
    constant: bool = False  # writes do not depend on reads (xor a,a)
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
    """Decodes instructions of one ELF file, each body and each encoding once."""

    def __init__(self, elf: Elf, bodies: Bodies) -> None:
        self.elf = elf
        self.bodies = bodies
        self._lite = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._full = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._full.detail = True
        self._registers = _register_numbers(self._full)
        names = {i: self._full.insn_name(i) or "" for i in range(1, x86.X86_INS_ENDING)}
        self._reads_first = {i for i, name in names.items() if name in _READS_FIRST or name.startswith("prefetch")}
        self._stores = {i for i, name in names.items() if name.startswith(_STORES)}
        self._effects: dict[bytes, Effect] = {}
        self._steps: dict[bytes, Step] = {}
        self._at: dict[int, Step] = {}
        self._decoded: set[int] = set()

    def at(self, address: int) -> Step | None:
        """The instruction at a link-time address, or None if no instruction of a function begins there."""
        step = self._at.get(address)
        if step is None:
            body = self.bodies.at(address)
            if body is not None and body.begin not in self._decoded:
                self._decode(body)
                step = self._at.get(address)
        return step

    def calls(self, body: Body) -> list[int]:
        """The addresses behind all calls in a body, but for one that ends it."""
        self.at(body.begin)
        found: list[int] = []
        address = body.begin
        while (step := self._at.get(address)) is not None:
            address += len(step.code)
            if step.kind is Kind.CALL and address < body.end:
                found.append(address)
        return found

    def _decode(self, body: Body) -> None:
        """Decode a whole body: compilers for x86-64 put nothing but instructions between its begin and its end."""
        self._decoded.add(body.begin)
        code = self.elf.text(body.begin, body.end)
        steps, at = self._steps, 0
        for address, size, _mnemonic, _operands in self._lite.disasm_lite(code, body.begin):
            instruction = code[at : at + size]
            at += size
            step = steps.get(instruction)
            if step is None:
                step = steps[instruction] = _control(instruction)
            self._at[address] = step

    def effect(self, code: bytes) -> Effect:
        """What a plain instruction does."""
        effect = self._effects.get(code)
        if effect is None:
            effect = self._effects[code] = self._describe(code)
        return effect

    def _describe(self, code: bytes) -> Effect:
        instruction = next(self._full.disasm(code, 0, 1))
        number = self._registers
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
            memory=tuple(memory),
            reads=frozenset(reads),
            writes=frozenset(writes),
            copy=(registers[0], registers[1]) if move else None,
            address_of=registers[0] if lea else None,
            constant=zeroing or (not reads and not memory),
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


_PREFIXES = frozenset((0xF2, 0xF3, 0x3E, 0x2E, 0x26, 0x36, 0x64, 0x65, 0x66, 0x67, *range(0x40, 0x50)))
# int3, int, int1, hlt, far and callee-clean returns, iret, loop, jrcxz, port input and output
_BARRIERS = frozenset((0xCC, 0xCD, 0xF1, 0xF4, 0xC2, 0xCA, 0xCB, 0xCF, *range(0xE0, 0xE8), *range(0xEC, 0xF0)))
# 0x0f: system instructions, syscall, ud2, wrmsr, rdtsc ... sysexit, syscall's kin, ud0, ud1
_BARRIERS_0F = frozenset((0x00, 0x01, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0B, 0x30, 0x34, 0x35, 0xAA, 0xB9, 0xFF))


def _control(code: bytes) -> Step:
    """How an instruction passes control on, read from its opcode."""
    at = 0
    while code[at] in _PREFIXES and at + 1 < len(code):
        at += 1
    opcode = code[at]
    if opcode == 0xC3:
        return Step(code, Kind.RETURN)
    if opcode in (0xE9, 0xEB):
        return Step(code, Kind.JUMP, _relative(code, at + 1))
    if opcode & 0xF0 == 0x70:
        return Step(code, Kind.BRANCH, _relative(code, at + 1), opcode & 15)
    if opcode == 0x0F and code[at + 1] & 0xF0 == 0x80:
        return Step(code, Kind.BRANCH, _relative(code, at + 2), code[at + 1] & 15)
    if opcode == 0xE8 or (opcode == 0xFF and code[at + 1] >> 3 & 7 in (2, 3)):
        return Step(code, Kind.CALL)
    if (
        opcode in _BARRIERS
        or (opcode == 0x0F and code[at + 1] in _BARRIERS_0F)
        or (opcode == 0xFF and code[at + 1] >> 3 & 7 in (4, 5))
    ):
        return Step(code, Kind.BARRIER)
    return Step(code, Kind.PLAIN, guard=code[0] == 0x64 and code[-5:] == b"\x25\x28\0\0\0")


def _relative(code: bytes, at: int) -> int:
    return int.from_bytes(code[at:], "little", signed=True)


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
        self.pieces: dict[str, list[Body]] = {}  # by physical name
        for body in self.bodies:
            self.pieces.setdefault(body.physical, []).append(body)

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
