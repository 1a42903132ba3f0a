"""Random programs of csmith, plain against updateable under the storm. One difference is a failure.

    python -m tests.stress.campaign --programs 3000 [--seed 1] [--log FILE] [--keep DIR]

Each program is built plainly and with both placements of points; the updateable ones run without a storm and with
``UPSTARE_STORM`` 1 and 7 (or, where that takes too long, with storms further apart), and must print what the plain one
prints. What the programs are made of, the optimisation level and what points are made of depend on the seed. Seeds that
the log has are not tried again. A failure is kept with a script that asks its question, for ``creduce``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.stress.compare import Outcome, try_program
from tests.stress.reduce import keep

BATCH = 50  # programs that share what the cache has; then it is emptied


def read_log(log: Path | None) -> list[Outcome]:
    """The outcomes of earlier runs."""
    if log is None or not log.exists():
        return []
    return [Outcome(**json.loads(line)) for line in log.read_text().splitlines()]


def summary(outcomes: Sequence[Outcome]) -> str:
    """The counts, and how often programs stormed."""
    states = Counter(outcome.state for outcome in outcomes)
    lines = [", ".join(f"{count} {state}" for state, count in states.most_common()) or "nothing tried"]
    for placement in ("default", "strict"):
        runs = [n for o in outcomes for key, n in o.storms.items() if key.startswith(f"{placement}/")]
        if runs:
            quartiles = statistics.quantiles(runs, n=4) if len(runs) > 1 else [runs[0]] * 3
            shown = " / ".join(f"{value:.0f}" for value in (min(runs), *quartiles, max(runs)))
            none = sum(not any(n for k, n in o.storms.items() if k.startswith(placement)) for o in outcomes if o.storms)
            lines.append(
                f"{placement}: {len(runs)} runs with {sum(runs)} storms in all; min / quartiles / max of a run "
                f"{shown}; {none} programs without a storm"
            )
    sparser = sum(not any(key == "strict/1" for key in o.storms) for o in outcomes if o.state == "same")
    lines.append(f"of those that are the same, {sparser} were too slow at every point and stormed further apart")
    return "\n".join(lines)


def _one(seed: int, directory: Path, patience: float, keep_in: Path | None) -> Outcome:
    outcome = try_program(seed, directory, patience)
    if outcome.differences and keep_in is not None:
        keep(directory / f"r{seed}.c", outcome, keep_in)
    for path in directory.glob(f"r{seed}.*"):
        path.unlink()
    return outcome


def main() -> int:
    """Run the campaign; the exit code says whether there was a difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--patience", type=float, default=10.0, help="seconds that a run under the storm may take")
    parser.add_argument("--log", type=Path, help="one line for each program; seeds that it has are not tried again")
    parser.add_argument("--keep", type=Path, help="copy the programs that differ to this folder")
    arguments = parser.parse_args()
    outcomes = read_log(arguments.log)
    known = {outcome.seed for outcome in outcomes}
    seeds = [s for s in range(arguments.seed, arguments.seed + arguments.programs) if s not in known]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console()
    with (
        tempfile.TemporaryDirectory() as name,
        ThreadPoolExecutor(arguments.jobs) as pool,
        Progress(*columns, console=console) as progress,
    ):
        directory = Path(name)
        os.environ.setdefault("UPSTARE_CACHE", str(directory / "cache"))
        task = progress.add_task("programs", total=len(seeds))
        for begin in range(0, len(seeds), BATCH):
            batch = seeds[begin : begin + BATCH]
            for outcome in pool.map(lambda s: _one(s, directory, arguments.patience, arguments.keep), batch):
                outcomes.append(outcome)
                if arguments.log is not None:
                    with arguments.log.open("a") as log:
                        log.write(json.dumps(outcome.data()) + "\n")
                for difference in outcome.differences:
                    console.print(f"seed {outcome.seed}: {difference}", markup=False, soft_wrap=True)
                progress.advance(task)
            shutil.rmtree(directory / "cache", ignore_errors=True)  # nobody builds now
    console.print(summary(outcomes), markup=False, soft_wrap=True)
    return 1 if any(outcome.differences for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
