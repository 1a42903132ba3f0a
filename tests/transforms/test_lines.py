"""A debugger shows the user's own lines, in the fast clone and in the resume clone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from upstare.driver.elf import read_section
from upstare.model.description import unpack
from upstare.points.table import read_table

CASES = Path(__file__).parent / "cases"


@pytest.mark.parametrize("case", ["loops", "functions", "statics"])
def test_points_are_on_their_lines(case: str, tmp_path: Path) -> None:
    source, program = CASES / f"{case}.c", tmp_path / "program"
    subprocess.run(
        [sys.executable, "-m", "upstare", "cc", "-std=gnu17", "-w", "-g", "-O0", str(source), "-o", str(program)],
        env={**os.environ, "UPSTARE_POINTS": "strict", "UPSTARE_CLONES": "inside"}, check=True,
    )  # fmt: skip
    data = read_section(program, ".upstare.points")
    described = read_section(program, ".upstare.desc")
    assert data is not None and described is not None
    points = read_table(data).points
    assert len(points) >= 2 * sum(len(f.points) for f in unpack(described).functions), "both clones have each point"
    addresses = "\n".join(hex(p.address) for p in points)
    shown = subprocess.run(
        ["addr2line", "-e", str(program)], input=addresses, capture_output=True, text=True, check=True
    )
    for point, place in zip(points, shown.stdout.split("\n"), strict=False):
        file, _, line = place.split(" ")[0].rpartition(":")
        assert Path(file).name == source.name
        assert int(line) == point.line
