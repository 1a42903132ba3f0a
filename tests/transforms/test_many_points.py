"""The resume clone of a function with very many points: a parser's, say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

POINTS = 300
PROGRAM = """
#include <stdio.h>
static int depth;
__attribute__((noinline)) int ask(int n) {{ if (n > 3) {{ depth++; return ask(n - 3) + 1; }} return n; }}
__attribute__((noinline)) int parse(const char *text, int limit) {{
  int stack[8] = {{0}}, places[8] = {{0}}, token = 0, state = 1, errors = 0, top = 0, length = 0;
  const int first = text[0];
  double weight = 0.5;
  for (int step = 0; step < limit; step++) {{
    token = text[step % 5];
    switch ((state * 7 + token + step) % {points}) {{
{cases}
    }}
    state = (state + first + errors + top) & 1023;
    length += stack[step & 7] + places[top & 7];
  }}
  return state + token + errors + top + length + (int)weight;
}}
int main(void) {{ printf("%d %d\\n", parse("grammar", 2000), depth); return 0; }}
"""
CASE = (
    "    case {n}: {{ int own = ask({n} & 15); stack[{n} & 7] += own + step; "
    "weight += own; top++; errors ^= {n}; break; }}"
)


def test_restores_are_shared(tmp_path: Path) -> None:
    source, plain, program = tmp_path / "many.c", tmp_path / "plain", tmp_path / "program"
    source.write_text(PROGRAM.format(points=POINTS, cases="\n".join(CASE.format(n=n) for n in range(POINTS))))
    subprocess.run(["gcc", "-O2", str(source), "-o", str(plain)], check=True)
    kept = tmp_path / "kept"
    kept.mkdir()
    subprocess.run(
        [sys.executable, "-m", "upstare", "cc", "-O2", str(source), "-o", str(program)], check=True,
        env={
            **os.environ, "UPSTARE_KEEP": "1", "UPSTARE_CLONES": "inside", "TMPDIR": str(kept),
            "UPSTARE_CACHE": str(tmp_path / "cache"),
        },
    )  # fmt: skip
    (text,) = kept.glob("*/*.i")
    assert text.read_text().count("upstare_more_1: ") >= POINTS, "the points are aside"
    restored = re.findall(r"\(__upstare_d \+ |, __upstare_d \+ ", text.read_text())
    assert POINTS <= len(restored) < 3 * POINTS, "ten variables are live at each point"
    for storm in ("", "1", "7"):
        environment = {**os.environ, **({"UPSTARE_STORM": storm} if storm else {})}
        runs = [subprocess.run([p], capture_output=True, env=environment, timeout=60) for p in (plain, program)]
        assert (runs[0].returncode, runs[0].stdout) == (runs[1].returncode, runs[1].stdout), storm
