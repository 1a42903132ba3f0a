"""References that the plain program does not have, because its compiler saw that they are never reached.

``if (sizeof (x) == 3) no_such_function();`` links where the compiler takes the call away. A resume clone is entered in
the middle, where less is known of its variables, so the call stays in it, as unreachable as before. What the linker
misses this way gets a definition on which nothing can go on.
"""

from __future__ import annotations

import re

from upstare.driver import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# As GNU ld, gold and lld say it.
_UNDEFINED = re.compile(r"undefined (?:reference to|symbol:) [`'\"]?([^`'\"\s]+)")
_OURS = ("upstare", "__upstare", "ups_", "up$", "upe$", "ups$")


def missed(message: str, known: set[str]) -> set[str]:
    """The names that a linker did not find, by its message; none if one of them cannot be missing for this reason.

    ``known``: those that the plain program has or refers to.
    """
    names = set(_UNDEFINED.findall(message))
    return set() if any(n in known or n.startswith(_OURS) for n in names) else names


def define(names: Sequence[str], compiler: Sequence[str], work: Path) -> list[str]:
    """The object that defines these names, for whoever is linked with it alone; nothing if there are none."""
    if not names:
        return []
    source, path = work / "unreachable.s", work / "unreachable.o"
    lines = [f'.globl "{name}"\n.hidden "{name}"\n"{name}": ud2\n' for name in names]
    source.write_text(".text\n" + "".join(lines) + '.section .note.GNU-stack,"",@progbits\n')
    process.check([*compiler, "-c", str(source), "-o", str(path)], "define what is never reached")
    return [str(path)]
