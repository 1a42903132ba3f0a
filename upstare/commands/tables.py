"""The look of tables on the terminal. Piped, they are as wide as their content."""

from __future__ import annotations

import sys

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

_WIDTH_PIPED = 200


def console() -> Console:
    """A console for standard output that leaves text as it is: no markup, no highlighting."""
    return Console(
        markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else _WIDTH_PIPED, soft_wrap=False
    )


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table. Columns whose heading begins with ``#`` hold numbers and are set flush right."""
    result = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for heading in columns:
        number = heading.startswith("#")
        result.add_column(heading.removeprefix("#"), justify="right" if number else "left", overflow="fold")
    return result
