"""The progress of a link step on standard error: only where a person looks, and only if it takes a while."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE = 1.0  # seconds before anything is shown


class LinkProgress:
    """A bar for each stage. Call ``report`` as often as you like, from one thread at a time."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._begin = time.monotonic()
        self._wanted = sys.stderr.isatty()
        self._bars: Progress | None = None
        self._stages: dict[str, TaskID] = {}

    def __enter__(self) -> LinkProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def report(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` steps of a stage are done."""
        if not self._wanted or (self._bars is None and time.monotonic() - self._begin < PATIENCE):
            return
        if self._bars is None:
            self._bars = self._start()
        if stage not in self._stages:
            self._stages[stage] = self._bars.add_task(f"{self._title}: {stage}", total=total)
        self._bars.update(self._stages[stage], completed=done, total=total)

    @staticmethod
    def _start() -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        bars.start()
        return bars
