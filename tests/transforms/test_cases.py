"""Every case behaves under the storm as it does when it is built plainly, in both schemes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = sorted((Path(__file__).parent / "cases").glob("*.c"))
BUILDS = [
    ("trap", "-O2", "strict"), ("trap", "-O0", "strict"), ("trap", "-O3", "strict"), ("flag", "-O2", "strict"),
    ("trap", "-O2", "default"), ("flag", "-O3", "default"),
]  # fmt: skip


def run(program: Path, **environment: str) -> tuple[int, str]:
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=60, env={**os.environ, **environment})
    return done.returncode, done.stdout


@pytest.mark.parametrize(("scheme", "optimise", "placement"), BUILDS, ids=lambda x: x.strip("-"))
@pytest.mark.parametrize("case", CASES, ids=lambda p: p.stem)
def test_case_behaves_as_plain(case: Path, scheme: str, optimise: str, placement: str, tmp_path: Path) -> None:
    flags = ["-std=gnu17", "-w", optimise, str(case), "-lm"]
    plain, program = tmp_path / "plain", tmp_path / "program"
    subprocess.run(["cc", *flags, "-o", str(plain)], check=True)
    build = subprocess.run(
        [sys.executable, "-m", "upstare", "cc", *flags, "-o", str(program)],
        env={**os.environ, "UPSTARE_POINTS": placement, "UPSTARE_SCHEME": scheme}, capture_output=True, text=True,
    )  # fmt: skip
    assert build.returncode == 0, build.stderr
    expected = run(plain)
    assert run(program) == expected
    log = tmp_path / "storms"
    for storm in ("1", "7"):
        log.unlink(missing_ok=True)
        assert run(program, UPSTARE_STORM=storm, UPSTARE_STORM_LOG=str(log)) == expected
        if storm == "1" and placement == "strict":
            words = log.read_text().split()
            assert int(words[words.index("storms") + 1]) > 0, "the case reaches no point"
