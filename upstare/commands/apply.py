"""Apply a patch to running processes: every thread, now, all or nothing.

Exit codes: 0 updated, 1 error, 2 usage, 3 the process cannot take this update, 4 it runs the new version already,
5 its threads did not stop in time. Unless the exit code is 0 the old version runs on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from upstare.commands.arguments import add_json, add_timeout, process_id
from upstare.coordinator.outcome import Outcome
from upstare.errors import EXIT_DONE, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``upstare apply``."""
    parser.add_argument("patch", type=Path, metavar="FILE", help="the patch, made by upstare patch")
    add_processes(parser)
    add_timeout(parser)
    add_json(parser)


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Declare the options that choose processes."""
    parser.add_argument(
        "--pid", type=process_id, action="append", default=[], help="the process; more than once: all or none"
    )
    parser.add_argument("--name", action="append", default=[], help="all processes of the program of this name")
    parser.add_argument("--tree", action="store_true", help="their child processes of the same program too")


def chosen(args: argparse.Namespace) -> dict[str, Any]:
    """The processes that the options of :func:`add_processes` choose, as the coordinator takes them.

    Raises:
        UsageError: no option chooses any.
        NoSuchProcess: no process has the name.
    """
    from upstare.coordinator.tree import named

    if not args.pid and not args.name:
        hint = "upstare status lists them; see upstare apply --help"
        raise UsageError("which processes? name them with --pid or --name", hint=hint)
    found = [pid for name in args.name for pid in named(name)]
    return {"pids": [*args.pid, *found], "tree": args.tree or bool(args.name), "timeout": args.timeout}


def run(args: argparse.Namespace) -> int:
    """Update and report."""
    from upstare.coordinator.apply import apply

    report(apply(args.patch, **chosen(args)), as_json=args.json)
    return EXIT_DONE


def report(outcome: Outcome, *, as_json: bool) -> None:
    """Print what was done and how long each step took."""
    if as_json:
        print(json.dumps(outcome.as_dict()))
        return
    for process in outcome.processes:
        print(
            f"process {process.pid} ({outcome.program}): {outcome.from_version} -> {outcome.to_version}, "
            f"{_count(process.threads, 'thread')}, {_count(process.frames, 'frame')}, "
            f"{_count(process.moved_objects, 'moved object')}"
        )
    steps = ("load", "stop", "transform", "resume", "pause")
    print("  ".join(f"{step} {duration(getattr(outcome, f'{step}_us'))}" for step in steps))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def duration(microseconds: float | None) -> str:
    """Microseconds as people read them."""
    if microseconds is None:
        return "-"
    if microseconds < 1000:
        return f"{microseconds:.0f} µs"
    if microseconds < 1e6:
        return f"{microseconds / 1e3:.2f} ms"
    return f"{microseconds / 1e6:.2f} s"
