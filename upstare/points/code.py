"""What single instructions do, as far as the proofs in returns.py need to know.

How long they are and how they pass control on is read in C (decode.h); trace.c follows the paths that need no more than
that. Of the others capstone is asked for details, once for each different encoding; text of it is never read.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import struct
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from upstare.driver.cache import Cache
from upstare.driver.hashing import sha256
from upstare.driver.native import compiled
from upstare.errors import UpstareError
from upstare.points.elf import Elf, Symbol
from upstare.release import release_digest

if TYPE_CHECKING:
    import capstone

# Registers are numbered as in the ABI (0 rax ... 15 r15); vector registers follow.
RAX, RDX, RSP, RBP = 0, 2, 4, 5
XMM0 = 16
N_REGISTERS = 48
RIP = 100
NONE = 101
OTHER = 102  # flags, x87, masks, segments: nothing here depends on them


class Kind(Enum):
    """How control leaves an instruction: ``enum kind`` of decode.h."""

    PLAIN = 0
    JUMP = 1
    BRANCH = 2
    RETURN = 3
    CALL = 4
    BARRIER = 5  # trap, indirect jump, anything unknown


_KINDS = tuple(Kind)


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory operand: its address registers (NONE: absent), and whether it is relative to %fs."""

    base: int
    index: int
    fs: bool
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
    may_fault: bool = False  # divides, or is not known
    restores: bool = False  # pop, leave


# Instructions that only read a first operand in memory, and those that only write it.
_READS_FIRST = frozenset(
    "cmp test bt push mul imul div idiv fld fild fadd fsub fsubr fmul fdiv fdivr fiadd fisub fisubr fimul fidiv fidivr "
    "fcom fcomp ficom ficomp fldcw ldmxcsr".split()
)
_STORES = ("mov", "vmov", "set", "fst", "fist", "pextr", "vpextr", "stos")

_NAMES = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")


def _register_numbers(engine: capstone.Cs) -> dict[int, int]:
    from capstone import x86

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


class _Step(ctypes.Structure):
    """``struct step`` of decode.h."""

    _fields_ = [(name, ctypes.c_int32) for name in ("size", "kind", "target", "condition", "guard")]


class _Body(ctypes.Structure):
    """``struct body``."""

    _fields_ = [
        ("begin", ctypes.c_uint64), ("end", ctypes.c_uint64), ("offset", ctypes.c_uint64), ("size", ctypes.c_uint32),
        ("physical", ctypes.c_int32), ("whole", ctypes.c_int32), ("unused", ctypes.c_int32),
    ]  # fmt: skip


_FOUND = struct.Struct("=qQii")  # ``struct found``
_EFFECT = struct.Struct("=QQ3B3BBBBBB5x")  # ``struct effect``
_DESCRIBED = struct.Struct(f"=15sB{_EFFECT.size}s")  # ``struct described``
_PLACE = struct.Struct("=QQ")  # ``struct place``

_FS, _READ, _WRITE = 1, 2, 4  # flags of ``struct memory``
_CONSTANT, _FAULTS, _RESTORES = 1, 2, 4  # flags of ``struct effect``
_ABSENT = 255


class Proof(Enum):
    """What is proved of a way: ``enum proof``."""

    WAY_ONLY = 0  # where it leads
    FROM_LABEL = 1  # and that nothing is done with a dummy result: it begins where the dummy return does,
    FROM_RETURN = 2  # or where a call has returned with one


class Found(NamedTuple):
    """Where a way leads (``struct found``): to the note with the index ``target``, or NEXT_RETURN, or NEXT_UNKNOWN."""

    target: int
    at: int = 0
    why: int = 0
    intact: int = 1  # NEXT_RETURN: nothing touched the result on the way

    @property
    def reason(self) -> str:
        """Why it is NEXT_UNKNOWN."""
        return REASONS[self.why].format(self.at)


# Of ``enum reason``, in its order.
REASONS = (
    "",
    "the code at {:#x} cannot be followed",
    "there is a call or trap at {:#x}",
    "there are too many branches at {:#x}",
    "a branch at {:#x} leads to different places",
    "a jump at {:#x} leaves the function",
    "a jump at {:#x} calls the function again",
    "the check of the stack before {:#x} is not the usual one",
    "it leads to a point that is not after a call",
    "{:#x} is in no function",
    "there is a division at {:#x}",
    "a load at {:#x} may go through the dummy result",
    "a store at {:#x} leaves the stack frame",
)


@functools.cache
def library() -> ctypes.CDLL:
    """trace.c, ready to be called.

    Raises:
        UpstareError: it cannot be compiled or loaded.
    """
    try:
        trace = ctypes.CDLL(str(compiled(Path(__file__).with_name("trace.c"))))
    except OSError as error:
        raise UpstareError(f"cannot load the native tracer: {error}", hint="install UpStare again") from error
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    trace.open_text.restype = pointer
    trace.open_text.argtypes = [pointer, pointer, number, pointer, pointer, number]
    trace.close_text.restype = None
    trace.close_text.argtypes = [pointer]
    trace.read_step.argtypes = [pointer, ctypes.c_uint64, pointer]
    trace.find_calls.restype = number
    trace.find_calls.argtypes = [pointer, pointer, number, pointer, pointer]
    trace.follow.restype = number
    trace.follow.argtypes = [pointer, pointer, number, ctypes.c_int, pointer]
    trace.take_wanted.restype = None
    trace.take_wanted.argtypes = [pointer, pointer]
    trace.learn.argtypes = [pointer, pointer, number]
    trace.behind_notes.restype = None
    trace.behind_notes.argtypes = [pointer, pointer]
    trace.size_of_instruction.argtypes = [pointer, ctypes.c_int]
    return trace


class Decoder:
    """Decodes instructions of one ELF file, each body and each encoding once.

    Args:
        elf: the file.
        bodies: its functions.
        notes: the addresses of the notes, in order.
        after_call: for each note, whether it is after a call.
    """

    def __init__(self, elf: Elf, bodies: Bodies, notes: Sequence[int], after_call: Sequence[bool]) -> None:
        self.elf = elf
        self.bodies = bodies
        self._effects: Effects | None = None
        self._steps: dict[int, Step | None] = {}
        # What C looks at must stay where it is.
        self._places = (_Body * len(bodies.bodies))()
        numbers = {name: number for number, name in enumerate(bodies.pieces)}
        for place, body in zip(self._places, bodies.bodies, strict=True):
            place.begin, place.end = body.begin, body.end
            place.offset, place.size = elf.span(body.begin, body.end)
            place.physical, place.whole = numbers[body.physical], body.symbol.name == body.physical
        self._notes = array("Q", notes)
        self._flags = bytes(after_call)
        self._trace = library()
        self._file = (ctypes.c_char * len(elf.data)).from_buffer(elf.data)
        self._text = self._trace.open_text(
            self._file, self._places, len(self._places), _address(self._notes), self._flags, len(self._notes)
        )
        if not self._text:
            raise MemoryError

    def __del__(self) -> None:
        if getattr(self, "_text", None):
            self._trace.close_text(self._text)

    def at(self, address: int) -> Step | None:
        """The instruction at a link-time address, or None if no instruction of a function begins there."""
        if address not in self._steps:
            self._steps[address] = self._read(address)
        return self._steps[address]

    def _read(self, address: int) -> Step | None:
        row = _Step()
        if not self._trace.read_step(self._text, address, ctypes.byref(row)):
            return None
        code = self.elf.text(address, address + row.size)
        return Step(code, _KINDS[row.kind], row.target, row.condition, bool(row.guard))

    def calls(self, indices: Sequence[int]) -> tuple[array[int], array[int]]:
        """The addresses behind all calls in the bodies with these indices, but for those that end one, and the index of
        the body for each."""
        asked = array("q", indices)
        count = self._trace.find_calls(self._text, _address(asked), len(asked), None, None)
        addresses, owners = array("Q", bytes(8 * count)), array("q", bytes(8 * count))
        self._trace.find_calls(self._text, _address(asked), len(asked), _address(addresses), _address(owners))
        return addresses, owners

    def follow(self, addresses: Sequence[int], proof: Proof) -> list[Found]:
        """Where control goes from each address, if that can be proved."""
        if proof is not Proof.WAY_ONLY and self._effects is None:
            self._effects = Effects()
            self._learn(self._effects.rows)
        begins = array("Q", addresses)
        found = bytearray(_FOUND.size * len(begins))
        place = (ctypes.c_char * len(found)).from_buffer(found)
        while wanted := self._trace.follow(self._text, _address(begins), len(begins), proof.value, place):
            assert self._effects is not None
            rows = ctypes.create_string_buffer(_DESCRIBED.size * wanted)
            self._trace.take_wanted(self._text, rows)
            self._learn(self._effects.describe([code[:size] for code, size, _ in _DESCRIBED.iter_unpack(rows.raw)]))
        if self._effects is not None:
            self._effects.keep()
        return list(map(Found._make, _FOUND.iter_unpack(found)))

    def _learn(self, rows: bytes) -> None:
        if not self._trace.learn(self._text, rows, len(rows) // _DESCRIBED.size):
            raise MemoryError

    def behind_notes(self) -> list[bytes]:
        """The instruction behind each note; b'' if it is in another function, or is a note itself."""
        places = ctypes.create_string_buffer(_PLACE.size * len(self._notes))
        self._trace.behind_notes(self._text, places)
        return [self.elf.data[offset : offset + size] for offset, size in _PLACE.iter_unpack(places.raw)]


def _address(numbers: array[int]) -> int:
    return numbers.buffer_info()[0]


class _Details:
    """What capstone says of instructions."""

    def __init__(self) -> None:
        import capstone
        from capstone import x86

        self._x86 = x86
        self._full = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._full.detail = True
        self._registers = _register_numbers(self._full)
        names = {i: self._full.insn_name(i) or "" for i in range(1, x86.X86_INS_ENDING)}
        self._reads_first = {i for i, name in names.items() if name in _READS_FIRST or name.startswith("prefetch")}
        self._stores = {i for i, name in names.items() if name.startswith(_STORES)}

    def describe(self, code: bytes) -> Effect:
        """The effect of a plain instruction."""
        x86 = self._x86
        instruction = next(self._full.disasm(code, 0, 1), None)
        if instruction is None or instruction.size != len(code):
            return Effect(may_fault=True)
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
        x86 = self._x86
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
            read,
            write,
        )


def _row(code: bytes, effect: Effect) -> bytes:
    """``struct described``. What has more operands in memory than there is room for counts as what may fault."""
    memory: list[int] = []
    for m in effect.memory[:2]:
        memory += (m.base, m.index, _FS * m.fs | _READ * m.read | _WRITE * m.write)
    faults = effect.may_fault or len(effect.memory) > 2
    row = _EFFECT.pack(
        sum(1 << r for r in effect.reads), sum(1 << r for r in effect.writes), *memory, *[0] * (6 - len(memory)),
        len(memory) // 3, *(effect.copy or (_ABSENT, _ABSENT)),
        _ABSENT if effect.address_of is None else effect.address_of,
        _CONSTANT * effect.constant | _FAULTS * faults | _RESTORES * effect.restores,
    )  # fmt: skip
    return _DESCRIBED.pack(code, len(code), row)


class Effects:
    """What instructions do. The cache has those that a build met before, for the release and the capstone that is here.

    Attributes:
        rows: ``struct described`` of each that is known.
    """

    LIMIT = 1 << 16  # instructions: with more than that it begins anew

    def __init__(self) -> None:
        self._cache = Cache()
        self._key = sha256(f"effects {release_digest()} {_capstone_installed()}".encode()).hexdigest()
        self.rows = self._cache.read(self._key) or b""
        if len(self.rows) % _DESCRIBED.size or len(self.rows) > self.LIMIT * _DESCRIBED.size:
            self.rows = b""
        self._kept = len(self.rows)

    def describe(self, codes: Sequence[bytes]) -> bytes:
        """The rows of instructions that are not known yet."""
        details = _details()
        new = b"".join([_row(code, details.describe(code)) for code in codes])
        self.rows += new
        return new

    def keep(self) -> None:
        """What was learned is in the cache."""
        if len(self.rows) > self._kept:
            self._cache.put(self._key, self.rows)
            self._kept = len(self.rows)


def _capstone_installed() -> str:
    """Which capstone is installed, without importing it: its files, their sizes, and when they were written."""
    spec = importlib.util.find_spec("capstone")
    found: list[str] = []
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        for path in (*Path(place).glob("*.py"), *Path(place).glob("lib/*")):
            status = path.stat()
            found.append(f"{path} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(sorted(found))


@functools.cache
def _details() -> _Details:
    return _Details()


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
