"""What a compiler is: asked of the compiler itself, since a name says nothing."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

from upstare.driver import process
from upstare.driver.hashing import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Compiler:
    """What the predefined macros of a compiler say.

    Attributes:
        clang: it is clang, or made from it.
        x86_64: it compiles for x86-64.
        identity: digest of them all; the version is among them.
    """

    clang: bool
    x86_64: bool
    identity: str

    @property
    def takes_traps(self) -> bool:
        """Whether traps are its default scheme. clang compiles them too, but puts every operand into memory first: that
        costs more than the test of a flag."""
        return self.x86_64 and not self.clang

    @property
    def room_for_arguments(self) -> list[str]:
        """Flags that make a function have one place for the arguments of all its calls, instead of pushing them."""
        if not self.x86_64:
            return []
        return ["-mllvm", "-no-x86-call-frame-opt"] if self.clang else ["-maccumulate-outgoing-args"]

    @property
    def own_places(self) -> list[str]:
        """Flags that give each variable in memory a place of its own: what a caller does with the dummy result of an
        inlined function must not be written over an object that keeps its address."""
        return ["-mllvm", "-no-stack-coloring"] if self.clang else ["-fstack-reuse=none"]

    @property
    def arguments_forward(self) -> bool:
        """Whether the arguments of a call are evaluated from the first to the last; gcc begins with the last."""
        return self.clang


def ask(words: Sequence[str]) -> Compiler:
    """What the compiler with this command is.

    Raises:
        UpstareError: it does not answer.
    """
    return _ask(tuple(words))


def expect_question(words: Sequence[str]) -> None:
    """:func:`ask` will be called: the compiler is at work on its answer."""
    if tuple(words) not in _expected:
        _expected[tuple(words)] = _question(words)


_expected: dict[tuple[str, ...], process.Child] = {}


def _question(words: Sequence[str]) -> process.Child:
    command = [*words, "-dM", "-E", "-x", "c", os.devnull]
    return process.start(command, capture=True, capture_errors=True)


@functools.cache
def _ask(words: tuple[str, ...]) -> Compiler:
    child = _expected.pop(words, None) or _question(words)
    text = process.finish(child, child.wait_or_end(), "ask the compiler what it is")
    macros = {line.split()[1] for line in text.splitlines() if line.startswith(b"#define ")}
    identity = sha256(text).hexdigest()
    return Compiler(clang=b"__clang__" in macros, x86_64=b"__x86_64__" in macros, identity=identity)
