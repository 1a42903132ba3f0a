"""What the transform prints is C of every standard that the user's text may be in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.transforms.test_cases import run

PROGRAM = r"""
#include <setjmp.h>
#include <stdio.h>
static jmp_buf place;
static int old_style(n) int n; { int i = 0; while (n != 1) { n = n % 2 ? 3 * n + 1 : n / 2; i++; } return i; }
static int count(int n) {
  int i, sum = 0, block[3];
  for (i = 0; i < n; i++) { block[i % 3] = old_style(i + 1); sum += block[i % 3] * (i ? block[(i + 2) % 3] : 1); }
  if (sum > 1000) longjmp(place, sum);
  return sum;
}
int main(void) {
  int caught = setjmp(place);
  static int runs;
  if (caught != 0) { printf("caught %d after %d\n", caught, runs); return 0; }
  while (++runs) printf("%d\n", count(runs * 3));
}
"""


@pytest.mark.parametrize("standard", ["-ansi", "-std=gnu89", "-std=c99", "-std=gnu99", "-std=c11", "-std=gnu2x"])
def test_prints_the_standard_of_the_unit(standard: str, tmp_path: Path) -> None:
    source, plain, program = tmp_path / "p.c", tmp_path / "plain", tmp_path / "program"
    source.write_text(PROGRAM if standard != "-std=gnu2x" else PROGRAM.replace("(n) int n;", "(int n)"))
    flags = [standard, "-O2", str(source)]
    subprocess.run(["cc", *flags, "-o", str(plain)], check=True)
    subprocess.run([sys.executable, "-m", "upstare", "cc", *flags, "-o", str(program)], check=True)
    expected = run(plain)
    assert "caught" in expected[1]
    assert run(program, UPSTARE_STORM="1") == expected
