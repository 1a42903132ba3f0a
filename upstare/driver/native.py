"""Small C libraries of UpStare itself, made with the user's C compiler when they are first needed and then kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

from upstare.driver import process
from upstare.driver.cache import Cache

FLAGS = ["-std=gnu11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-fno-lto", "-w"]


def compiled(source: Path) -> Path:
    """The shared library of a C source, which may include headers beside it.

    Raises:
        UpstareError: it cannot be compiled.
    """
    from upstare.commands.cc import real_compiler

    compiler = real_compiler()
    digest = hashlib.sha256("\0".join([*compiler, *FLAGS, ""]).encode())
    for path in (source, *sorted(source.parent.glob("*.h"))):
        digest.update(path.read_bytes())
    key = digest.hexdigest() + ".so"
    cache = Cache()
    found = cache.get(key)
    if found is not None:
        return found
    with process.Scratch() as scratch:
        target = Path(scratch, "library.so")
        process.check([*compiler, *FLAGS, str(source), "-o", str(target)], f"compile UpStare's own {source.name}")
        return cache.put(key, target)
