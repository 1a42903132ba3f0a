"""Take running processes back to the version before their last update: every thread, now, all or nothing.

Exit codes are those of upstare apply; 4 means that there is nothing to go back to.
"""

from __future__ import annotations

import argparse

from upstare.commands.apply import add_processes, chosen, report
from upstare.commands.arguments import add_json, add_timeout
from upstare.errors import EXIT_DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``upstare rollback``."""
    add_processes(parser)
    add_timeout(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Roll back and report."""
    from upstare.coordinator.apply import rollback

    report(rollback(**chosen(args)), as_json=args.json)
    return EXIT_DONE
