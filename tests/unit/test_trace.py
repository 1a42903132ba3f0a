"""The native reader of machine code sees instructions where capstone sees them."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import capstone
import pytest

from upstare.points.code import _Details, library
from upstare.points.elf import SHF_EXECINSTR, Elf

SOURCE = r"""
#include <complex.h>
#include <math.h>
#include <string.h>
struct big { long a[40]; char c; short s; };
long arithmetic(long a, long b, int c) { return (a * b << c) / (b | 1) % 77 ^
  __builtin_popcountl(a) ^ (a < b ? c : b); }
float floats(float *x, int n) { float s = 0; for (int i = 0; i < n; i++) s += x[i] * x[i] / 3; return sqrtf(s); }
double doubles(double *x, double *y, int n) { for (int i = 0; i < n; i++) y[i] = fma(x[i], y[i], 7.5); return y[0]; }
long double extended(long double a, long double b) { return a * b / 3 + (long)a; }
double complex rotate(double complex a) { return a * I / 3; }
__int128 wide(__int128 a, __int128 b) { return a * b / 12345; }
int table(int x) { switch (x) { case 0: return 9; case 1: return 8; case 2: return x + 4; case 3: return 1; case 4:
  return x * 3; default: return -1; } }
void copies(struct big *a, struct big *b) { *a = *b; memset(b, 1, sizeof *b); a->s = 0x1234; a->c = 0x12; }
static _Thread_local int counter;
int *thread(int x) { counter += x; return &counter; }
int atomics(int *p) { return __atomic_add_fetch(p, 3, __ATOMIC_SEQ_CST) + __sync_val_compare_and_swap(p, 1, 2); }
unsigned long constant(void) { return 0x123456789abcdef0; }
void shorts(short *x, unsigned char *y, int n) { for (int i = 0; i < n; i++) x[i] = x[i] * 5 + y[i] > 300; }
"""
WAYS = ("-O0", "-O1 -fstack-protector-all", "-O2", "-Os", "-O3 -march=haswell", "-O3 -march=skylake-avx512",
        "-O3 -march=znver1", "-O2 -fPIC -fcf-protection", "-O2 -mcmodel=large")  # fmt: skip

# Instructions that compilers hardly make, and their sizes; 0 for what must not be believed.
RARE = {
    "f3c3": 2,
    "3effe0": 3,
    "66666648e800000000": 9,
    "66e900000000": 0,
    "660f84000000": 0,
    "62f17c4858c1": 6,
    "62f37d48253f07ff": 7,
    "c4e3750c0701": 6,
    "c5f877": 3,
    "48b8f0debc9a78563412": 10,
    "67a100000000": 6,
    "f680aaaaaaaa01": 7,
    "f690aaaaaaaa": 6,
    "66c780bbbbbbbb3412": 9,
    "48c780bbbbbbbb78563412": 11,
    "c8100001": 4,
    "06": 0,
    "d4": 0,
    "0f0aff": 0,
    "8f4878c3c838": 0,
    "4866c3": 3,
    "48": 0,
    "8b84": 0,
    "e80000": 0,
}


def sizes(code: bytes) -> list[int]:
    """The sizes of instructions that stand one after the other."""
    buffer = ctypes.create_string_buffer(code, len(code))
    read, at, found = library().size_of_instruction, 0, []
    while at < len(code):
        size = read(ctypes.addressof(buffer) + at, len(code) - at)
        found.append(size)
        if not size:
            break
        at += size
    return found


@pytest.mark.parametrize("way", WAYS)
def test_sizes_are_those_of_capstone(way: str, tmp_path: Path) -> None:
    source = tmp_path / "code.c"
    source.write_text(SOURCE)
    command = ["gcc", *way.split(), "-w", "-c", str(source), "-o", str(tmp_path / "code.o")]
    done = subprocess.run(command, capture_output=True, text=True)
    if "bad value" in done.stderr:
        pytest.skip(f"the compiler does not know {way}")
    assert done.returncode == 0, done.stderr
    elf = Elf(tmp_path / "code.o")
    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    seen = 0
    for section in elf.sections:
        if section.flags & SHF_EXECINSTR:
            code = elf.content(section)
            assert sizes(code) == [size for _, size, _, _ in engine.disasm_lite(code, 0)]
            seen += len(code)
    assert seen > 300


@pytest.mark.parametrize("code", RARE)
def test_rare_instructions(code: str) -> None:
    assert sizes(bytes.fromhex(code))[0] == RARE[code]


def test_what_an_instruction_does_is_known_without_its_place() -> None:
    """The code of the C library: each instruction does the same with a displacement of four bytes and without."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    elf = Elf(Path(next(line.split()[-1] for line in maps if "/libc.so" in line or "/libc-" in line)))
    text = next(s for s in elf.sections if s.name == ".text")
    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    code = elf.content(text)[: 1 << 19]
    details = _Details()
    seen: set[bytes] = set()
    for at, size, _, _ in engine.disasm_lite(code, 0):
        here = code[at : at + size]
        copy = ctypes.create_string_buffer(15)
        library().take_place_away(here, size, copy)
        if copy.raw[:size] != here and copy.raw[:size] not in seen:
            seen.add(copy.raw[:size])
            assert details.describe(here) == details.describe(copy.raw[:size]), here.hex()
            assert sum(a != b for a, b in zip(here, copy.raw, strict=False)) <= 4
    assert len(seen) > 1000
