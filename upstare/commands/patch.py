"""Make the patch from one executable to another, and report every decision that only a person can make.

Both executables carry everything that is needed. No patch is written while a decision is open or a change cannot be
applied; then all of them are listed, with the places in both versions, and the exit code is 3.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from upstare.commands.arguments import add_json
from upstare.errors import UpstareError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``upstare patch``."""
    parser.add_argument("old", type=Path, metavar="OLD", help="the executable that is running")
    parser.add_argument("new", type=Path, metavar="NEW", help="the executable of the new version")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the patch to write")
    parser.add_argument("--mapping", type=Path, metavar="M.toml", help="decisions: what became what")
    parser.add_argument(
        "--transformers", type=Path, metavar="T.c", help="C functions upstare_transform_NAME for changed meaning"
    )
    parser.add_argument("--save-c", type=Path, metavar="FILE", help="keep the generated C source of the transformers")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Make the patch, print the report, and return 0, or 3 if there is none."""
    from upstare.driver.progress import LinkProgress
    from upstare.patch.make import make_patch

    with LinkProgress(args.output.name) as progress:
        report = make_patch(args.old, args.new, args.output, args.mapping, args.transformers, progress.report)
    if args.save_c is not None and report.generated:
        try:
            args.save_c.write_text(report.generated)
        except OSError as error:
            raise UpstareError(f"cannot write {args.save_c}: {error.strerror or error}") from error
    if args.json:
        print(json.dumps(report.as_dict()))
    else:
        from rich.console import Console

        from upstare.patch.report import show

        show(report, Console(file=sys.stdout, highlight=False))
    return report.exit_code
