"""What was decided on a program last is kept: a build of the same units with the same options does without the model.

There is one place in the cache for each program (units and options, whatever their texts are), where the next build
takes the place of the last.
"""

from __future__ import annotations

import hashlib
import pickle
import struct
from collections.abc import Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING

from upstare.driver.compiler import ask
from upstare.driver.runtime import include_directory
from upstare.release import release_digest

if TYPE_CHECKING:
    from upstare.driver.cache import Cache
    from upstare.model.outline import Described
    from upstare.model.unit import Options, Unit


_LENGTHS = struct.Struct("<3Q")


class Kept:
    """The place of one program.

    Args:
        cache: where it is.
        units: of the program; it depends on their texts what is found.
        options: of the program; it depends on the names outside of it what is found.
    """

    def __init__(self, cache: Cache, units: Sequence[Unit], options: Options) -> None:
        self._cache = cache
        *same, outside = astuple(options)
        self._place = _digest("decided", same, [(u.path, u.flags, u.compiler) for u in units])
        compilers = [ask(words).identity for words in sorted({u.compiler for u in units})]
        redirects = (include_directory().parent / "redirects.toml").read_bytes()
        self._key = _digest(
            release_digest(), self._place, [u.digest for u in units], sorted(outside), compilers, redirects
        ).encode()
        self._outline = self._body = b""

    def keys(self) -> tuple[str, list[str]] | None:
        """The digest of the sources, and of each unit the key of what was decided on it; None if that is not known."""
        found = self._cache.read(self._place) or b""
        if not found.startswith(self._key):
            return None
        at = len(self._key)
        lengths = _LENGTHS.unpack_from(found, at)
        at += _LENGTHS.size
        first, self._outline, self._body = (found[at + sum(lengths[:n]) :][: lengths[n]] for n in range(3))
        known: tuple[str, list[str]] = pickle.loads(first)
        return known

    def described(self) -> Described:
        """What belongs to the :meth:`keys` that were found."""
        from upstare.model.outline import Described

        return Described(pickle.loads(self._outline), self._body)

    def keep(self, keys: list[str], described: Described) -> None:
        """This is found from now on. Raises UpstareError if it cannot be written."""
        outline, body = described
        parts = pickle.dumps((outline.sources, keys)), pickle.dumps(outline), body
        self._cache.put(self._place, b"".join([self._key, _LENGTHS.pack(*map(len, parts)), *parts]))


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode(errors="surrogateescape")).hexdigest()
