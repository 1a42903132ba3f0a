"""Functions that cannot be rebuilt are pinned, `inspect` says why and where, and they work as they did."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CASES = sorted((Path(__file__).parent / "pinned").glob("*.c"))
EXPECTED = re.compile(r"// pinned: (.*)")
CHOSEN = re.compile(r"// (options|compiler): (.*)")


@pytest.mark.parametrize("scheme", ["trap", "flag"])
@pytest.mark.parametrize("case", CASES, ids=lambda p: p.stem)
def test_pinned_functions_are_named(case: Path, scheme: str, tmp_path: Path) -> None:
    chosen = dict(CHOSEN.findall(case.read_text()))
    if (compiler := chosen.get("compiler", "cc")) != "cc" and scheme == "trap":
        pytest.skip(f"what {compiler} cannot do, it cannot do in the scheme flag")
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    program = tmp_path / "program"
    flags = ["-std=gnu17", "-w", "-O2", *chosen.get("options", "").split()]
    subprocess.run(
        [sys.executable, "-m", "upstare", "cc", *flags, str(case), "-o", str(program)],
        env={**os.environ, "UPSTARE_POINTS": "strict", "UPSTARE_SCHEME": scheme, "UPSTARE_CC": compiler}, check=True,
    )  # fmt: skip
    for storm in ("0", "1"):
        assert subprocess.run([str(program)], env={**os.environ, "UPSTARE_STORM": storm}, timeout=60).returncode == 0
    shown = subprocess.run(
        [sys.executable, "-m", "upstare", "inspect", "--json", str(program)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    pinned = [f["pinned"] for f in json.loads(shown.stdout)["functions"] if f["pinned"]]
    lines = case.read_text().splitlines()
    expected = [f"{case}:{n}: {m.group(1)}" for n, line in enumerate(lines, 1) if (m := EXPECTED.search(line))]
    assert len(pinned) == len(expected)
    for message in expected:
        assert any(p.startswith(message) for p in pinned), f"{message} is not in {pinned}"
