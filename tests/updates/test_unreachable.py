"""A reference that only the optimiser takes away is not missed in a program that an update takes apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import tool
from tests.support.build import C_FLAGS, build_pair, run_build
from tests.support.process import running

SOURCE = """
#include <stdio.h>
#include <unistd.h>

extern int no_such_function(int value);
extern int no_such_variable;

static char next(void) {
  char c = 0;
  while (read(0, &c, 1) == 1 && c == '\\n') continue;
  return c;
}

int main(void) {
  unsigned small = 3;
  for (;;) {
    switch (next()) {
      case 'v': puts("VERSION"); break;
      default: return 0;
    }
    if (small > 7) return no_such_function((int)small) + no_such_variable;
    fflush(stdout);
  }
}
"""


def test_reference_that_is_never_reached(tmp_path: Path) -> None:
    program, patch = build_pair(SOURCE, tmp_path)
    with running([program]) as child:
        for turn in range(4):
            begun = len(child.lines)
            child.send("v\n")
            child.expect("^new$" if turn % 2 else "^old$", begun)
            tool.expect(tool.rollback(child.pid) if turn % 2 else tool.apply(patch, child.pid), outcome="updated")


def test_reference_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("extern int no_such_function(int); int main(void) { return no_such_function(1); }\n")
    with pytest.raises(AssertionError, match="undefined reference to `no_such_function'"):
        run_build([*tool.UPSTARE, "cc", *C_FLAGS, "a.c", "-o", "a"], tmp_path)
