"""A tree of processes under traffic, updated and rolled back over and over while workers die and are forked.

    python -m tests.stress.trees --updates 500 [--workers 32] [--kills 5] [--seed 1]

The example in ``examples/prefork`` goes from 1.0 to 1.1 to 1.2 and back. Every reply is checked, and the order of
versions in the replies of all workers (see ``examples/preforkload.py``). One wrong, late or missing reply, one version
out of order, or one update that is not done is a failure.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from examples.preforkload import Client
from tests.support import tool
from tests.support.build import build_example
from tests.support.process import free_port, server

VERSIONS = ("v1.0", "v1.1", "v1.2")


@dataclass
class Outcome:
    """What a run did.

    Attributes:
        updates: how many were done, by (from, to).
        pauses: microseconds of each.
        processes: how many processes each of them took.
        killed: workers that were killed.
        sent: requests sent.
        lost: requests that were lost with a killed worker.
        longest: the longest time that any reply took, in seconds.
        errors: everything that went wrong.
    """

    updates: Counter[tuple[str, str]] = field(default_factory=Counter)
    pauses: list[float] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)
    killed: int = 0
    sent: int = 0
    lost: int = 0
    longest: float = 0.0
    errors: list[str] = field(default_factory=list)


class Killer:
    """Kills a worker now and then, in a thread of its own."""

    def __init__(self, client: Client, per_second: float, seed: int) -> None:
        self.killed = 0
        self._client = client
        self._pause = 1 / per_second if per_second else 0.0
        self._random = random.Random(seed)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer", daemon=True)

    def __enter__(self) -> Killer:
        if self._pause:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._pause:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._random.uniform(0, 2 * self._pause)):
            workers = sorted(self._client.workers())
            if workers:
                self._kill(self._random.choice(workers))

    def _kill(self, pid: int) -> None:
        try:
            held = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if pid in self._client.workers():  # still the one that was meant
                self._client.kill(pid, lambda: signal.pidfd_send_signal(held, signal.SIGKILL))
                self.killed += 1
        except ProcessLookupError:
            pass
        finally:
            os.close(held)


def ask(port: int, request: str) -> str:
    """The reply to a request on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile("rw") as stream:
        stream.write(f"{request}\n")
        stream.flush()
        return stream.readline().rstrip("\n")


def make_patches(executables: Mapping[str, Path], directory: Path) -> dict[str, Path]:
    """The patch to each version but the first, by version."""
    patches = {}
    for old, new in zip(VERSIONS, VERSIONS[1:], strict=False):
        patches[new] = directory / f"{new}.upatch"
        tool.expect(tool.patch(executables[old], executables[new], patches[new]))
    return patches


def steps(updates: int) -> list[tuple[str, str]]:
    """So many updates, as pairs of versions: to and fro between the first two, then between the last two."""
    first, second, third = VERSIONS
    way = ([(first, second), (second, first)] * updates)[: updates // 2 | 1]
    return way + ([(second, third), (third, second)] * updates)[: updates - len(way)]


def run(
    executable: Path,
    patches: Mapping[str, Path],
    way: list[tuple[str, str]],
    workers: int,
    kills: float = 0.0,
    seed: int = 1,
    done: Callable[[], None] = lambda: None,
    rest: float = 0.001,
) -> Outcome:
    """Starts the first version and takes it that way, under traffic.

    Args:
        kills: workers that are killed in a second, on average.
        done: called after each update.
        rest: of the client, see there.
    """
    outcome = Outcome()
    port = free_port()
    with server([executable, "-p", str(port), "-w", str(workers)], port) as program:
        with Client(port, program.pid, way[0][0].removeprefix("v"), rest) as client:
            with Killer(client, kills, seed) as killer:
                for old, new in way:
                    _step(client, program.pid, patches, old, new, outcome)
                    done()
                    if outcome.errors or client.report.errors:
                        break
                    client.wait_replies(2 * workers)
            outcome.killed = killer.killed
            if not client.report.errors:
                client.wait_covered()
        report = client.report
        if not report.errors:
            client.check_counts(lambda request: ask(port, request))
        outcome.sent, outcome.lost, outcome.longest = report.sent, report.lost, report.longest
        outcome.errors += report.errors
        if not kills and report.lost:
            outcome.errors.append(f"{report.lost} requests were lost although nobody was killed")
        if program.poll() is not None:
            outcome.errors.append(f"the master ended with {program.poll()}")
        else:
            program.child.terminate()
            if program.wait() != 0:
                outcome.errors.append(f"the master stopped with {program.poll()}")
        if outcome.errors:
            outcome.errors.append(f"the server wrote: {program.log()[-1000:]}")
    return outcome


def _step(client: Client, master: int, patches: Mapping[str, Path], old: str, new: str, outcome: Outcome) -> None:
    forward = VERSIONS.index(new) > VERSIONS.index(old)
    verb = ("apply", patches[new]) if forward else ("rollback",)

    def work() -> bool:
        result = tool.upstare(*verb, "--pid", master, "--tree", "--timeout", 10)
        if result.exit_code == 0:
            outcome.updates[old, new] += 1
            outcome.pauses.append(result.data["pause_us"])
            outcome.processes.append(len(result.data["processes"]))
            return True
        outcome.errors.append(f"{old} to {new}: {result}")
        return False

    client.update(new.removeprefix("v"), work)


def main() -> int:
    """Run it; the exit code says whether something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=500)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--kills", type=float, default=5.0, help="workers killed in a second, on average")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console()
    with tempfile.TemporaryDirectory() as name, Progress(*columns, console=console) as progress:
        directory = Path(name)
        os.environ.setdefault("UPSTARE_CACHE", str(directory / "cache"))
        executables = {version: build_example("prefork", version, directory) for version in VERSIONS}
        patches = make_patches(executables, directory)
        task = progress.add_task("updates", total=arguments.updates)
        begin = time.monotonic()
        outcome = run(
            executables[VERSIONS[0]],
            patches,
            steps(arguments.updates),
            arguments.workers,
            arguments.kills,
            arguments.seed,
            lambda: progress.advance(task),
        )
        seconds = time.monotonic() - begin
    pauses = [pause / 1000 for pause in outcome.pauses] or [0.0]
    console.print(
        f"{outcome.updates.total()} updates of {arguments.workers + 1} processes in {seconds:.0f} s; "
        f"pause {statistics.median(pauses):.1f} ms (median), {max(pauses):.1f} ms (longest); "
        f"{outcome.sent:,} requests, {outcome.lost} lost with {outcome.killed} killed workers; "
        f"slowest reply {outcome.longest * 1000:.0f} ms"
    )
    for error in outcome.errors:
        console.print(error, markup=False, soft_wrap=True)
    return 1 if outcome.errors else 0


if __name__ == "__main__":
    sys.exit(main())
