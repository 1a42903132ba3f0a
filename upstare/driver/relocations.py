"""Packed relative relocations (DT_RELR): a bit for each address in the data instead of 24 bytes.

An updateable program has more addresses in its data than the plain one, and the dynamic linker's list of them is in
memory from the start. The program needs a C library that reads the packed form, where it is linked and where it runs.
"""

from __future__ import annotations

import os
from pathlib import Path

from upstare.driver import elf, process
from upstare.errors import UpstareError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_OPTION = "pack-relative-relocs"
ARGUMENT = f"-Wl,-z,{_OPTION}"
_VERSION = b"GLIBC_ABI_DT_RELR"  # what the C library defines that reads them


def start_question(compiler: Sequence[str], words: Sequence[str]) -> process.Child:
    """The compiler is at work on where its C library is; ``words`` are the arguments that this may depend on."""
    return process.start([*compiler, *words, "-print-file-name=libc.so.6"], capture=True, capture_errors=True)


def pack(question: process.Child) -> list[str]:
    """The arguments of a link that packs them; none if the C library does not say that it reads them."""
    try:
        answer = process.finish(question, question.wait_or_end(), "find the C library")
        names = elf.read_section(Path(os.fsdecode(answer.rstrip(b"\n"))), ".dynstr") or b""
    except UpstareError:
        return []
    return [ARGUMENT] if _VERSION in names.split(b"\0") else []


def refused(error: UpstareError) -> bool:
    """Whether a link failed because the linker does not know how to pack."""
    return _OPTION in str(error)
