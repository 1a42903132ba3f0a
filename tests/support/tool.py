"""The command line under test, as a user runs it, and its JSON answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]

#: What stands for ``upstare`` on the command line: the one of this interpreter.
UPSTARE = (sys.executable, "-m", "upstare")

#: The compiler for configure and make.
UPSTARE_CC = " ".join([*UPSTARE, "cc"])


def environment(**more: str) -> dict[str, str]:
    """The environment for children: ours, with this repository's ``upstare`` in front."""
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    kept = {key: value for key, value in os.environ.items() if key != "UPSTARE_STORM"}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), **more}


@dataclass
class Result:
    """What one command did: exit code, the JSON object it printed (``{}`` if none), and both outputs."""

    exit_code: int
    data: dict[str, Any]
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.exit_code}\n{self.out}\n{self.err}".strip()


def upstare(*arguments: str | Path | float, as_json: bool = True, deadline: float = 300.0, **env: str) -> Result:
    """Runs one ``upstare`` command to its end. Raises subprocess.TimeoutExpired after the deadline in seconds."""
    command = [*UPSTARE, *map(str, arguments), *(["--json"] if as_json else [])]
    done = subprocess.run(
        command, env=environment(**env), capture_output=True, text=True, timeout=deadline, check=False
    )
    data: dict[str, Any] = {}
    if as_json and done.stdout.strip():
        data = json.loads(done.stdout)
    return Result(done.returncode, data, done.stdout, done.stderr)


def upstare_as(user: int, *arguments: str | Path | float) -> Result:
    """As :func:`upstare`, by another user (only root can), who may not be able to read us: so we read everything first.

    Paths among the arguments are opened before, and named by their descriptors.
    """
    program = (
        "import os, sys, importlib.metadata, upstare.commands.apply, upstare.coordinator.apply; "
        "from upstare.cli import main; "
        "os.setgroups([]); os.setresgid(*[int(sys.argv[1])] * 3); os.setresuid(*[int(sys.argv[1])] * 3); "
        "sys.exit(main(sys.argv[2:]))"
    )
    with ExitStack() as stack:
        files = {a: stack.enter_context(a.open("rb")).fileno() for a in arguments if isinstance(a, Path)}
        words = [f"/proc/self/fd/{files[a]}" if isinstance(a, Path) else str(a) for a in arguments]
        done = subprocess.run(
            [sys.executable, "-c", program, str(user), *words, "--json"],
            env=environment(), pass_fds=list(files.values()), capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    data: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
    return Result(done.returncode, data, done.stdout, done.stderr)


def patch(old: Path, new: Path, out: Path, *more: str | Path) -> Result:
    """``upstare patch``; the caller looks at the exit code."""
    return upstare("patch", old, new, "-o", out, *more)


def apply(patch_file: Path, pid: int, timeout: float = 10.0) -> Result:
    """``upstare apply`` to one process."""
    return upstare("apply", patch_file, "--pid", pid, "--timeout", timeout)


def rollback(pid: int, timeout: float = 10.0) -> Result:
    """``upstare rollback`` of the last update of a process."""
    return upstare("rollback", "--pid", pid, "--timeout", timeout)


def status(pid: int) -> Result:
    """``upstare status`` of one process."""
    return upstare("status", "--pid", pid)


def expect(result: Result, exit_code: int = 0, outcome: str | None = None) -> dict[str, Any]:
    """The JSON of a command that did as expected; an AssertionError with all its output otherwise."""
    assert result.exit_code == exit_code, f"expected exit {exit_code}: {result}"
    if outcome is not None:
        assert result.data.get("outcome") == outcome, f"expected {outcome}: {result}"
    return result.data
