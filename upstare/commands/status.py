"""Show updateable processes: version, threads, update history.

Each process is asked; one that does not answer is shown with the reason and the version of its executable.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from typing import TYPE_CHECKING, Any

from upstare.commands.apply import duration
from upstare.commands.arguments import add_json, add_timeout, process_id
from upstare.errors import EXIT_DONE

if TYPE_CHECKING:
    from upstare.coordinator.status import Status

_PATIENCE_ALL = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``upstare status``."""
    parser.add_argument("--pid", type=process_id, help="only this process, with its history and stacks")
    add_timeout(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Ask and print."""
    from upstare.coordinator.status import all_statuses, status

    if args.pid is not None:
        found = [status(args.pid, args.timeout)]
    else:
        found = all_statuses(min(_PATIENCE_ALL, args.timeout))
    if args.json:
        print(json.dumps({"processes": [_as_dict(each) for each in found]}))
    else:
        _print(found, in_full=args.pid is not None)
    return EXIT_DONE


def _as_dict(status: Status) -> dict[str, Any]:
    data = dataclasses.asdict(status)
    return {**data.pop("details"), **data}


def _print(found: list[Status], *, in_full: bool) -> None:
    from upstare.commands import tables

    if not found:
        tables.show("no updateable process runs here")
        return
    table = tables.table("pid", "program", "version", "build", "threads", "updates", "")
    for each in found:
        updates = sum(entry.get("outcome") == "updated" for entry in each.history)
        cells = (each.pid, each.program, each.version, each.build[:12], each.threads or "", updates, each.reason or "")
        table.add_row(*map(str, cells))
    tables.show(table)
    if in_full:
        for each in found:
            _print_history(each)
            _print_stacks(each)


def _print_history(status: Status) -> None:
    from upstare.commands import tables

    if not status.history:
        tables.show("never updated")
        return
    table = tables.table("time", "from", "to", "outcome", "pause", "reason")
    for entry in status.history:
        pause = entry.get("pause_us")
        table.add_row(
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.get("time", 0))),
            str(entry.get("from_version") or entry.get("from", "")[:12]),
            str(entry.get("to_version") or entry.get("to", "")[:12]),
            str(entry.get("outcome", "")),
            duration(pause) if pause else "",
            str(entry.get("reason") or ""),
        )
    tables.show(table)


def _print_stacks(status: Status) -> None:
    from upstare.commands import tables

    for thread in status.details.get("threads_detail", []):
        tables.show(f"thread {thread.get('tid')}")
        for frame in thread.get("frames", []):
            where = f":{frame['line']}" if frame.get("line") else ""
            tables.show(f"    {frame.get('function')}{where} {frame.get('version', '')}".rstrip())
