"""Which release of UpStare this is, for caches: results of another one are not used."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

ABI = 6
"""UPSTARE_ABI of c_runtime/include/upstare_abi.h: what this release can link with, load and update."""


@functools.cache
def release_digest() -> str:
    """64 hex digits: of the program code that makes summaries, objects and tables."""
    import transforms
    import upstare

    digest = hashlib.sha256()
    for package in (transforms, upstare):
        assert package.__file__ is not None
        for path in sorted(Path(package.__file__).parent.rglob("*")):
            if path.suffix in (".py", ".c", ".h"):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def twin_key(build: str) -> str:
    """The name in the cache of the twin of a build (64 hex digits)."""
    return hashlib.sha256(f"twin {release_digest()} {build}".encode()).hexdigest() + ".so"
