"""What agents say, checked before anybody uses it: the process may be another user's, and hostile.

A reply is a JSON object. The fields that we know have the types that we expect, and no text can do more to a terminal
than be read.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

Reply = dict[str, Any]

_TEXT_MOST = 1 << 20
_NUMBERS = (
    "abi", "checks", "committed", "frames", "hello", "images", "line", "load_us", "moved_objects", "old_frames",
    "pause_us", "pid", "point", "resume_us", "stop_us", "storm", "threads", "tid", "time", "transform_us",
)  # fmt: skip
_TEXTS = (
    "build", "busy", "caller", "detail", "from", "from_version", "function", "kind", "outcome", "pc", "phase",
    "program", "reason", "scheme", "to", "to_version", "version",
)  # fmt: skip
_LISTS = ("culprits", "history", "places", "threads_detail")  # of objects; so are the frames of a thread
_HELLO = {"build": str, "program": str, "version": str, "scheme": str, "abi": int, "threads": int, "history": list}
_HEXADECIMAL = re.compile("(?:0x)?[0-9a-f]{1,16}")


def parse(data: bytes) -> Reply | None:
    """The reply in ``data``, or None if it is none."""
    try:
        reply = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return reply if isinstance(reply, dict) and _sound(reply, inner=False) else None


def is_greeting(reply: Reply) -> bool:
    """Whether a reply has what a greeting must have."""
    return all(type(reply.get(name)) is kind for name, kind in _HELLO.items()) and bool(
        re.fullmatch("[0-9a-f]{64}", reply["build"])
    )


def _sound(value: Reply, *, inner: bool) -> bool:
    for name, item in value.items():
        if name in _LISTS or (name == "frames" and inner):
            if not isinstance(item, list) or not all(isinstance(i, dict) and _sound(i, inner=True) for i in item):
                return False
        elif name in _NUMBERS:
            if isinstance(item, bool) or not isinstance(item, int | float) or not math.isfinite(item) or item < -1:
                return False
        elif name in _TEXTS:
            if not isinstance(item, str):
                return False
            if name in ("caller", "pc") and not _HEXADECIMAL.fullmatch(item):
                return False
            if not item.isprintable() or len(item) > _TEXT_MOST:
                value[name] = "".join(c if c.isprintable() else "?" for c in item[:_TEXT_MOST])
    return True
