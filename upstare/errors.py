"""The one kind of error that users see: a sentence, an exit code, and what to do about it."""

from __future__ import annotations

EXIT_DONE = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_NOT_UPDATABLE = 3
EXIT_UNCHANGED = 4
EXIT_DEADLINE = 5


class UpstareError(Exception):
    """A failure with a sentence for the user, an exit code of the command line contract, and an optional hint."""

    exit_code = EXIT_ERROR

    def __init__(self, message: str, *, hint: str | None = None, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(UpstareError):
    """The command line makes no sense."""

    exit_code = EXIT_USAGE


class NotUpdatable(UpstareError):
    """This program or process cannot take this update, or a person must decide something first."""

    exit_code = EXIT_NOT_UPDATABLE


class DeadlineMissed(UpstareError):
    """The threads did not all stop in time; the old version runs on."""

    exit_code = EXIT_DEADLINE
