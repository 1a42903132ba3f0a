"""What the next link will do with a unit is done while the real compiler is at work on it, as far as can be guessed.

A link notes which units a program is made of. When one of these is compiled again, with another text, a process beside
the compiler summarises and transforms it, and compiles it the second time, as if nothing else in the program had
changed; meanwhile it decides on the whole program. The results go to the cache, where the link looks for them under
everything that they depend on: a wrong guess costs time, and nothing else. Where nothing was linked yet there is
nothing to guess from, and nothing is done.

Like the compiler driver this module imports nothing that is slow before there is work.
"""

from __future__ import annotations

import gc
import marshal
import os
import signal
import sys

from upstare.driver.cache import Cache
from upstare.driver.hashing import sha256
from upstare.errors import UpstareError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import NoReturn

    from upstare.model.outline import Outline
    from upstare.model.unit import Options, Unit

_RELEASE = 64  # hex digits of the release's digest, before what is pickled


def remember(units: Sequence[Unit], options: Options, outline: Outline, output: Path) -> None:
    """The program at ``output`` was linked of these units: each of them leads to all. If it cannot be noted nothing is
    lost but time."""
    import pickle

    from upstare.model.unit import Unit
    from upstare.release import release_digest

    program = sha256(b"program\0" + os.fsencode(os.path.abspath(output))).hexdigest()
    without_text = [Unit(u.path, b"", u.flags, u.compiler, u.digest) for u in units]
    program_of = without_text, options, [unit.pinned for unit in outline.units]
    notes = {program: release_digest().encode() + pickle.dumps(program_of)}
    notes |= {_key(u.path, u.flags, u.compiler): f"{program} {u.digest}".encode() for u in units}
    try:
        cache = Cache()
        cache.forget(_tally(program))
        for key, note in notes.items():
            if cache.read(key) != note:
                cache.put(key, note)
    except UpstareError:
        pass


def _key(path: str, flags: Sequence[str], compiler: Sequence[str]) -> str:
    words = ["linked", path, *flags, "", *compiler]
    return sha256(b"\0".join(os.fsencode(word) for word in words)).hexdigest()


def limit() -> int:
    """So many times a program is prepared between two links. Each time its units are all looked at, which pays while a
    processor is idle beside each compiler; where more units change the link works on all of them at once."""
    return (os.cpu_count() or 1) // 2


def _tally(program: str) -> str:
    return sha256(b"prepared\0" + program.encode()).hexdigest()


class Preparation:
    """The process beside the compiler; none if there is nothing to do.

    It is begun before the texts are there: what it needs is imported while the preprocessor is at work.

    Args:
        paths: of the units that are being compiled (absolute).
        flags: with which the link compiles them again.
        compiler: the command of the real one.
    """

    def __init__(self, paths: Sequence[str], flags: Sequence[str], compiler: Sequence[str]) -> None:
        self._notes: dict[str, tuple[str, str]] = {}  # by path: the program, and the unit that was in it
        self._pid: int | None = None
        try:
            self._cache = Cache()
        except UpstareError:
            return  # the link will say so
        for path in paths:
            program, _, digest = (self._cache.read(_key(path, flags, compiler)) or b"").decode().partition(" ")
            if digest:
                self._notes[path] = program, digest
        if any(self._cache.counted(_tally(program)) < limit() for program, _ in self._notes.values()):
            sys.stdout.flush()
            sys.stderr.flush()
            texts, self._texts = os.pipe()
            self._pid = os.fork()
            if self._pid == 0:
                os.close(self._texts)
                _work(self._cache, texts, tuple(flags), tuple(compiler))
            os.close(texts)

    def start(self, sources: Sequence[tuple[str, bytes, str]]) -> None:
        """The path, text and digest of each unit are known; this may be said once."""
        changed: dict[str, list[tuple[str, bytes, str]]] = {}
        for path, text, digest in sources:
            program, before = self._notes.get(path, ("", digest))
            if before != digest:
                changed.setdefault(program, []).append((path, text, digest))
        few = {program: found for program, found in changed.items() if self._cache.count(_tally(program)) <= limit()}
        if self._pid is None or not few:
            self.stop()
            return
        try:
            with os.fdopen(self._texts, "wb") as pipe:
                marshal.dump(few, pipe)
        except BrokenPipeError:  # it is gone
            pass

    def wait(self) -> None:
        """It has ended, whatever came of it."""
        if self._pid is not None:
            os.waitpid(self._pid, 0)
            self._pid = None

    def stop(self) -> None:
        """Its work is for nothing: end it."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGTERM)
            self.wait()


def _work(cache: Cache, texts: int, flags: tuple[str, ...], compiler: tuple[str, ...]) -> NoReturn:
    """The life of the process. What goes wrong here goes wrong in the link again, which says it."""
    try:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all is cleared away
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        gc.disable()  # it does not live long
        import threading

        from upstare.frontend import ahead, native

        native.library()
        changed: dict[str, list[tuple[str, bytes, str]]] = {}

        def take() -> None:
            with os.fdopen(texts, "rb") as pipe:
                changed.update(marshal.load(pipe))
            for _, text, digest in [source for sources in changed.values() for source in sources][:1]:
                ahead.parse_ahead(digest, text, flags)

        taking = threading.Thread(target=take)
        taking.start()
        import upstare.decide
        import upstare.units

        upstare.units.import_all()
        taking.join()
        for program, sources in changed.items():
            _prepare(cache, program, sources, flags, compiler)
    finally:
        os._exit(0)


def _prepare(
    cache: Cache,
    program: str,
    sources: Sequence[tuple[str, bytes, str]],
    flags: tuple[str, ...],
    compiler: tuple[str, ...],
) -> None:
    import pickle

    from upstare.decide import prepare_units
    from upstare.driver.compiler import expect_question
    from upstare.model.unit import Unit
    from upstare.release import release_digest

    noted = cache.read(program) or b""
    if noted[:_RELEASE] != release_digest().encode():
        return
    expect_question(compiler)
    units, options, pinned = pickle.loads(noted[_RELEASE:])
    new = {path: Unit(path, text, flags, compiler, digest) for path, text, digest in sources}
    same = (flags, compiler)
    changed = {n: new[u.path] for n, u in enumerate(units) if u.path in new and (u.flags, u.compiler) == same}
    prepare_units(units, options, pinned, changed, lambda: cache.counted(_tally(program)) <= 1)
