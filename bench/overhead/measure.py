"""Single measurements of one executable."""

from __future__ import annotations

import re
import resource
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from elftools.elf.constants import P_FLAGS
from elftools.elf.elffile import ELFFile

from tests.support.process import running, wait_for_port
from upstare.driver.runtime import CODE_SECTION

DEADLINE = 600.0


def instructions(command: Sequence[str | Path], report: Path) -> int:
    """Instructions retired in user code while the command runs to its end."""
    with open("/dev/null") as nothing:
        subprocess.run(
            _counted(command, report), stdin=nothing, capture_output=True, timeout=DEADLINE, check=True
        )
    return _total(report)


def server_instructions(command: Sequence[str | Path], port: int, load: Sequence[str | Path], report: Path) -> int:
    """Instructions retired in user code by a server from its start until the load is over."""
    with running(_counted(command, report)) as program:
        wait_for_port(port, program, 60.0)
        subprocess.run([str(word) for word in load], capture_output=True, timeout=DEADLINE, check=True)
        program.child.send_signal(signal.SIGTERM)
        program.wait(60.0)
    return _total(report)


def counting(reports: Path) -> list[str | Path]:
    """What a server of several processes is run under, for :func:`counted`: each leaves its own report."""
    return _counted([], reports / "%p")


def counted(reports: Path) -> tuple[int, int]:
    """How many processes left a whole report (who is killed leaves none), and the instructions that they retired in
    user code."""
    found = [_summary(report) for report in reports.iterdir()]
    known = [count for count in found if count is not None]
    return len(known), sum(known)


def _counted(command: Sequence[str | Path], report: Path) -> list[str | Path]:
    report.unlink(missing_ok=True)
    # All threads in turn, so that none waits for another by turning around.
    options = ["--tool=cachegrind", "--cache-sim=no", "--fair-sched=yes", f"--cachegrind-out-file={report}"]
    # valgrind keeps twelve descriptors for itself, and only lets a program set the limit that is left (memcached does).
    return ["prlimit", "--nofile=1036:1036", "valgrind", *options, *command]


def _total(report: Path) -> int:
    found = _summary(report)
    assert found is not None, f"{report} has no summary: the program did not end as it should"
    return found


def _summary(report: Path) -> int | None:
    found = re.search(r"^summary: (\d+)", report.read_text(errors="replace"), re.MULTILINE)
    return int(found.group(1)) if found is not None else None


def seconds(command: Sequence[str | Path]) -> tuple[float, float]:
    """Elapsed seconds, and seconds of processor time in user code, of a command that runs to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    begin = time.perf_counter()
    subprocess.run([str(word) for word in command], capture_output=True, timeout=DEADLINE, check=True)
    elapsed = time.perf_counter() - begin
    return elapsed, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def loaded_text(executable: Path) -> int:
    """Bytes of the segments that are mapped to be executed."""
    with executable.open("rb") as file:
        segments = ELFFile(file).iter_segments("PT_LOAD")
        return sum(s["p_filesz"] for s in segments if s["p_flags"] & P_FLAGS.PF_X)


def own_text(executable: Path) -> int:
    """The same without what is awake of the runtime."""
    with executable.open("rb") as file:
        runtime = ELFFile(file).get_section_by_name(CODE_SECTION)
        return loaded_text(executable) - (int(runtime["sh_size"]) if runtime is not None else 0)


def resident(pid: int) -> int:
    """Kilobytes of memory that a process has in use."""
    found = re.search(r"^Rss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1))
