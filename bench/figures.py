"""Figures of the benches: summed up, written, drawn."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from pytest_benchmark.fixture import BenchmarkFixture


def write_json(path: Path, data: Any) -> None:
    """``path`` holds the data, for people and for scripts."""
    path.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n")


def spread(values: list[float]) -> dict[str, float]:
    """Median, and the quarters beside it."""
    first, median, third = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "first_quarter": first, "third_quarter": third, "count": len(values)}


def repeat(benchmark: BenchmarkFixture, work: Callable[[], None], rounds: int) -> None:
    """Runs the work that many times, as the rounds of a benchmark."""
    benchmark.pedantic(work, rounds=rounds, iterations=1)  # type: ignore[no-untyped-call]


def bars(path: Path, title: str, values: dict[str, list[float]]) -> None:
    """A picture of requests per second: a box for each kind of server."""
    figure, axes = _axes(title)
    axes.boxplot(list(values.values()), tick_labels=list(values), whis=(0, 100))
    axes.set_ylabel("requests per second")
    axes.set_ylim(bottom=0)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def lines(path: Path, title: str, figures: dict[str, dict[str, dict[str, float]]], over: str = "connections") -> None:
    """A picture of times over the number of connections or the like: a line for each step, dashed for the floor."""
    figure, axes = _axes(title)
    numbers = [int(n) for n in figures]
    steps = [step for step in next(iter(figures.values())) if not step.startswith("floor_")]
    colours = {step: f"C{i}" for i, step in enumerate(steps)}
    for step in next(iter(figures.values())):
        rows = [figures[str(n)][step] for n in numbers]
        kind = step.removeprefix("floor_")
        style = "--" if kind != step else "-"
        label = kind.removesuffix("_us") + (" (bare signals)" if kind != step else "")
        axes.plot(numbers, [row["median"] for row in rows], style, marker="o", color=colours[kind], label=label)
        axes.fill_between(
            numbers,
            [row["first_quarter"] for row in rows],
            [row["third_quarter"] for row in rows],
            alpha=0.15,
            color=colours[kind],
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(numbers, [str(n) for n in numbers])
    axes.set_xlabel(over)
    axes.set_ylabel("microseconds (median, quarters)")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def _axes(title: str) -> tuple[Any, Any]:
    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    axes.set_title(title)
    axes.grid(True, alpha=0.3)
    return figure, axes
