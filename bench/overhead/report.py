"""One table and one picture of all figures of the overhead benches."""

from __future__ import annotations

import math
import random
import statistics
from pathlib import Path
from typing import TypedDict

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from bench.figures import write_json
from bench.overhead.programs import AS_IN_2009, PLAIN, UPDATEABLE

RESAMPLED = 500  # starts drawn anew, for the spread of a median
#: By kind; lists are rounds.
Values = dict[str, float]
Rounds = dict[str, list[float]]


class Row(TypedDict, total=False):
    """What was measured of one workload."""

    instructions: Values
    seconds: Rounds  # lower is better
    p99_us: Rounds
    starts: int  # of the programs that these rounds are of, as many of each
    text: Values
    own_text: Values
    resident_kb: Values


class Figures:
    """The rows of a run, by workload."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def row(self, workload: str) -> Row:
        """The row of a workload, to be filled in."""
        return self.rows.setdefault(workload, Row())

    def write(self, directory: Path) -> None:
        """``overhead.json``, ``overhead.txt`` and ``overhead.png``; the table is printed as well."""
        write_json(directory / "overhead.json", self.rows)
        table = self._table()
        Console().print(table)
        with (directory / "overhead.txt").open("w") as file:
            Console(file=file, width=140).print(table)
        self._picture(directory / "overhead.png")

    def _table(self) -> Table:
        title = "Updateable / plain [95 % of medians like this one] (points as in 2009 / plain)"
        table = Table(title=title, caption=self._means())
        columns = ("workload", "instructions", "time", "p99", "loaded text", "without runtime", "resident")
        for column in columns:
            table.add_column(column, justify="left" if column == "workload" else "right")
        for name, row in sorted(self.rows.items()):
            table.add_row(
                name,
                _both(row.get("instructions")),
                _times(row.get("seconds"), row.get("starts")),
                _times(row.get("p99_us"), row.get("starts")),
                _both(row.get("text")),
                _both(row.get("own_text")),
                _both(row.get("resident_kb")),
            )
        return table

    def _means(self) -> str:
        scripts = [r["instructions"] for n, r in self.rows.items() if n.startswith("lua ") and "instructions" in r]
        ratios = [ratio for values in scripts if (ratio := _ratio(values, UPDATEABLE)) is not None]
        if not ratios:
            return ""
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        return f"lua, instructions: geometric mean {mean:.3f}, largest {max(ratios):.3f}"

    def _picture(self, path: Path) -> None:
        names = sorted(n for n, row in self.rows.items() if "instructions" in row)
        figure = Figure(figsize=(9, 0.4 * len(names) + 2))
        axes = figure.subplots()
        for offset, kind in ((-0.2, UPDATEABLE), (0.2, AS_IN_2009)):
            ratios = [_ratio(self.rows[n]["instructions"], kind) for n in names]
            places = [i + offset for i, ratio in enumerate(ratios) if ratio is not None]
            axes.barh(places, [100 * (r - 1) for r in ratios if r is not None], height=0.4, label=kind)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlabel("instructions in user code more than plain, per cent")
        axes.set_title("What it costs to be updateable")
        axes.grid(True, axis="x", alpha=0.3)
        axes.legend(frameon=False)
        figure.savefig(path, dpi=120, bbox_inches="tight")


def _ratio(values: Values, kind: str) -> float | None:
    return values[kind] / values[PLAIN] if kind in values and values.get(PLAIN) else None


def _both(values: Values | None) -> str:
    if values is None:
        return ""
    now, before = _ratio(values, UPDATEABLE), _ratio(values, AS_IN_2009)
    return " ".join([f"{now:.3f}" if now is not None else "-", f"({before:.2f})" if before is not None else ""]).strip()


def _times(rounds: Rounds | None, starts: int | None) -> str:
    """The medians of the ratios of neighbouring rounds, and between what they would be with other starts.

    The machine is faster at one time than at another, and a program at one start than at another.
    """
    if rounds is None:
        return ""
    pairs = _pairs(rounds, UPDATEABLE)
    if not pairs:
        return "-"  # a clock of few ticks
    size = len(pairs) // (starts or len(pairs))
    groups = [pairs[i : i + size] for i in range(0, len(pairs), size)]
    chance = random.Random(0)
    medians = [
        statistics.median([ratio for group in chance.choices(groups, k=len(groups)) for ratio in group])
        for _ in range(RESAMPLED)
    ]
    low, *_, high = statistics.quantiles(medians, n=40)
    before = _pairs(rounds, AS_IN_2009)
    shown = f"{statistics.median(pairs):.3f} \\[{low:.2f} to {high:.2f}]"
    return shown + (f" ({statistics.median(before):.2f})" if before else "")


def _pairs(rounds: Rounds, kind: str) -> list[float]:
    return [now / plain for plain, now in zip(rounds[PLAIN], rounds.get(kind, []), strict=False) if plain]
