"""Which instructions take the prefix that a point can be: told by the assembler's own encodings."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from upstare.points.elf import Elf
from upstare.points.prefix import takes_prefix

TAKES = """
mov %rax,%rbx | mov %fs:0,%rax # no | movl $5,8(%rsp) | movw $300,(%rdi) | lea 3(%rax,%rbx,4),%rcx | add $1,%r12d
cmp %al,(%rdx) | test %eax,%eax | push %r15 | pop %rbx | call f | call *(%rax) | ret | jmp f | jne f | jmp *%rax
movzbl (%rax),%ecx | movslq %eax,%rdx | cltq | cqto | imul $77,%rax,%rbx | sete %al | cmovne %rax,%rbx | leave
movsd (%rax),%xmm0 | cvtsi2sdl %eax,%xmm1 | pxor %xmm1,%xmm1 | movaps %xmm0,%xmm1 | movdqu %xmm9,(%rax)
shl $3,%rax | neg %rcx | idivl (%rsp) | incl x(%rip) | bsr %rax,%rcx | tzcnt %eax,%ecx | btq $3,%rax | bswap %eax
xchg %rax,%rbx # no | movabs $0x1122334455667788,%rax | movw $300,x(%rip)
rep stosb # no | rep ret # no | repe cmpsb # no | lock addl $1,(%rax) # no | nop # no | nopw 0(%rax) # no
pause # no | syscall # no | ud2 # no | int3 # no | hlt # no | endbr64 # no | movsb # no | stosq # no
vpxor %xmm0,%xmm0,%xmm0 # no
xchg %ax,%ax # no | cs nopw 0x0(%rax,%rax,1) # no | mfence # no | cpuid # no | rdtsc # no | xgetbv # no
movl $5,%es:(%rax) # no | fldt (%rax) # no
"""


@pytest.fixture(scope="module")
def encodings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    place = tmp_path_factory.mktemp("prefix")
    lines = [line.strip() for line in TAKES.replace("\n", "|").split("|") if line.strip()]
    text = "".join(f"l{i}: {line}\n" for i, line in enumerate(lines))
    source, target = place / "a.s", place / "a.o"
    source.write_text(f".text\nf:\n{text}l{len(lines)}:\n.data\nx: .quad 0\n.section marks,\"\"\n"
                      + "".join(f".quad l{i}-f\n" for i in range(len(lines) + 1)))  # fmt: skip
    subprocess.run(["as", str(source), "-o", str(target)], check=True)
    elf = Elf(Path(target))
    marks, code = elf.content(elf.by_name["marks"]), elf.content(elf.by_name[".text"])
    at = [int.from_bytes(marks[i : i + 8], "little") for i in range(0, len(marks), 8)]
    return {line: code[at[i] : at[i + 1]] for i, line in enumerate(lines)}


def test_instructions(encodings: dict[str, bytes]) -> None:
    wrong = [line for line, code in encodings.items() if takes_prefix(code) != ("# no" not in line)]
    assert wrong == []


def test_an_instruction_must_stay_below_the_longest_length() -> None:
    assert takes_prefix(b"\x66" + b"\x48\xc7\x84\x24" + bytes(8))
    assert not takes_prefix(b"\x66" + b"\x48\xc7\x84\x24" + bytes(9))
