"""The decision of an update, shared with all its processes: one word of memory that changes once.

See ``c_runtime/src/ballot.c``. The coordinator only makes the memory and reads it: agents decide, so that the death of
the coordinator at any moment leaves one decision for all.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from enum import IntEnum


class Decision(IntEnum):
    """What the word can say."""

    OPEN = 0
    COMMITTED = 1
    ABORTED = 2


class Ballot:
    """The memory of one decision. ``descriptor`` is what processes are sent."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("upstare-ballot", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.descriptor, mmap.PAGESIZE)
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
            self._memory = mmap.mmap(self.descriptor, mmap.PAGESIZE, prot=mmap.PROT_READ)
        except BaseException:
            os.close(self.descriptor)
            raise

    def decision(self) -> Decision:
        """What has been decided so far."""
        return Decision(int.from_bytes(self._memory[:4], "little"))

    def close(self) -> None:
        """Let go of the memory; the processes have it as long as they need it."""
        self._memory.close()
        os.close(self.descriptor)
