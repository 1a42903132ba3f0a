"""Show what an updateable executable says of itself: version, functions, update points, what may delay an update.

Of a shared library that was built with ``upstare cc`` it shows its units, and whether a program can have it versioned.

The bounded-delay report lists the loops without an update point, because what they count or walk bounds them: a
thread in one of them stops when the loop ends.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upstare.commands.arguments import add_json
from upstare.errors import EXIT_DONE, NotUpdatable, UpstareError

if TYPE_CHECKING:
    from upstare.driver.elf import Elf
    from upstare.model.description import Description, Function

_LISTED = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``upstare inspect``."""
    parser.add_argument("executable", type=Path, metavar="EXE", help="a program or library built with upstare cc")
    parser.add_argument("--functions", action="store_true", help="list every function")
    parser.add_argument("--points", action="store_true", help="list every update point")
    parser.add_argument("--all", action="store_true", help="do not shorten the lists of calls and loops")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Read the description and print it."""
    library = read_library(args.executable)
    if library is not None:
        _print_library(library, as_json=args.json)
        return EXIT_DONE
    summary = summarise(load(args.executable))
    if args.json:
        print(json.dumps(summary))
    else:
        _print(summary, functions=args.functions, points=args.points, limit=None if args.all else _LISTED)
    return EXIT_DONE


def read(path: Path) -> Elf:
    """The file. Raises UpstareError if it cannot be read."""
    from upstare.driver.elf import Elf

    try:
        return Elf(path.read_bytes(), str(path))
    except OSError as error:
        raise UpstareError(f"cannot read {path}: {error.strerror or error}") from error


def read_library(path: Path) -> dict[str, Any] | None:
    """What a shared library says of itself, as plain data (the object of ``--json``); None if it is none of ours."""
    from upstare.driver import embed
    from upstare.driver.elf import SECTION_LIBRARY, SECTION_UNIT
    from upstare.driver.library import Record

    elf = read(path)
    section = elf.section(SECTION_LIBRARY)
    if section is None:
        return None
    record = Record.decode(section, str(path))
    units = embed.decode(elf.section(SECTION_UNIT) or b"", str(path))
    return {"library": path.name, "units": [unit.path for unit in units], "obstacle": record.obstacle}


def load(path: Path) -> Description:
    """The version description of an executable. Raises UpstareError with the reason if it has none."""
    from upstare.driver.elf import SECTION_DESCRIPTION
    from upstare.model.description import unpack

    elf = read(path)
    section = elf.section(SECTION_DESCRIPTION)
    if section is None and any(symbol.name.startswith("upstare_") for symbol in elf.symbols(".dynsym")):
        raise NotUpdatable(
            f"{path} was built with upstare cc but stripped of its version description",
            hint="do not remove the sections .upstare.* when stripping (plain strip keeps them)",
        )
    if section is None:
        raise NotUpdatable(
            f"{path} was not built with upstare cc", hint='build it with CC="upstare cc" to make it updateable'
        )
    return unpack(section)


def summarise(description: Description) -> dict[str, Any]:
    """Everything the report says, as plain data (the object of ``--json``)."""
    functions = description.functions
    names = {function.id: function.name for function in functions}
    points = [(function, point) for function in functions for point in function.points]
    return {
        "program": description.program,
        "version": description.version,
        "build": description.build,
        "abi": description.abi,
        "scheme": description.scheme,
        "placement": description.placement,
        "units": len(description.units),
        "variables": len(description.variables),
        "counts": {
            "functions": len(functions),
            "instrumented": sum(function.instrumented for function in functions),
            "pinned": sum(function.pinned is not None for function in functions),
            "points": len(points),
            **{f"points_{kind}": n for kind, n in sorted(Counter(point.kind for _, point in points).items())},
            "slots": sum(len(function.slots) for function in functions),
        },
        "functions": [_function(function) for function in functions],
        "points": [
            {"function": f.name, "number": p.number, "kind": p.kind, "callee": p.callee, "blocking": p.blocking}
            | {"file": p.file, "line": p.line, "live": p.live, "text": p.text}
            for f, p in points
        ],
        "blocking_calls": [
            {"callee": p.callee, "function": f.name, "file": p.file, "line": p.line} for f, p in points if p.blocking
        ],
        "opaque_calls": [
            {"callee": c.callee, "function": names.get(c.function, c.function), "file": c.file, "line": c.line}
            for c in description.opaque_calls
        ],
        "libraries": [
            {"name": library.name, "treatment": "versioned" if library.versioned else "opaque", "units": library.units}
            for library in description.libraries
        ],
        "bounded_delay": [
            {"function": names.get(loop.function, loop.function), "file": loop.file, "line": loop.line, "why": loop.why}
            for loop in description.bounded_loops
        ],
        "pinned": [
            {"function": f.name, "file": f.file, "line": f.line, "reason": f.pinned} for f in functions if f.pinned
        ],
        "refusals": description.refusals,
    }


def _function(function: Function) -> dict[str, Any]:
    return {
        "name": function.name,
        "id": function.id,
        "unit": function.unit,
        "file": function.file,
        "line": function.line,
        "instrumented": function.instrumented,
        "pinned": function.pinned,
        "address_taken": function.address_taken,
        "points": len(function.points),
        "frame_size": function.frame_size,
        "slots": len(function.slots),
    }


def _print(summary: dict[str, Any], *, functions: bool, points: bool, limit: int | None) -> None:
    from upstare.commands import tables

    counts = summary["counts"]
    kinds = ", ".join(f"{n} {key.removeprefix('points_')}" for key, n in counts.items() if key.startswith("points_"))
    facts = {
        "program": summary["program"],
        "version": summary["version"],
        "build": summary["build"],
        "scheme": f"{summary['scheme']}, placement {summary['placement']}, interface {summary['abi']}",
        "functions": f"{counts['functions']} in {summary['units']} units; {counts['instrumented']} can be rebuilt, "
        f"{counts['pinned']} pinned",
        "points": f"{counts['points']} ({kinds})" if kinds else "0",
        "variables": str(summary["variables"]),
    }
    for key, text in facts.items():
        tables.show(f"{key:<10} {text}")

    def section(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]], shown: int | None) -> None:
        if not rows:
            return
        table = tables.table(*columns, title=title)
        for row in rows[:shown]:
            table.add_row(*("" if cell is None else str(cell) for cell in row))
        print()
        tables.show(table)
        if shown is not None and len(rows) > shown:
            tables.show(f"... and {len(rows) - shown} more (--all)")

    section(
        "Shared libraries (versioned: part of the program; opaque: an update leaves it alone)",
        ("library", "treatment", "built by upstare cc"),
        [(x["name"], x["treatment"], _units(x["units"])) for x in summary["libraries"]],
        None,
    )
    section(
        "Plug-ins (opaque if not listed above)",
        ("opened by", "#sites", "first"),
        _by_callee([call for call in summary["opaque_calls"] if call["callee"] in ("dlopen", "dlmopen")]),
        None,
    )
    section(
        "Blocking calls (interrupted and issued again)",
        ("call", "#sites", "first"),
        _by_callee(summary["blocking_calls"]),
        limit,
    )
    section(
        "Opaque calls (a thread in one of them is waited for)",
        ("call", "#sites", "first"),
        _by_callee(summary["opaque_calls"]),
        limit,
    )
    section(
        "Bounded delay (loops without an update point)",
        ("function", "loop", "bounded because it"),
        [(loop["function"], _place(loop), loop["why"]) for loop in summary["bounded_delay"]],
        limit,
    )
    section(
        "Pinned (an update waits while one of these is on a stack)",
        ("function", "defined", "reason"),
        [(f["function"], _place(f), f["reason"]) for f in summary["pinned"]],
        limit,
    )
    if functions:
        section(
            "Functions",
            ("function", "defined", "#points", "#frame bytes", ""),
            [(f["name"], _place(f), f["points"], f["frame_size"], _remark(f)) for f in summary["functions"]],
            None,
        )
    if points:
        section(
            "Update points",
            ("function", "#point", "kind", "where", "call", "live"),
            [
                (p["function"], p["number"], p["kind"], _place(p), p["callee"], " ".join(p["live"]))
                for p in summary["points"]
            ],
            None,
        )


def _units(number: int) -> str:
    return f"{number} unit{'' if number == 1 else 's'}" if number else "no"


def _print_library(library: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(library))
        return
    from upstare.commands import tables

    tables.show(f"library    {library['library']}")
    tables.show(f"units      {len(library['units'])} ({', '.join(library['units'])})")
    if library["obstacle"] is None:
        tables.show("treatment  opaque; versioned with a program that is linked with it if UPSTARE_LIBRARIES says so")
        tables.show("           (a plug-in, opened with dlopen, is opaque if the program is not linked with it)")
    else:
        tables.show(f"treatment  opaque: {library['obstacle']}")


def _by_callee(calls: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """One row for each callee, the most frequent first."""
    sites = Counter(call["callee"] for call in calls)
    first = {call["callee"]: call for call in reversed(calls)}
    return [(callee, n, f"{_place(first[callee])} in {first[callee]['function']}") for callee, n in sites.most_common()]


def _place(item: dict[str, Any]) -> str:
    return f"{item['file']}:{item['line']}"


def _remark(function: dict[str, Any]) -> str:
    if function["pinned"]:
        return "pinned"
    return "" if function["instrumented"] else "untouched"
