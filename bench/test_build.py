"""How long building takes: plain and updateable, on the same cores, everything and after one changed file.

Elapsed and processor seconds of the whole build, make and the compilers included, in turns; the cache is empty before
each complete build, after which the file changes several times. The figure is the ratio of the medians.
"""

from __future__ import annotations

import os
import resource
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.figures import repeat, spread, write_json
from tests.support.build import run_build
from tests.support.source import unpack_or_skip
from tests.support.tool import UPSTARE_CC

ROUNDS = 3
CHANGES = 5  # in a round
JOBS = f"-j{os.cpu_count() or 1}"
KINDS = {"plain": "cc", "updateable": UPSTARE_CC}


@dataclass
class Project:
    """A program that is built with make.

    Attributes:
        package: Debian source package.
        prepare: commands that run once, and are not counted.
        build: the command, to which ``CC=...`` is added.
        changed: the file that changes.
    """

    package: str
    prepare: list[list[str]]
    build: list[str]
    changed: str


PROJECTS = {
    "lua": Project("lua5.4", [], ["make", "-C", "src", JOBS, "lua", "ALL=lua", "SYSLIBS=-ldl -Wl,-E"], "src/lapi.c"),
    "kissfft": Project(
        "kissfft", [], ["make", JOBS, "KISSFFT_DATATYPE=float", "KISSFFT_STATIC=1", "KISSFFT_TOOLS=0", "all"],
        "kiss_fftr.c",
    ),
    "redis": Project(
        "redis",
        [],
        ["make", JOBS, "MALLOC=libc", "OPTIMIZATION=-O2", "BUILD_TLS=no", "USE_SYSTEMD=no", "redis-server"],
        "src/networking.c",
    ),
    "sqlite3": Project(
        "sqlite3",
        [
            ["./configure"],
            ["make", "sqlite3.c", "shell.c"],
            ["sh", "-c", "printf 'all: s\\nCFLAGS=-O2\\ns: sqlite3.o shell.o\\n\\t$(CC) $^ -o $@ -lm\\n' >bench.mk"],
        ],
        ["make", "-f", "bench.mk", JOBS],
        "shell.c",
    ),
}  # fmt: skip


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass
class Tree:
    """One kind of a project, in a directory of its own."""

    project: Project
    place: Path
    compiler: str
    cache: Path

    @property
    def environment(self) -> dict[str, str]:
        """UpStare's own modules are compiled, as they are where it is installed."""
        return {
            "UPSTARE_CACHE": str(self.cache),
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(self.place.parent / "bytecode"),
        }

    def build(self) -> tuple[float, float]:
        """Elapsed and processor seconds."""
        start, used = time.monotonic(), _children()
        run_build([*self.project.build, f"CC={self.compiler}"], self.place, **self.environment)
        return time.monotonic() - start, _children() - used

    def change(self, number: int) -> None:
        """The file has one more function."""
        with (self.place / self.project.changed).open("a") as file:
            file.write(f"\nint upstare_bench_{number}(int x) {{ return x + {number}; }}\n")


@pytest.mark.parametrize("name", PROJECTS)
def test_build(name: str, benchmark: BenchmarkFixture, tmp_path: Path, results: Path) -> None:
    project = PROJECTS[name]
    source = unpack_or_skip(project.package, "bookworm", tmp_path / "source")
    for command in project.prepare:
        run_build(command, source)
    figures: dict[str, list[float]] = {}
    done = 0

    def note(kind: str, what: str, times: tuple[float, float]) -> None:
        for unit, value in zip(("elapsed", "processor"), times, strict=True):
            figures.setdefault(f"{what}, {unit}, {kind}", []).append(value)

    def one_round() -> None:
        nonlocal done
        trees = {
            kind: Tree(project, tmp_path / f"{kind}{done}", compiler, tmp_path / f"cache{done}")
            for kind, compiler in KINDS.items()
        }
        for kind, tree in trees.items():
            shutil.copytree(source, tree.place, symlinks=True)
            _warm(tree)
            note(kind, "cold", tree.build())
        for number in range(CHANGES):
            for kind, tree in trees.items():
                tree.change(number)
                note(kind, "changed", tree.build())
        for tree in trees.values():
            shutil.rmtree(tree.place)
        done += 1

    repeat(benchmark, one_round, ROUNDS)
    medians = {key: spread(values)["median"] for key, values in figures.items()}
    ratios = {
        key.removesuffix(", plain"): medians[key.replace("plain", "updateable")] / value
        for key, value in medians.items()
        if key.endswith("plain")
    }
    benchmark.extra_info.update(ratios)
    seconds = {key: spread(values) for key, values in figures.items()}
    write_json(results / f"build-{name}.json", {"ratios": ratios, "seconds": seconds})
    print(name, *(f"{what}: {ratio:.2f}" for what, ratio in ratios.items()), sep="\n  ")


def _warm(tree: Tree) -> None:
    """The parts of UpStare itself that are compiled at first use are there; nothing of the program is."""
    small = tree.place / "upstare_warm.c"
    small.write_text("int main(void) { return 0; }\n")
    if tree.compiler != "cc":
        command = [*tree.compiler.split(), small.name, "-o", "upstare_warm"]
        run_build(command, tree.place, **tree.environment)

