"""Programs of several units, long functions and deep stacks behave under the storm as plain ones do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.transforms.test_cases import CASES, run

PROGRAMS = sorted((Path(__file__).parent / "programs").iterdir())
DEPTH = "100000"


def build(sources: list[Path], program: Path, optimise: str, placement: str, scheme: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "upstare", "cc", "-w", "-fcommon", optimise, *map(str, sources), "-o", str(program)],
        env={**os.environ, "UPSTARE_POINTS": placement, "UPSTARE_SCHEME": scheme}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("optimise", "placement", "scheme"),
    [("-O2", "strict", "trap"), ("-O0", "strict", "flag"), ("-O3", "default", "trap")],
)
@pytest.mark.parametrize("folder", PROGRAMS, ids=lambda p: p.name)
def test_program_behaves_as_plain(folder: Path, optimise: str, placement: str, scheme: str, tmp_path: Path) -> None:
    sources = sorted(folder.glob("*.c"))
    plain, program, log = tmp_path / "plain", tmp_path / "program", tmp_path / "storms"
    subprocess.run(["cc", "-w", "-fcommon", optimise, *map(str, sources), "-o", str(plain)], check=True)
    build(sources, program, optimise, placement, scheme)
    expected = run(plain)
    assert run(program) == expected
    for storm in ("1", "7"):
        assert run(program, UPSTARE_STORM=storm, UPSTARE_STORM_LOG=str(log)) == expected
    words = log.read_text().split()
    assert placement == "default" or int(words[words.index("storms") + 1]) > 0
    assert int(words[words.index("incomplete") + 1]) == 0


@pytest.mark.parametrize("optimise", ["-O0", "-O2"])
def test_storm_at_the_bottom_of_a_deep_recursion(optimise: str, tmp_path: Path) -> None:
    source = next(case for case in CASES if case.stem == "deep_recursion")
    program, log = tmp_path / "program", tmp_path / "storms"
    build([source], program, optimise, "strict", "trap")
    for depth in (DEPTH, "20000"):
        plain = subprocess.run([str(program), depth], capture_output=True, text=True, timeout=60)
        stormy = subprocess.run(
            [str(program), depth], capture_output=True, text=True, timeout=120,
            env={**os.environ, "UPSTARE_STORM": DEPTH, "UPSTARE_STORM_LOG": str(log)},
        )  # fmt: skip
        assert plain.returncode == stormy.returncode == 0
        assert plain.stdout == stormy.stdout
        words = log.read_text().split()
        assert int(words[words.index("storms") + 1]) > 0
