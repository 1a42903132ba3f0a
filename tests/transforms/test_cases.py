"""Every case behaves under the storm as it does when it is built plainly, in both schemes, with gcc and with clang."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CASES = sorted((Path(__file__).parent / "cases").glob("*.c"))
#: The compiler, the scheme (none: what fits the compiler), what to optimise for, and the placement of points.
BUILDS = [
    ("gcc", "trap", "-O2", "strict"), ("gcc", "trap", "-O0", "strict"), ("gcc", "trap", "-O3", "strict"),
    ("gcc", "flag", "-O2", "strict"), ("gcc", "trap", "-O2", "default"), ("gcc", "flag", "-O3", "default"),
    ("gcc", "trap", "-Os", "strict"),
    ("clang", "", "-O0", "strict"), ("clang", "", "-O2", "default"), ("clang", "trap", "-O3", "strict"),
]  # fmt: skip

#: Builds that fail, loudly, and why (docs/limits.md).
IMPOSSIBLE = {
    ("variable_arrays", "clang", "trap"): "clang takes no asm goto into the scope of an array with another outside"
}


def run(program: Path, **environment: str) -> tuple[int, str]:
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=60, env={**os.environ, **environment})
    return done.returncode, done.stdout


@pytest.mark.parametrize(("compiler", "scheme", "optimise", "placement"), BUILDS, ids=lambda x: x.strip("-"))
@pytest.mark.parametrize("case", CASES, ids=lambda p: p.stem)
def test_case_behaves_as_plain(
    case: Path, compiler: str, scheme: str, optimise: str, placement: str, tmp_path: Path
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    if (case.stem, compiler, scheme) in IMPOSSIBLE:
        pytest.skip(IMPOSSIBLE[case.stem, compiler, scheme])
    flags = ["-std=gnu17", "-w", optimise, str(case), "-lm"]
    plain, program = tmp_path / "plain", tmp_path / "program"
    subprocess.run([compiler, *flags, "-o", str(plain)], check=True)
    choices = {"UPSTARE_CC": compiler, "UPSTARE_POINTS": placement, "UPSTARE_SCHEME": scheme}
    build = subprocess.run(
        [sys.executable, "-m", "upstare", "cc", *flags, "-o", str(program)],
        env={**os.environ, **choices}, capture_output=True, text=True,
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
