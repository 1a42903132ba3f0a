"""The command ``upstare``: choose a verb, run it, and print what went wrong, all in one place.

Verbs are modules of :mod:`upstare.commands`. Only the one that is asked for is imported: ``upstare cc`` runs once for
every file of a program and must start as fast as Python does, so even argparse is out of its way.
"""

from __future__ import annotations

import sys

from upstare.errors import EXIT_DONE, EXIT_ERROR, UpstareError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

COMMANDS = {
    "cc": "compile and link a program so that it can be updated while it runs",
    "inspect": "show what an updateable executable says of itself",
    "patch": "make the patch from one executable to another",
    "apply": "apply a patch to a running process",
    "status": "show updateable processes, their versions and their update history",
    "rollback": "take a process back to the version before its last update",
}


def main(argv: list[str] | None = None) -> int:
    """Run ``upstare`` with these arguments (default: the process's own) and return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        code = _run(arguments)
        if argv is None and arguments[:1] == ["cc"]:
            _end(code)  # to give everything back would take 8 ms of a link's 230
        return code
    except UpstareError as error:
        _report(error, arguments)
        return error.exit_code
    except KeyboardInterrupt:
        print("upstare: interrupted", file=sys.stderr)
        return EXIT_ERROR
    except BrokenPipeError:  # the reader of our output (a pager, head) has seen enough
        _silence_output()
        return EXIT_DONE


def _run(arguments: list[str]) -> int:
    if arguments and arguments[0] == "cc":
        from upstare.commands import cc

        return cc.run(arguments[1:])

    import importlib

    from upstare.commands import arguments as parsing

    if not arguments or arguments[0].startswith("-") or arguments[0] not in COMMANDS:
        parsing.overview(COMMANDS).parse_args(arguments)
        return EXIT_DONE
    command = importlib.import_module(f"upstare.commands.{arguments[0]}")
    parser = parsing.Parser(prog=f"upstare {arguments[0]}", description=parsing.first_paragraph(command.__doc__ or ""))
    command.add_arguments(parser)
    code: int = command.run(parser.parse_args(arguments[1:]))
    sys.stdout.flush()
    return code


def _report(error: UpstareError, arguments: list[str]) -> None:
    """Say what failed: a sentence for people, and with ``--json`` the same as one object on standard output."""
    if "--json" in arguments and arguments[0] != "cc":
        import json

        from upstare.coordinator.outcome import failure

        print(json.dumps(failure(error)), flush=True)
    print(f"upstare: error: {error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


def _end(code: int) -> NoReturn:
    """The process ends without the interpreter's farewell."""
    import os

    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # who started us may have closed it
            stream.flush()
    os._exit(code)


def _silence_output() -> None:
    """Point standard output at nothing, so that the interpreter's flush at its end finds no broken pipe."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
