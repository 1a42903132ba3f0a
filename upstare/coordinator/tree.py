"""Which processes belong together: descendants, and forked relatives that lost their parent.

Asked while everything stands still, so it must be fast: the kernel's own lists where it keeps them.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from contextlib import suppress

import psutil  # type: ignore[import-untyped]

from upstare.coordinator import process as processes
from upstare.coordinator.process import NoSuchProcess
from upstare.errors import UpstareError

_libc = ctypes.CDLL(None)
_KCMP, _KCMP_VM = 312, 1
_PARENT, _START, _STACK = 1, 19, 25  # fields of /proc/PID/stat behind the name: ppid, starttime, startstack

Family = tuple[int, int, int]
"""Device and inode of the program, and where its first stack begins: the same for all that forked from one execution,
and (by the kernel's randomisation) for nobody else."""


def descendants(pid: int) -> list[int]:
    """All live descendants of a process, parents before their children."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        direct = [int(child) for task in tasks for child in read_proc(f"/proc/{pid}/task/{task}/children").split()]
    except (FileNotFoundError, ProcessLookupError):  # it has ended, or the kernel keeps no lists
        try:
            direct = [child.pid for child in psutil.Process(pid).children()]
        except psutil.NoSuchProcess:
            direct = []
    return direct + [descendant for child in direct for descendant in descendants(child)]


def named(name: str) -> list[int]:
    """The updateable processes of a program that are no children of others of it; their descendants come with them.

    Raises:
        NoSuchProcess: there are none.
    """
    found = []
    for pid in processes.updateable():
        with suppress(UpstareError):
            process = processes.attach(pid)
            try:
                if processes.describe(process).program == name:
                    found.append(pid)
            finally:
                process.close()
    if not found:
        raise NoSuchProcess(f"no updateable process runs {name}", hint="upstare status lists them")
    return [pid for pid in found if _parent(pid) not in found]


def family(pid: int) -> Family | None:
    """What a process shares with those that forked from it. None: it has ended, or we may not look."""
    try:
        file = os.stat(f"/proc/{pid}/exe")
        stack = int(_fields(pid)[_STACK])
    except (OSError, IndexError, ValueError):
        return None
    return (file.st_dev, file.st_ino, stack) if stack else None


def lender(pid: int) -> int | None:
    """The parent in whose memory a process still works, if it does: it has come from ``vfork``, ``posix_spawn`` or the
    like, and is about to execute a program or to end. Where the kernel does not say, nobody does."""
    parent = _parent(pid)
    return parent if parent and _libc.syscall(_KCMP, pid, parent, _KCMP_VM, 0, 0) == 0 else None


def started(pid: int) -> int:
    """When a process began, in clock ticks since the machine did; 0 if it has ended."""
    try:
        return int(_fields(pid)[_START])
    except (OSError, IndexError, ValueError):
        return 0


class Orphans:
    """Finds processes whose parent ended before we saw that they are its children.

    Every process is looked at once: what was there at the first look and is no relative never becomes one.
    """

    def __init__(self) -> None:
        self._strangers: set[int] = set()

    def find(self, families: Iterable[Family], known: set[int], since: int) -> list[int]:
        """Processes of these families that are not ``known``, began at ``since`` or later, and have a stranger for
        their parent."""
        wanted = set(families)
        found: list[int] = []
        for name in os.listdir("/proc"):
            if not name.isdecimal():
                continue
            pid = int(name)
            if pid in self._strangers or pid in known:
                continue
            if family(pid) not in wanted:
                self._strangers.add(pid)
            elif started(pid) >= since and family(_parent(pid)) not in wanted:
                found.append(pid)
        return found


def _parent(pid: int) -> int:
    try:
        return int(_fields(pid)[_PARENT])
    except (OSError, IndexError, ValueError):
        return 0


def _fields(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` behind the name, which may hold anything."""
    return read_proc(f"/proc/{pid}/stat").rpartition(b")")[2].decode().split()


def read_proc(path: str) -> bytes:
    """A file of ``/proc``, without the layers of :func:`open`: this is asked for each process of a tree that waits.

    Raises:
        OSError: the process has ended, or is not ours to look at.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, 65536):
            parts.append(part)
    finally:
        os.close(descriptor)
    return b"".join(parts)
