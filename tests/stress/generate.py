"""Random programs of csmith: what they are made of depends on the seed alone."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

INCLUDE = Path("/usr/include/csmith")
LEVELS = ("-O0", "-O1", "-O2", "-O2", "-O3", "-Os")

#: What a program may be made of, and how often it is.
_FEATURES = {
    "arrays": 0.9, "bitfields": 0.7, "builtins": 0.2, "comma-operators": 0.7, "compound-assignment": 0.8, "consts": 0.7,
    "const-pointers": 0.7, "divs": 0.8, "embedded-assigns": 0.8, "float": 0.3, "inline-function": 0.5, "int8": 0.8,
    "jumps": 0.8, "longlong": 0.8, "math64": 0.8, "muls": 0.9, "packed-struct": 0.4, "pointers": 0.9, "structs": 0.8,
    "uint8": 0.8, "unions": 0.6, "volatiles": 0.6, "volatile-pointers": 0.6,
}  # fmt: skip

#: How large it may be.
_SIZES = {
    "max-array-dim": (1, 3), "max-array-len-per-dim": (2, 8), "max-block-depth": (2, 5), "max-block-size": (2, 5),
    "max-expr-complexity": (2, 8), "max-funcs": (2, 8), "max-pointer-depth": (1, 4), "max-struct-fields": (2, 10),
    "max-union-fields": (2, 5),
}  # fmt: skip
_SMALL = {"max-funcs": (1, 3), "max-block-depth": (1, 3), "max-block-size": (2, 3), "max-expr-complexity": (1, 4)}


def options(seed: int, small: bool = False) -> list[str]:
    """The options of csmith for a seed. ``small``: for a program that is built and run in a few seconds."""
    choose = random.Random(seed)
    sizes = {**_SIZES, **(_SMALL if small else {})}
    features = [f"--{name if choose.random() < often else f'no-{name}'}" for name, often in _FEATURES.items()]
    limits = [part for name, bounds in sizes.items() for part in (f"--{name}", str(choose.randint(*bounds)))]
    return [*features, *limits]


def level(seed: int) -> str:
    """The optimisation level for a seed."""
    return random.Random(f"level {seed}").choice(LEVELS)


def flags(seed: int, small: bool = False) -> list[str]:
    """What the program of a seed is compiled with.

    For most, the functions that csmith brings along (checksums, arithmetic) are a system's, which get no points: those
    that are reached are then the random program's own, and a program is not many times as large.
    """
    own = not small and random.Random(f"own {seed}").random() < 0.1
    return [level(seed), "-w", "-I" if own else "-isystem", str(INCLUDE)]


def scheme(seed: int) -> str:
    """What points are made of for a seed: mostly what is the default."""
    return random.Random(f"scheme {seed}").choice(["trap", "trap", "trap", "flag"])


def generate(seed: int, source: Path, small: bool = False) -> bool:
    """Write the program of a seed; whether csmith made one."""
    command = ["csmith", "--seed", str(seed), *options(seed, small), "--output", str(source)]
    try:  # in the program's folder, because csmith leaves a file of its own
        done = subprocess.run(command, cwd=source.parent, capture_output=True, timeout=30)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and source.exists()
