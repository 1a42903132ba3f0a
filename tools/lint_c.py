"""Compiles every C and assembly file of the runtime with all warnings as errors, and the headers on their own; and
the native parts of the tool itself."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import upstare
from upstare.driver import process, runtime
from upstare.errors import UpstareError

STRICT = ["-Werror", "-fsyntax-only"]


def complaint(file: Path) -> str | None:
    """What the compiler says against a file, or None."""
    language = ["-x", "c"] if file.suffix == ".h" else []
    try:
        process.check(["cc", *runtime.FLAGS, *STRICT, *runtime.include_flags(), *language, str(file)], f"accept {file}")
    except UpstareError as error:
        return str(error)
    return None


def main() -> int:
    """Exit code 1 if the compiler complains about any file."""
    headers = sorted(runtime.include_directory().glob("*.h"))
    own = sorted(Path(upstare.__file__).parent.rglob("*.c"))
    with ThreadPoolExecutor() as pool:
        complaints = [c for c in pool.map(complaint, [*runtime.sources(), *headers, *own]) if c]
    print("\n".join(complaints), file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
