"""The compiler divides and inlines instrumented functions as it does those of a plain program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = r"""
#include <stdio.h>
#include <unistd.h>

static char line[64];
static int known;

static __attribute__((noinline)) int more(int wanted) { /* may block */
  while (known <= wanted) {
    long got = read(0, line + known, sizeof line - known);
    if (got <= 0)
      return -1;
    known += got;
  }
  return 0;
}

/* The way without a point is short, and inlined where the function is called. The rest is a function of its own. */
int at(int place, char *result) {
  *result = '?';
  if (place < known) {
    *result = line[place];
    return 0;
  }
  int failed = more(place);
  for (int i = 0; failed && i < known; i++)
    printf("%d: %c\n", i, line[i]);
  if (!failed)
    *result = line[place];
  else
    printf("%d characters are all\n", known);
  return failed;
}

int main(void) {
  char sum = 0, one, two;
  for (int i = 0; i < 4 && !at(i, &one) && !at(i + 1, &two); i++)
    sum += one * two;
  int end = at(9, &one);
  printf("%d %d\n", sum, end);
}
"""
PART = " at.part."


def names(program: Path) -> str:
    """The names of its functions."""
    return subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout


def test_the_way_without_a_point_is_inlined(tmp_path: Path) -> None:
    source, plain, program = tmp_path / "split.c", tmp_path / "plain", tmp_path / "program"
    source.write_text(PROGRAM)
    subprocess.run(["gcc", "-O2", str(source), "-o", str(plain)], check=True)
    if PART not in names(plain):
        pytest.skip("this compiler does not split the function in a plain program either")
    subprocess.run([sys.executable, "-m", "upstare", "cc", "-O2", str(source), "-o", str(program)], check=True)
    assert PART in names(program)
    for storm in ("", "1"):
        environment = {**os.environ, **({"UPSTARE_STORM": storm} if storm else {})}
        for text in ("abcdefghijkl", "abc"):
            runs = [
                subprocess.run([p], input=text, capture_output=True, text=True, env=environment, timeout=60)
                for p in (plain, program)
            ]
            assert (runs[0].returncode, runs[0].stdout) == (runs[1].returncode, runs[1].stdout), (storm, text)
