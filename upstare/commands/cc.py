"""Run the compiler, so that what it makes can be updated while it runs.

``upstare cc`` takes the place of the compiler: ``CC="upstare cc" ./configure && make``. It takes the arguments of gcc.
UPSTARE_CC names the compiler behind it (default ``cc``); UPSTARE_POINTS, UPSTARE_SCHEME, UPSTARE_CLONES,
UPSTARE_LIBRARIES, UPSTARE_VERSION and UPSTARE_CACHE choose how a program is made updateable.
"""

from __future__ import annotations

import os

from upstare.driver import args, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def run(arguments: Sequence[str]) -> int:
    """Do what the compiler would do with these arguments; the exit code is its own, or that of an UpstareError."""
    compiler = real_compiler()
    command = args.parse(arguments)
    if command.elsewhere or (command.compiles and not command.c_sources):
        process.become([*compiler, *arguments])
    if command.compiles:
        from upstare.driver import embed

        return embed.compile_sources(command, arguments, compiler)
    plain = process.start([*compiler, *arguments])
    from upstare.driver import link  # takes as long as the linker needs

    return link.link(command, compiler, plain)


def real_compiler() -> list[str]:
    """The compiler that does the work, with the arguments that UPSTARE_CC gives it."""
    words = os.environ.get("UPSTARE_CC", "").split()
    return words or ["cc"]
