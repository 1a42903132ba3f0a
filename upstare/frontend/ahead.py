"""Units that are parsed while other things are still being prepared: libclang needs nothing of Python meanwhile."""

from __future__ import annotations

from upstare.frontend.nodes import Parsed

_parsed: dict[str, Parsed] = {}


def parse_ahead(digest: str, text: bytes, flags: tuple[str, ...]) -> None:
    """Parse the unit with this digest, in whatever thread. Raises UpstareError if it cannot be read."""
    _parsed[digest] = Parsed(text, flags)


def parsed(digest: str, text: bytes, flags: tuple[str, ...]) -> Parsed:
    """The unit, parsed now if it was not; it can be had once. Raises UpstareError if it cannot be read."""
    return _parsed.pop(digest, None) or Parsed(text, flags)
