"""What is found out about a unit does not depend on what this process has done with it before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from upstare import units
from upstare.decide import _decide_some
from upstare.driver import embed
from upstare.model.unit import Options
from upstare.units import UnitWork

TEXT = b"""# 1 "serve.c"
long read(int, void *, unsigned long);
struct job { int number; struct { char *begin, *end; } text; };
static int take(struct job *job, int fd) { struct job mine = *job; return read(fd, &mine, 8) > 0 ? mine.number : 0; }
int serve(int fd) { union { char bytes[8]; long whole; } all = {{0}}; struct job job = {0};
  while (read(fd, &all, 8) == 8) job.number += take(&job, fd) + (int)all.whole; return job.number; }
int main(void) { return serve(0); }
"""


@pytest.mark.parametrize("summarised", [True, False])
def test_facts_of_one_decision_after_another(
    summarised: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTARE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(units, "_loaded", {})
    work = UnitWork([embed.make_unit("serve.c", ("-O2", "-w"), ["cc"], TEXT)], tmp_path)
    summaries = [work.summary(0)]
    _, chosen = _decide_some(work, Options(), summaries, [0])
    decided = chosen[0]
    assert decided.instrumented == ["take", "serve", "main"]
    other = replace(decided, instrumented=[], hot=[], hot_types=[])

    def anew() -> None:
        units._loaded.clear()
        if summarised:
            work.summary(0)

    def facts_and_text() -> tuple[units.UnitFacts, bytes]:
        facts = work.facts(0, decided)
        return facts, work.transformed(0, decided).read_bytes()

    anew()
    first = facts_and_text()
    assert first[0].frames.keys() == {"take", "serve", "main"}
    after = work.facts(0, other)
    assert not after.frames and not after.types
    assert facts_and_text() == first
    anew()
    assert work.facts(0, other) == after
    assert facts_and_text() == first
    known = summaries[0].details.types
    assert all(kind == known[key] for key, kind in first[0].types.items() if key in known)
    assert summarised != any(key in known for key in first[0].types)
