"""What it costs to be updateable: the same servers, plain and updateable, in turns, under the same load.

The figure is the ratio of the medians of plain and updateable rounds of one run. The server's processor time for each
request is taken as well: with client and server on the same few processors it says more than the elapsed time.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.figures import bars, repeat, spread, write_json
from tests.support.build import Builder
from tests.support.process import Program, free_port, server
from tests.support.tinyproxy import RELEASED, running_proxy

ROUNDS = 15
KINDS = ("plain", "updateable")


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used, threads that have ended included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Measured:
    """One kind of the server: seconds and processor seconds of each round."""

    program: Program
    port: int
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def round(self, command: list[str]) -> None:
        """Runs the load once."""
        before = processor_seconds(self.program.pid)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        self.seconds.append(float(done.stdout))
        self.processor.append(processor_seconds(self.program.pid) - before)


def compare(
    benchmark: BenchmarkFixture,
    name: str,
    title: str,
    servers: dict[str, Measured],
    load: Callable[[int], list[str]],
    requests: int,
    results: Path,
) -> None:
    """Runs plain and updateable in turns; writes the figures and a picture."""

    order = list(servers.values())

    def both() -> None:
        for measured in order:
            measured.round(load(measured.port))
        order.reverse()  # so that neither is always the first

    both()  # warm
    for measured in servers.values():
        measured.seconds.clear()
        measured.processor.clear()
    repeat(benchmark, both, ROUNDS)
    figures: dict[str, object] = {
        kind: {
            "requests_per_second": spread([requests / seconds for seconds in measured.seconds]),
            "server_cpu_us_per_request": spread([1e6 * seconds / requests for seconds in measured.processor]),
        }
        for kind, measured in servers.items()
    }
    medians = {kind: spread(measured.seconds)["median"] for kind, measured in servers.items()}
    processor = {kind: spread(measured.processor)["median"] for kind, measured in servers.items()}
    figures["time_ratio"] = medians["updateable"] / medians["plain"]
    figures["cpu_ratio"] = processor["updateable"] / processor["plain"]
    benchmark.extra_info.update(figures)
    write_json(results / f"throughput-{name}.json", figures)
    bars(results / f"throughput-{name}.png", title, {k: [requests / s for s in m.seconds] for k, m in servers.items()})
    assert all(measured.program.poll() is None for measured in servers.values())


@contextmanager
def kvservers(kvserver: Builder) -> Iterator[dict[str, Measured]]:
    """The example, plain and updateable, both running."""
    with ExitStack() as stack:
        servers = {}
        for kind in KINDS:
            port = free_port()
            executable = kvserver("v2", kind == "updateable")
            servers[kind] = Measured(stack.enter_context(server([executable, "-p", str(port)], port)), port)
        yield servers


@pytest.mark.parametrize("connections", [1, 8])
def test_kvserver(
    benchmark: BenchmarkFixture,
    kvserver: Builder,
    helper: Callable[[str], Path],
    results: Path,
    connections: int,
) -> None:
    each = 24000 // connections
    with kvservers(kvserver) as servers:
        compare(
            benchmark,
            f"kvserver-{connections}",
            f"The example, connections: {connections}",
            servers,
            lambda port: [str(helper("kvload")), str(port), str(connections), str(each)],
            each * connections,
            results,
        )


@pytest.mark.parametrize(("clients", "each", "size"), [(8, 400, 2000), (4, 3, 20_000_000)], ids=["small", "large"])
def test_tinyproxy(
    benchmark: BenchmarkFixture,
    tinyproxy: Builder,
    helper: Callable[[str], Path],
    results: Path,
    tmp_path: Path,
    clients: int,
    each: int,
    size: int,
) -> None:
    with ExitStack() as stack:
        servers = {}
        for kind in KINDS:
            executable = tinyproxy(RELEASED, kind == "updateable")
            servers[kind] = Measured(*stack.enter_context(running_proxy(executable, tmp_path, log_level="Critical")))
        compare(
            benchmark,
            f"tinyproxy-{size}",
            f"tinyproxy, {clients} clients, bodies of {size:,} bytes",
            servers,
            lambda port: [str(helper("proxyload")), str(port), str(clients), str(each), str(size)],
            clients * each,
            results,
        )
