"""The demonstration: a threaded server is updated, rolled back and updated again, under load, and nothing is lost.

Run it with ``make demo``. Everything that it prints is measured; it exits 1 if a single request failed.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from examples.kvload import Load, LoadReport

HERE = Path(__file__).resolve().parent
UPSTARE = [sys.executable, "-m", "upstare"]
CONNECTIONS = 8
RATE = 800

console = Console(highlight=False, soft_wrap=True)


def show(command: str) -> None:
    """A command as a person would type it."""
    console.print(f"[bold]$ {command}[/bold]")


def build(version: str, directory: Path) -> Path:
    """The executable of one version of the server, built as any program is: ``CC="upstare cc" make``."""
    place = directory / version
    shutil.copytree(HERE / "kvserver" / version, place)
    show(f'make -C {version} CC="upstare cc"')
    begin = time.monotonic()
    command = ["make", "-s", "-C", str(place), f"CC={' '.join(UPSTARE)} cc"]
    subprocess.run(command, check=True)
    console.print(f"  {version}/kvserver, {time.monotonic() - begin:.1f} s")
    return place / "kvserver"


def upstare(*arguments: str, shown: str) -> dict[str, Any]:
    """What an ``upstare`` command says in JSON; ends the demonstration if it fails."""
    show(f"upstare {shown}")
    done = subprocess.run([*UPSTARE, *arguments, "--json"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        console.print(f"[red]exit code {done.returncode}[/red]\n{done.stdout}")
        raise SystemExit(1)
    data: dict[str, Any] = json.loads(done.stdout)
    return data


def microseconds(value: float | None) -> str:
    """A time for people."""
    return "-" if value is None else f"{value:,.0f} µs" if value < 10_000 else f"{value / 1000:,.1f} ms"


def report_update(done: str, data: dict[str, Any]) -> None:
    """One line on what an update did and how long it took."""
    [process] = data["processes"]
    times = ", ".join(f"{step} {microseconds(data[f'{step}_us'])}" for step in ("load", "stop", "transform", "resume"))
    console.print(
        f"  {done}: {process['threads']} threads, {process['frames']} frames, "
        f"{process['moved_objects']} moved objects; {times}; [bold]pause {microseconds(data['pause_us'])}[/bold]"
    )


@contextlib.contextmanager
def running(executable: Path) -> Iterator[tuple[int, int]]:
    """The server on a free port of the loopback address: its pid and port."""
    child = subprocess.Popen([executable, "-p", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout
        line = child.stdout.readline()
        console.print(f"  {line.strip()}, pid {child.pid}")
        port = int(line.split()[-1])
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        yield child.pid, port
        if child.poll() is not None:
            console.print(f"[red]the server ended with {child.returncode}[/red]")
            raise SystemExit(1)
    finally:
        child.terminate()
        child.communicate(timeout=10)


def result_table(report: LoadReport, pauses: list[float]) -> Table:
    """The figures at the end."""
    table = Table(show_header=False)
    table.add_row("requests sent", f"{report.sent:,} ({report.rate:,.0f} a second)")
    failed = f"{report.failed:,}"
    table.add_row("failed", failed if report.failed == 0 else f"[red]{failed}[/red]")
    for version, count in sorted(report.by_version.items()):
        table.add_row(f"replies by version {version}", f"{count:,}")
    table.add_row("versions that each connection saw", ", ".join(_histories(report)))
    table.add_row("pause of each update", ", ".join(microseconds(pause) for pause in pauses))
    table.add_row("slowest reply", f"{report.longest * 1000:,.1f} ms")
    return table


def _histories(report: LoadReport) -> list[str]:
    return sorted({" → ".join(versions) for versions in report.versions_per_connection})


def main() -> int:
    """0 if every reply was right and came from the version it had to come from."""
    pauses = []
    with tempfile.TemporaryDirectory(prefix="upstare-demo-") as scratch:
        directory = Path(scratch)
        v1, v2 = build("v1", directory), build("v2", directory)
        patch = directory / "2.upatch"
        data = upstare("patch", str(v1), str(v2), "-o", str(patch), shown="patch v1/kvserver v2/kvserver -o 2.upatch")
        console.print(f"  {patch.stat().st_size:,} bytes")
        show("v1/kvserver -p 0 &")
        with running(v1) as (pid, port), Load(port, CONNECTIONS, RATE) as load:
            console.print(f"  load: {CONNECTIONS} connections that stay open, others that come and go")
            load.wait_for_replies(1000, "1")
            for verb, shown, version in (
                ("apply", f"apply 2.upatch --pid {pid}", "2"),
                ("rollback", f"rollback --pid {pid}", "1"),
                ("apply", f"apply 2.upatch --pid {pid}", "2"),
            ):
                more = [str(patch)] if verb == "apply" else []
                data = upstare(verb, *more, "--pid", str(pid), shown=shown)
                report_update("rolled back" if verb == "rollback" else "updated", data)
                pauses.append(data["pause_us"])
                load.wait_for_replies(1000, version)
            report = load.stop()
    console.print(result_table(report, pauses))
    for error in report.errors[:10]:
        console.print(f"[red]{error}[/red]")
    expected = [["1", "2", "1", "2"]] * CONNECTIONS
    lost = bool(report.failed or report.errors)
    if report.versions_per_connection != expected:
        console.print("[red]a connection saw versions in another order than the updates made them[/red]")
    return 1 if lost or report.versions_per_connection != expected else 0


if __name__ == "__main__":
    sys.exit(main())
