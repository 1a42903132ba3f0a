"""Compiler options that an updateable program cannot have as they were given: refused, left out, or outvoted.

A unit keeps the options that the user gave; this says what the second compilation makes of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# Said last, so that they win: stacks are walked by unwind tables.
_LAST = ("-w", "-fno-lto", "-fasynchronous-unwind-tables")

_SHADOW = "it keeps its own record of the stack or of memory, which does not follow a stack that is rebuilt"
_COUNTERS = "its counters and its notes would be those of the transformed text"
_REGISTERS = "it changes which registers calls keep"

# The beginning of an option, and why a program with it cannot be made updateable.
_REFUSED = (
    ("--coverage", _COUNTERS),
    ("-fprofile-arcs", _COUNTERS),
    ("-ftest-coverage", _COUNTERS),
    ("-fprofile-generate", _COUNTERS),
    ("-fprofile-instr-generate", _COUNTERS),
    ("-fcs-profile-generate", _COUNTERS),
    ("-fcoverage-mapping", _COUNTERS),
    ("-finstrument-functions", "the call at the end of each function is in the way when a stack is taken down"),
    ("-fsplit-stack", "stacks in pieces cannot be rebuilt"),
    ("-ffixed-", _REGISTERS),
    ("-fcall-used-", _REGISTERS),
    ("-fcall-saved-", _REGISTERS),
)

# Checks that stay inside of one function; all other sanitizers are refused.
_SANITIZERS = frozenset(
    "undefined leak alignment bool bounds bounds-strict builtin enum float-cast-overflow float-divide-by-zero function "
    "implicit-conversion integer integer-divide-by-zero nonnull-attribute null nullability object-size "
    "pointer-overflow return returns-nonnull-attribute shift shift-base shift-exponent signed-integer-overflow "
    "unreachable unsigned-integer-overflow vla-bound local-bounds".split()
)

_PROFILE = "the profile does not fit the transformed text"

# The beginning of an option that only makes code faster or smaller, and why it is left out.
_LEFT_OUT = (
    ("-flto", "the units of an updateable program are compiled one by one"),
    ("-fwhole-program", "versions share the program's variables by name"),
    ("-fprofile-use", _PROFILE),
    ("-fbranch-probabilities", _PROFILE),
    ("-fauto-profile", _PROFILE),
    ("-fprofile-instr-use", _PROFILE),
    ("-fprofile-sample-use", _PROFILE),
)


def refusal(options: Iterable[str]) -> tuple[str, str] | None:
    """The first of the options that an updateable program cannot have, and why; None if it can have them all."""
    sanitizers: dict[str, str] = {}
    for option in options:
        for beginning, reason in _REFUSED:
            if option.startswith(beginning):
                return option, reason
        if option.startswith("-fsanitize="):
            sanitizers.update((name, option) for name in option.partition("=")[2].split(",") if name)
        elif option.startswith("-fno-sanitize="):
            for name in option.partition("=")[2].split(","):
                sanitizers.pop(name, None)
                if name == "all":
                    sanitizers.clear()
    for name, option in sanitizers.items():
        if name not in _SANITIZERS:
            return option, f"{name}: {_SHADOW}"
    return None


def left_out(options: Iterable[str]) -> dict[str, str]:
    """The options that the updateable program goes without, and why."""
    found: dict[str, str] = {}
    for option in options:
        if option == "-fno-lto":
            found = {o: why for o, why in found.items() if not o.startswith("-flto")}
        for beginning, reason in _LEFT_OUT:
            if option.startswith(beginning):
                found[option] = reason
    return found


def for_recompile(options: Sequence[str]) -> list[str]:
    """The options with which a transformed unit is compiled."""
    gone = left_out(options)
    return [*(o for o in options if o not in gone), *_LAST]
