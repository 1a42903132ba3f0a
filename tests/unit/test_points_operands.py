"""Operands: what the assembler makes of each form is decoded to the right place, anything else is an error."""

from __future__ import annotations

import random
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from upstare.errors import UpstareError
from upstare.points.elf import Elf
from upstare.points.layout import IMM, MEM, MEM_FS, MEM_RIP, NO_REGISTER, OBJECT, POINTER, REG, VALUE, XMM
from upstare.points.notes import Undecodable, decode, parse_notes

REGISTERS = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
NONE = NO_REGISTER


@dataclass
class Place:
    """Where an operand is."""

    place: int
    base: int = 0
    index: int = 0
    scale: int = 0
    value: int = 0


def place_of(kind: int, code: bytes, address: int) -> Place:
    row = decode(kind, code, address)
    assert (row.kind, row.high, row.sort, row.offset, row.size) == (kind, 0, 0, 0, 0)
    return Place(row.place, row.base, row.index, row.scale, row.value)


def assemble(tmp_path: Path, lines: list[str], *flags: str) -> list[bytes]:
    """The bytes of each instruction."""
    source = tmp_path / "a.s"
    source.write_text("".join(f"\t{line}\n" for line in lines))
    subprocess.run(["gcc", "-c", *flags, str(source), "-o", str(tmp_path / "a.o")], check=True)
    elf = Elf(tmp_path / "a.o")
    code = elf.content(elf.by_name[".text"])
    done = subprocess.run(["objdump", "-dw", str(tmp_path / "a.o")], check=True, capture_output=True, text=True)
    starts = [int(x.split(":")[0], 16) for x in done.stdout.splitlines() if x.startswith(" ") and ":\t" in x]
    assert len(starts) == len(lines)
    return [code[a:b] for a, b in zip(starts, [*starts[1:], len(code)], strict=True)]


def address_forms() -> list[tuple[str, Place]]:
    """Memory operands: every base, index, scale and displacement that matters."""
    forms: list[tuple[str, Place]] = []
    for b, base in enumerate(REGISTERS):
        for displacement in (0, 8, -128, 127, 128, -129, 0x7FFFFFFF, -0x80000000):
            forms.append((f"{displacement}(%{base})", Place(MEM, b, NONE, 1, displacement)))
        for i, index in enumerate(REGISTERS):
            if index != "rsp":
                for scale in (1, 2, 4, 8):
                    forms.append((f"16(%{base},%{index},{scale})", Place(MEM, b, i, scale, 16)))
                forms.append((f"(%{base},%{index},2)", Place(MEM, b, i, 2, 0)))
    for i, index in enumerate(REGISTERS):
        if index != "rsp":
            forms.append((f"0x1234(,%{index},4)", Place(MEM, NONE, i, 4, 0x1234)))
    forms.append(("0x1234", Place(MEM, NONE, NONE, 1, 0x1234)))
    forms.append(("%fs:-8", Place(MEM_FS, NONE, NONE, 1, -8)))
    forms.append(("%fs:0x40(%r13)", Place(MEM_FS, 13, NONE, 1, 0x40)))
    return forms


def test_memory(tmp_path: Path) -> None:
    forms = address_forms()
    for template, kind in (
        ("movq {},%rax", VALUE),
        ("movq {},%rax", POINTER),
        ("movups {},%xmm0", VALUE),
        ("leaq {},%rax", OBJECT),
    ):
        codes = assemble(tmp_path, [template.format(text) for text, _ in forms])
        for code, (text, place) in zip(codes, forms, strict=True):
            assert place_of(kind, code, 0) == place, text


@pytest.mark.parametrize("flags", [(), ("-Wa,-O2",), ("-Wa,-Os",)])
def test_registers_and_immediates(tmp_path: Path, flags: tuple[str, ...]) -> None:
    codes = assemble(tmp_path, [f"movq %{r},%rax" for r in REGISTERS], *flags)
    assert [place_of(VALUE, c, 0) for c in codes] == [Place(REG, base=i) for i in range(16)]
    codes = assemble(tmp_path, [f"movups %xmm{i},%xmm0" for i in range(16)], *flags)
    assert [place_of(VALUE, c, 0) for c in codes] == [Place(XMM, base=i) for i in range(16)]
    numbers = [1, -1, 127, -128, 0x7FFFFFFF, -0x80000000, 0x80000000, 0xFFFFFFFF, 0x123456789ABCDEF, -(1 << 63), 0]
    codes = assemble(tmp_path, [f"movq ${n},%rax" for n in numbers], *flags)
    assert [place_of(VALUE, c, 0) for c in codes] == [Place(IMM, value=n) for n in numbers]


def test_other_direction_of_moves(tmp_path: Path) -> None:
    codes = assemble(tmp_path, ["{load} movq %r9,%rax", "{store} movq %r9,%rax", "{store} movups %xmm9,%xmm0"])
    assert [place_of(VALUE, c, 0) for c in codes] == [Place(REG, base=9), Place(REG, base=9), Place(XMM, base=9)]


def test_relative_to_instruction_pointer() -> None:
    assert place_of(VALUE, bytes.fromhex("488b05") + struct.pack("<i", 0x3EDE), 0x100) == Place(
        MEM_RIP, NONE, NONE, 1, 0x100 + 7 + 0x3EDE
    )
    assert place_of(VALUE, bytes.fromhex("0f1005") + struct.pack("<i", -4), 0x100).value == 0x103


@pytest.mark.parametrize(
    "text",
    [
        "movq %rax,%rcx",
        "movq (%rax),%rcx",
        "movq %rax,(%rcx)",
        "movl (%rax),%eax",
        "movups (%rax),%xmm1",
        "movups %xmm0,(%rax)",
        "movaps (%rax),%xmm0",
        "movq %gs:8,%rax",
        "movq $5,%rcx",
        "addq %rax,%rax",
        "nop",
        "leaq 8(%rax),%rax",
        "movq %xmm1,%rax",
        "movzbl %al,%eax",
        "vmovups %ymm1,%ymm0",
    ],
)
def test_anything_else_is_not_a_value(tmp_path: Path, text: str) -> None:
    (code,) = assemble(tmp_path, [text])
    with pytest.raises(Undecodable):
        decode(VALUE, code, 0)


@pytest.mark.parametrize("text", ["movq (%rax),%rax", "leaq 8(%rax),%rcx", "leal 8(%rax),%eax"])
def test_anything_else_is_not_an_address(tmp_path: Path, text: str) -> None:
    (code,) = assemble(tmp_path, [text])
    with pytest.raises(Undecodable):
        decode(OBJECT, code, 0)


def test_cut_or_extended_instructions_are_errors(tmp_path: Path) -> None:
    for code in assemble(tmp_path, ["movq 0x1234(%r13,%r9,4),%rax", "movups 8(%rsp),%xmm0", "movq $1,%rax"]):
        for length in range(len(code)):
            with pytest.raises(Undecodable):
                decode(VALUE, code[:length], 0)
        with pytest.raises(Undecodable):
            decode(VALUE, code + b"\x90", 0)


def note(count: int, operands: bytes, address: int = 0x1000) -> bytes:
    return struct.pack("<QQQQIIHBB", address, 0x1010, 0x2000, 7, 3, 42, count, 1, 0) + operands


def test_notes() -> None:
    operand = struct.pack("<BBII", VALUE, 3, 16, 8) + bytes.fromhex("4889d8")
    notes, operands = parse_notes(note(0, b"", 0x1100) + note(1, operand, 0) + note(1, operand))
    (first, second) = notes
    assert (first.address, first.label, first.resume, first.function) == (0x1000, 0x1010, 0x2000, 7)
    assert (first.point, first.line, first.flags, first.part) == (3, 42, 1, 0)
    assert (first.operand, first.n_operands, second.n_operands) == (0, 1, 0)
    assert [(o.kind, o.place, o.base, o.offset, o.size) for o in operands] == [(VALUE, REG, 3, 16, 8)]
    assert operands[-1] == operands[0] and operands[:1] == list(operands)
    assert second.address == 0x1100


@pytest.mark.parametrize("cut", [1, 20, 43, 45, 50, 55])
def test_cut_notes_are_errors(cut: int) -> None:
    data = note(1, struct.pack("<BBII", VALUE, 3, 16, 8) + bytes.fromhex("4889d8"))
    with pytest.raises(UpstareError):
        parse_notes(data[:cut])


def test_undecodable_operand_names_the_point() -> None:
    data = note(1, struct.pack("<BBII", VALUE, 1, 16, 8) + b"\x90")
    with pytest.raises(UpstareError, match=r"point 3 \(line 42\)"):
        parse_notes(data)


def test_relative_operands_count_from_where_they_are() -> None:
    operand = struct.pack("<BBII", VALUE, 7, 16, 8) + bytes.fromhex("488b05") + struct.pack("<i", 0x10)
    data = note(2, operand + operand) + note(1, operand, 0x900)
    notes, operands = parse_notes(data, 0x5000)
    assert [(n.address, n.operand, n.n_operands) for n in notes] == [(0x900, 2, 1), (0x1000, 0, 2)]
    ends = [44 + 17, 44 + 34, 2 * 44 + 51]
    assert [(o.place, o.value) for o in operands] == [(MEM_RIP, 0x5000 + end + 0x10) for end in ends]


@pytest.mark.parametrize("kinds", [0x04, 0x0F, 0x40, 0xF0])
def test_unknown_kinds_are_errors(kinds: int) -> None:
    data = note(1, struct.pack("<BBII", kinds, 3, 16, 8) + bytes.fromhex("4889d8"))
    with pytest.raises(UpstareError, match="unknown kind"):
        parse_notes(data)


def test_damaged_notes_are_an_error_or_still_notes() -> None:
    rng = random.Random(1)
    operand = struct.pack("<BBII", VALUE, 3, 16, 8) + bytes.fromhex("4889d8")
    whole = b"".join(note(2, operand * 2, 0x1000 + i) for i in range(20))
    good = 0
    for _ in range(3000):
        data = bytearray(whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
        for _ in range(rng.randrange(1, 4)):
            if data:
                data[rng.randrange(len(data))] = rng.choice([0, 1, 0x7F, 0xFF, rng.randrange(256)])
        try:
            notes, operands = parse_notes(bytes(data))
        except UpstareError:
            continue
        good += 1
        assert all(n.operand + n.n_operands <= len(operands) for n in notes)
    assert good > 100
