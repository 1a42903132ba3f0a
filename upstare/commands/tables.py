"""The look of tables: coloured on a terminal, plain text without blanks at the ends of lines in a pipe."""

from __future__ import annotations

import sys

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

_WIDTH_PIPED = 200


def show(item: Table | str) -> None:
    """Print a table, or a line that is left as it is: no markup, no highlighting, no wrapping."""
    terminal = sys.stdout.isatty()
    console = Console(markup=False, highlight=False, emoji=False, width=None if terminal else _WIDTH_PIPED)
    with console.capture() as captured:
        console.print(item, soft_wrap=isinstance(item, str))
    lines = captured.get().rstrip("\n").split("\n")
    print("\n".join(lines if terminal else [line.rstrip() for line in lines]).rstrip("\n"))


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table with headings. Columns whose heading begins with ``#`` hold numbers and are set flush right."""
    result = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
    for heading in columns:
        number = heading.startswith("#")
        result.add_column(heading.removeprefix("#"), justify="right" if number else "left", overflow="fold")
    return result
