"""What it costs to be updateable: programs as they are, updateable, and with points placed as in 2009.

The decisive figure is the number of instructions in user code for the same work: noise and the layout of code do not
touch it. Times stand beside, of rounds in which the kinds take turns.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.figures import repeat
from bench.overhead import measure
from bench.overhead.programs import (
    HERE,
    KINDS,
    KISSFFT,
    KVSERVER_RECIPE,
    LUA,
    MEMCACHED,
    PLAIN,
    REDIS,
    SQLITE3,
    UPDATEABLE,
    VSFTPD,
    Recipe,
)
from bench.overhead.report import Figures
from tests.support.build import run_build
from tests.support.process import Program, free_port, server
from tests.support.real import needs_file
from tests.support.vsftpd import Session, running_vsftpd

SCRIPTS = sorted((HERE / "lua").glob("*.lua"))
CONNECTIONS = 4
COUNTS = 5  # of the instructions of a server
VSFTPD_COUNTS = 15
LOADS = 30  # of a server after each start: what differs from start to start is more than what differs between loads
STARTS = 15  # resident memory of each: the kernel maps more or less of the libraries around what is used
NOBODY = 65534


@pytest.fixture(scope="module")
def figures(results: Path) -> Iterator[Figures]:
    """The figures of this run; the table and the picture are made when the last bench is over."""
    found = Figures()
    yield found
    if found.rows:
        found.write(results)


@pytest.fixture(scope="module")
def kinds(quick: bool) -> tuple[str, ...]:
    return (PLAIN, UPDATEABLE) if quick else KINDS


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, kinds: tuple[str, ...]) -> Callable[[Recipe], dict[str, Path]]:
    """The executables of a program, by kind, each built once."""
    done: dict[str, dict[str, Path]] = {}

    def build(recipe: Recipe) -> dict[str, Path]:
        if recipe.name not in done:
            place = tmp_path_factory.mktemp(recipe.name)
            done[recipe.name] = {kind: recipe.build(kind, place) for kind in kinds}
        return done[recipe.name]

    return build


@pytest.fixture(scope="session")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The load generator of the servers."""
    out = tmp_path_factory.mktemp("loader") / "requestload"
    run_build(["cc", "-std=gnu11", "-O2", "-pthread", HERE / "requestload.c", "-o", out], out.parent)
    return out


@pytest.fixture
def counted() -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not here: instructions cannot be counted")


Build = Callable[[Recipe], dict[str, Path]]


def compare_commands(
    benchmark: BenchmarkFixture,
    figures: Figures,
    workload: str,
    commands: dict[str, list[str | Path]],
    report: Path,
    rounds: int,
) -> None:
    """Fills in the row of a command that runs to its end."""
    row = figures.row(workload)
    outputs = {k: subprocess.run(c, capture_output=True, check=True, timeout=300).stdout for k, c in commands.items()}
    assert len(set(outputs.values())) == 1 or workload.startswith("kissfft"), "the kinds differ in what they print"
    row["instructions"] = {kind: measure.instructions(command, report) for kind, command in commands.items()}
    row["text"] = {kind: measure.loaded_text(Path(command[0])) for kind, command in commands.items()}
    row["own_text"] = {kind: measure.own_text(Path(command[0])) for kind, command in commands.items()}
    times: dict[str, list[float]] = {kind: [] for kind in commands}
    order = list(commands)

    def all_kinds() -> None:
        for kind in order:
            times[kind].append(measure.seconds(commands[kind])[1])
        order.reverse()  # so that none is always the first

    repeat(benchmark, all_kinds, rounds)
    row["seconds"] = times
    benchmark.extra_info.update(row)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_lua(
    benchmark: BenchmarkFixture,
    built: Build,
    figures: Figures,
    tmp_path: Path,
    rounds: int,
    counted: None,
    script: Path,
) -> None:
    commands: dict[str, list[str | Path]] = {kind: [exe, script] for kind, exe in built(LUA).items()}
    compare_commands(benchmark, figures, f"lua {script.stem}", commands, tmp_path / "report", rounds)


@pytest.mark.parametrize("size", [1024, 1000])
def test_kissfft(
    benchmark: BenchmarkFixture,
    built: Build,
    figures: Figures,
    tmp_path: Path,
    rounds: int,
    counted: None,
    size: int,
) -> None:
    commands: dict[str, list[str | Path]] = {
        kind: [exe, "-n", str(size), "-x", "2000"] for kind, exe in built(KISSFFT).items()
    }
    compare_commands(benchmark, figures, f"kissfft {size}", commands, tmp_path / "report", rounds)


def test_sqlite3(
    benchmark: BenchmarkFixture, built: Build, figures: Figures, tmp_path: Path, rounds: int, counted: None
) -> None:
    commands: dict[str, list[str | Path]] = {
        kind: [exe, ":memory:", f".read {HERE / 'workload.sql'}"] for kind, exe in built(SQLITE3).items()
    }
    compare_commands(benchmark, figures, "sqlite3", commands, tmp_path / "report", rounds)


@dataclass
class Running:
    """A server that has started."""

    program: Program
    port: int

    def round(self, loader: Path, protocol: str, requests: int) -> tuple[float, float]:
        """Loads the server once: the seconds that it took, and the 99th percentile of the latencies in microseconds."""
        command = [str(loader), protocol, str(self.port), str(CONNECTIONS), str(requests)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        seconds, p99 = map(float, done.stdout.split())
        return seconds, p99


def _kvserver(port: int) -> list[str]:
    return ["-p", str(port)]


def _memcached(port: int) -> list[str]:
    return ["-u", "root", "-c", "1024", "-t", "2", "-l", "127.0.0.1", "-U", "0", "-p", str(port)]


def _redis(port: int) -> list[str]:
    return ["--port", str(port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]


def _least(
    executables: dict[str, Path], served: Callable[[Path], tuple[int, int]], times: int = COUNTS
) -> dict[str, float]:
    """The fewest instructions of several runs, in turns: how many calls it takes to receive something is the network's
    affair, and makes a sixth of what vsftpd does. Runs of which a process left no report do not count."""
    counts: dict[str, list[tuple[int, int]]] = {kind: [] for kind in executables}
    for _ in range(times):
        for kind, exe in executables.items():
            counts[kind].append(served(exe))
    whole = max(processes for found in counts.values() for processes, _ in found)
    return {kind: min(count for processes, count in found if processes == whole) for kind, found in counts.items()}


def _medians(executables: dict[str, Path], measured: Callable[[Path], int], times: int) -> dict[str, float]:
    """Of so many measurements of each, in turns."""
    found: dict[str, list[int]] = {kind: [] for kind in executables}
    for _ in range(times):
        for kind, exe in executables.items():
            found[kind].append(measured(exe))
    return {kind: statistics.median(values) for kind, values in found.items()}


SERVERS = [
    pytest.param(KVSERVER_RECIPE, _kvserver, id="kvserver"),
    pytest.param(MEMCACHED, _memcached, id="memcached"),
    pytest.param(REDIS, _redis, id="redis"),
]


@pytest.mark.parametrize(("recipe", "arguments"), SERVERS)
def test_server(
    benchmark: BenchmarkFixture,
    built: Build,
    figures: Figures,
    loader: Path,
    tmp_path: Path,
    rounds: int,
    quick: bool,
    counted: None,
    recipe: Recipe,
    arguments: Callable[[int], list[str]],
) -> None:
    row = figures.row(recipe.name)
    executables = built(recipe)
    row["text"] = {kind: measure.loaded_text(exe) for kind, exe in executables.items()}
    row["own_text"] = {kind: measure.own_text(exe) for kind, exe in executables.items()}

    def served(exe: Path) -> tuple[int, int]:
        port = free_port()
        load: list[str | Path] = [loader, recipe.name, str(port), "1", "2000" if quick else "10000"]
        return 1, measure.server_instructions([exe, *arguments(port)], port, load, tmp_path / "report")

    row["instructions"] = _least(executables, served)
    times: dict[str, list[float]] = {kind: [] for kind in executables}
    p99: dict[str, list[float]] = {kind: [] for kind in executables}
    order = list(executables)
    loads = 3 if quick else LOADS

    def one_start() -> None:
        with ExitStack() as stack:
            servers = {}
            for kind in order:
                port = free_port()
                command: list[str | Path] = [executables[kind], *arguments(port)]
                servers[kind] = Running(stack.enter_context(server(command, port, tmp_path)), port)
                servers[kind].round(loader, recipe.name, 1000)
            for _ in range(loads):
                for kind in order:
                    seconds, tail = servers[kind].round(loader, recipe.name, 1000)
                    times[kind].append(seconds)
                    p99[kind].append(tail)
                order.reverse()  # so that none is always the first
        order.reverse()

    repeat(benchmark, one_start, rounds)

    def resident(exe: Path) -> int:
        port = free_port()
        with server([exe, *arguments(port)], port, tmp_path) as program:
            Running(program, port).round(loader, recipe.name, 500)
            return measure.resident(program.pid)

    row["resident_kb"] = _medians(executables, resident, 3 if quick else STARTS)
    row["seconds"], row["p99_us"], row["starts"] = times, p99, rounds
    benchmark.extra_info.update(row)


def _transfers(port: int, sessions: int, size: int) -> None:
    """Sessions one after the other, each with uploads, downloads and commands that are checked."""
    for number in range(sessions):
        session = Session(port, f"session{number}")
        session.work(size)
        session.quit()


def test_vsftpd(
    benchmark: BenchmarkFixture, built: Build, figures: Figures, rounds: int, quick: bool, counted: None
) -> None:
    needs_file("/usr/include/security/pam_appl.h", "libpam0g-dev")
    needs_file("/usr/include/sys/capability.h", "libcap-dev")
    settings = {"one_process_model": "YES", "seccomp_sandbox": "NO"}
    user = NOBODY if os.geteuid() == 0 else None  # no chroot: valgrind has its reports to write
    row = figures.row("vsftpd")
    executables = built(VSFTPD)
    row["text"] = {kind: measure.loaded_text(exe) for kind, exe in executables.items()}
    row["own_text"] = {kind: measure.own_text(exe) for kind, exe in executables.items()}

    def served(exe: Path) -> tuple[int, int]:
        with tempfile.TemporaryDirectory() as reports:
            os.chmod(reports, 0o777)
            under = measure.counting(Path(reports))
            with running_vsftpd(exe, settings, user=user, under=under) as (program, port):
                _transfers(port, 2, 2_000_000)
                program.child.terminate()
                program.wait(60.0)
            return measure.counted(Path(reports))

    row["instructions"] = _least(executables, served, VSFTPD_COUNTS)
    times: dict[str, list[float]] = {kind: [] for kind in executables}
    with ExitStack() as stack:
        servers = {k: stack.enter_context(running_vsftpd(e, settings, user=user)) for k, e in executables.items()}
        order = list(servers)

        def all_kinds() -> None:
            for kind in order:
                begin = time.perf_counter()
                _transfers(servers[kind][1], 1 if quick else 3, 20_000_000)
                times[kind].append(time.perf_counter() - begin)
            order.reverse()

        repeat(benchmark, all_kinds, rounds)

    def resident(exe: Path) -> int:
        with running_vsftpd(exe, settings, user=user) as (program, port):
            _transfers(port, 1, 1_000_000)
            return measure.resident(program.pid)

    row["resident_kb"] = _medians(executables, resident, 3 if quick else STARTS)
    row["seconds"] = times
    benchmark.extra_info.update(row)
