"""A translation unit as the compiler driver hands it to the transform."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """Preprocessed text with everything needed to compile it again.

    Attributes:
        path: the source file as an absolute path (of the machine that compiled it).
        text: the output of the real compiler's preprocessor, line markers kept.
        flags: compiler flags for the recompile (-std, -O, -g, -f*, -m*, ...), without -I/-D/-c/-o/-W and dependencies.
        compiler: the real compiler's command, e.g. ("gcc",).
        digest: SHA-256 (hex) over text, flags and compiler.
    """

    path: str
    text: bytes
    flags: tuple[str, ...]
    compiler: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class Options:
    """Choices that hold for a whole link.

    Attributes:
        scheme: 'trap' or 'flag' (environment UPSTARE_SCHEME; default 'trap' with gcc on x86-64, else 'flag').
        placement: 'default', 'strict' or '2009' (environment UPSTARE_POINTS).
        shared: the image is a patch (position independent, loaded with dlopen), not the executable.
        clones: the image has resume clones. An executable without them gets its twin when they are needed
            (environment UPSTARE_CLONES, 'apart' or 'inside').
        twin: the image is the twin of the executable that it is loaded into: even what no other version shares is the
            executable's.
        outside: names that objects without a unit and shared libraries use or can find: variables keep a symbol of
            that name, functions have a stable entry.
    """

    scheme: str = "trap"
    placement: str = "default"
    shared: bool = False
    clones: bool = True
    twin: bool = False
    outside: frozenset[str] = frozenset()
