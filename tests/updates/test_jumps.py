"""A longjmp leads into the version that runs, by the buffer that setjmp was given and by copies of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import tool
from tests.support.build import build_pair
from tests.support.process import running

SOURCE = r"""
#include <dlfcn.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct state { char name[40]; jmp_buf at; };

static char next(void) {
  char c = 0;
  while (read(0, &c, 1) == 1 && c == '\n') continue;
  return c;
}

/* As a library would. */
static void jump_outside(jmp_buf to) {
  void (*jump)(jmp_buf, int) = (void (*)(jmp_buf, int))dlsym(RTLD_DEFAULT, "longjmp");
  jump(to, 3);
}

static void work(struct state *direct, struct state *copy) {
  for (;;) {
    switch (next()) {
      case 'd': longjmp(direct->at, 1);
      case 'c': longjmp(copy->at, 2);
      case 'l': jump_outside(direct->at);
      case 'm': memset(direct, 0x55, sizeof *direct); puts("wiped"); fflush(stdout); break;
      default: exit(0);
    }
  }
}

int main(void) {
  struct state *copy = malloc(sizeof *copy), direct = {.name = "a name"};
  const int kept = getppid();
  int r = setjmp(direct.at);
  if (r == 0) *copy = direct;
  printf("VERSION %d %s %d\n", r, copy->name, kept == getppid());
  fflush(stdout);
  work(&direct, copy);
}
"""


@pytest.mark.parametrize("scheme", ["trap", "flag"])
def test_copies_lead_into_the_version_that_runs(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTARE_SCHEME", scheme)
    program, patch = build_pair(SOURCE, tmp_path)
    with running([program]) as child:
        child.expect("^old 0 a name 1$")
        for way, result in ("d", 1), ("c", 2), ("l", 3):
            child.send(f"{way}\n")
            child.expect(f"^old {result} a name 1$")
        for turn in range(3):
            tool.expect(tool.apply(patch, child.pid), outcome="updated")
            for way, result in [("l", 3), ("d", 1), ("c", 2)][2 if turn else 0 :]:
                begun = len(child.lines)
                child.send(f"{way}\n")
                child.expect(f"^new {result} a name 1$", begun)
            if turn == 0:
                child.send("m\n")
                child.expect("wiped")
            begun = len(child.lines)
            tool.expect(tool.rollback(child.pid), outcome="updated")
            child.send("c\n")
            child.expect("^old 2 a name 1$", begun)
