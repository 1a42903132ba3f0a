"""Random programs of csmith, plain against updateable under the storm. One difference is a failure.

    python -m tests.stress.campaign --programs 3000 [--seed 1] [--keep DIR]

Each program is built plainly and with both placements of points; the updateable ones run without a storm and with
``UPSTARE_STORM`` 1 and 7, and must print what the plain one prints. Programs that do not end in time when plain are
passed over; those that the storm makes too slow are counted as such.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

INCLUDE = Path("/usr/include/csmith")
STORMS = ("", "1", "7")


@dataclass
class Outcome:
    """What became of one program: 'same', 'slow', 'passed over', or the differences."""

    seed: int
    state: str
    differences: list[str] = field(default_factory=list)


def _run(command: list[str], seconds: float, **environment: str) -> tuple[int, str] | None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env={**os.environ, **environment}, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    return done.returncode, done.stdout


def try_program(seed: int, directory: Path, optimise: str = "-O2", patience: float = 60) -> Outcome:
    """Generate, build and compare one program; a run under the storm may take ``patience`` seconds."""
    source = directory / f"r{seed}.c"
    made = subprocess.run(
        ["csmith", "--seed", str(seed), "--no-packed-struct", "--max-funcs", "6", "-o", str(source)],
        cwd=directory,  # it leaves a file of its own where it runs
        capture_output=True,
    )
    if made.returncode != 0:
        return Outcome(seed, "passed over")
    flags = [optimise, "-w", f"-I{INCLUDE}"]
    plain = directory / f"r{seed}.plain"
    subprocess.run(["cc", *flags, str(source), "-o", str(plain)], check=True, capture_output=True)
    expected = _run([str(plain)], 2)
    if expected is None or expected[0] != 0:
        return Outcome(seed, "passed over")
    outcome = Outcome(seed, "same")
    for placement in ("default", "strict"):
        program = directory / f"r{seed}.{placement}"
        build = subprocess.run(
            [sys.executable, "-m", "upstare", "cc", *flags, str(source), "-o", str(program)],
            capture_output=True, text=True, env={**os.environ, "UPSTARE_POINTS": placement},
        )  # fmt: skip
        if build.returncode != 0:
            outcome.differences.append(f"{placement}: does not build: {build.stderr.strip()[:300]}")
            continue
        for storm in STORMS:
            environment = {"UPSTARE_STORM": storm} if storm else {}
            result = _run([str(program)], patience, **environment)
            if result is None:
                outcome.state = "slow"
            elif result != expected:
                outcome.differences.append(f"{placement}, storm {storm or 'off'}: {result} instead of {expected}")
    if outcome.differences:
        outcome.state = "different"
    return outcome


def main() -> int:
    """Run the campaign; the exit code says whether there was a difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="copy the programs that differ to this folder")
    arguments = parser.parse_args()
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(arguments.jobs) as pool:
        directory = Path(name)
        os.environ.setdefault("UPSTARE_CACHE", str(directory / "cache"))
        seeds = range(arguments.seed, arguments.seed + arguments.programs)
        for outcome in pool.map(lambda seed: try_program(seed, directory), seeds):
            counts[outcome.state] = counts.get(outcome.state, 0) + 1
            for difference in outcome.differences:
                print(f"seed {outcome.seed}: {difference}", flush=True)
            for path in directory.glob(f"r{outcome.seed}.*"):
                if outcome.differences and arguments.keep is not None and path.suffix == ".c":
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, arguments.keep)
                path.unlink()
    print(", ".join(f"{count} {state}" for state, count in sorted(counts.items())))
    return 1 if counts.get("different") else 0


if __name__ == "__main__":
    sys.exit(main())
