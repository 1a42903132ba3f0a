"""What became of an update: one object for people, scripts and exit codes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from upstare.errors import (
    EXIT_DEADLINE,
    EXIT_DONE,
    EXIT_ERROR,
    EXIT_NOT_UPDATABLE,
    EXIT_UNCHANGED,
    UpstareError,
)

EXIT_CODES = {
    "updated": EXIT_DONE,
    "error": EXIT_ERROR,
    "refused": EXIT_NOT_UPDATABLE,
    "unchanged": EXIT_UNCHANGED,
    "timed_out": EXIT_DEADLINE,
}


@dataclass
class ProcessOutcome:
    """What happened in one process. Times in microseconds; None where the step was not reached."""

    pid: int
    # 'updated', 'untouched' (the old version runs on), 'ended', 'unknown', or 'pending': it has not answered (it may be
    # stopped by somebody), but runs nothing more of the old version.
    outcome: str = "untouched"
    threads: int = 0
    frames: int = 0
    moved_objects: int = 0
    load_us: float | None = None
    stop_us: float | None = None
    transform_us: float | None = None
    resume_us: float | None = None
    pause_us: float | None = None


@dataclass
class Outcome:
    """What happened in all of them. ``outcome`` is a key of ``EXIT_CODES``; ``reason`` is a sentence unless updated.

    The times of an update of several processes are those of the slowest one, except ``stop_us`` and ``pause_us``:
    from the first request to the last answer, as the coordinator saw it.
    """

    outcome: str
    reason: str | None = None
    program: str | None = None
    from_version: str | None = None
    to_version: str | None = None
    processes: list[ProcessOutcome] = field(default_factory=list)
    load_us: float | None = None
    stop_us: float | None = None
    transform_us: float | None = None
    resume_us: float | None = None
    pause_us: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return dataclasses.asdict(self)


class UpdateFailed(UpstareError):
    """An update that did not happen (or not everywhere), with what is known of each process."""

    def __init__(self, outcome: Outcome, *, hint: str | None = None) -> None:
        super().__init__(outcome.reason or outcome.outcome, hint=hint, exit_code=EXIT_CODES[outcome.outcome])
        self.outcome = outcome


def outcome_of(error: UpstareError) -> str:
    """The outcome that an error's exit code stands for."""
    return next((name for name, code in EXIT_CODES.items() if code == error.exit_code), "error")


def failure(error: UpstareError) -> dict[str, Any]:
    """The JSON object for an error: at least ``outcome`` and ``reason``."""
    result = error.outcome.as_dict() if isinstance(error, UpdateFailed) else {"outcome": outcome_of(error)}
    return {**result, "reason": str(error), "hint": error.hint}
