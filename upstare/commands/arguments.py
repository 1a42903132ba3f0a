"""Argument parsing that all commands share."""

from __future__ import annotations

import argparse
from typing import NoReturn

from upstare.errors import UsageError


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are :class:`UsageError`, to be printed where all errors are."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see {self.prog} --help")


def overview(commands: dict[str, str]) -> Parser:
    """The parser of ``upstare`` without a command: help, the version, or a complaint."""
    width = max(map(len, commands))
    parser = Parser(
        prog="upstare",
        description="Update running C programs: every thread, now, all or nothing.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<{width}}  {text}" for name, text in commands.items())
        + "\n\nupstare COMMAND --help shows the arguments of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"upstare {_version()}")
    parser.add_argument("command", choices=list(commands), metavar="COMMAND", help="what to do")
    return parser


def first_paragraph(docstring: str) -> str:
    """What a module's docstring says before the first blank line, as one line."""
    return " ".join(docstring.strip().partition("\n\n")[0].split())


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option ``--json`` of every command that reports."""
    parser.add_argument("--json", action="store_true", help="report as one JSON object on standard output")


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """The option ``--timeout`` of commands that stop threads."""
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=5.0,
        metavar="S",
        help="how many seconds the threads may take to stop before the update is called off (default: 5)",
    )


def process_id(text: str) -> int:
    """A process id out of an argument."""
    try:
        pid = int(text)
    except ValueError:
        pid = 0
    if pid <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a process id")
    return pid


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds between 0 and 86400")
    return seconds


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("upstare")
    except PackageNotFoundError:
        return "(not installed)"
