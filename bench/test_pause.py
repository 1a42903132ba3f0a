"""How long an update takes: to stop, to transform, to resume, beside the floor of bare signals to as many threads.

And how long several processes stand still: from the first request to stop to the last answer that the coordinator got.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.figures import lines, repeat, spread, write_json
from examples.kvload import Load
from tests.support import tool
from tests.support.build import Builder
from tests.support.process import free_port, server

CONNECTIONS = (1, 8, 64)
PROCESSES = (1, 8, 32, 100)
UPDATES = 20
STEPS = ("stop_us", "transform_us", "resume_us", "pause_us")
#: Threads of the example besides those of the connections: main and the one that expires keys.
OTHERS = 2


def floor(program: Path, threads: int) -> dict[str, dict[str, float]]:
    """Microseconds to stop and to resume that many threads with nothing but signals."""
    done = subprocess.run(
        [program, str(threads), str(UPDATES * 2)], capture_output=True, text=True, check=True, timeout=60
    )
    rows = [[float(word) for word in line.split()] for line in done.stdout.splitlines()]
    return {"stop_us": spread([row[0] for row in rows]), "resume_us": spread([row[1] for row in rows])}


@pytest.mark.parametrize("loaded", [False, True], ids=["idle", "loaded"])
def test_update(
    benchmark: BenchmarkFixture,
    kvserver: Builder,
    helper: Callable[[str], Path],
    results: Path,
    tmp_path: Path,
    loaded: bool,
) -> None:
    patch = tmp_path / "2.upatch"
    tool.expect(tool.patch(kvserver("v1"), kvserver("v2"), patch))
    figures: dict[str, dict[str, dict[str, float]]] = {}
    times: dict[int, dict[str, list[float]]] = {n: {step: [] for step in STEPS} for n in CONNECTIONS}

    with ExitStack() as stack:
        pids = {}
        for connections in CONNECTIONS:
            port = free_port()
            program = stack.enter_context(server([kvserver("v1"), "-p", str(port)], port))
            pids[connections] = program.pid
            if loaded:
                stack.enter_context(Load(port, connections, rate=400, visitors=0))
            else:
                for _ in range(connections):
                    opened = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                    opened.sendall(b"VERSION\n")
                    assert opened.recv(100).startswith(b"KV/1")

        def update_all() -> None:
            for connections, pid in pids.items():
                for result in (tool.apply(patch, pid), tool.rollback(pid)):
                    data = tool.expect(result)
                    for step in STEPS:
                        times[connections][step].append(data[step])

        repeat(benchmark, update_all, UPDATES)

    for connections in CONNECTIONS:
        figures[str(connections)] = {step: spread(times[connections][step]) for step in STEPS}
        bare = floor(helper("floor"), connections + OTHERS)
        figures[str(connections)] |= {f"floor_{step}": value for step, value in bare.items()}
    name = "pause-loaded" if loaded else "pause-idle"
    benchmark.extra_info.update(figures)
    write_json(results / f"{name}.json", figures)
    lines(results / f"{name}.png", f"An update of the example, {'loaded' if loaded else 'idle'}", figures)


def test_tree(benchmark: BenchmarkFixture, prefork: Builder, results: Path, tmp_path: Path, rounds: int) -> None:
    patch = tmp_path / "1.1.upatch"
    tool.expect(tool.patch(prefork("v1.0"), prefork("v1.1"), patch))
    times: dict[int, dict[str, list[float]]] = {n: {step: [] for step in STEPS} for n in PROCESSES}

    with ExitStack() as stack:
        pids = {}
        for count in PROCESSES:
            port = free_port()
            command = [str(prefork("v1.0")), "-p", str(port), "-w", str(max(1, count - 1))]
            pids[count] = stack.enter_context(server(command, port)).pid

        def update_all() -> None:
            for count, pid in pids.items():
                more = [] if count == 1 else ["--tree"]
                for verb in (["apply", str(patch)], ["rollback"]):
                    data = tool.expect(tool.upstare(*verb, "--pid", pid, *more))
                    assert len(data["processes"]) == count
                    for step in STEPS:
                        times[count][step].append(data[step])

        repeat(benchmark, update_all, rounds)

    figures = {str(count): {step: spread(times[count][step]) for step in STEPS} for count in PROCESSES}
    benchmark.extra_info.update(figures)
    write_json(results / "pause-processes.json", figures)
    lines(results / "pause-processes.png", "An update of a pre-forking server", figures, "processes")
