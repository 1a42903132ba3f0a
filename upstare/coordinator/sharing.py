"""Memory that the processes of an update share with processes outside of it.

Two versions that work on one piece of memory are a mixture. What a process has mapped is in ``/proc/PID/maps``, and the
kernel's object behind a mapping is known by device and inode, under whatever name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from upstare.coordinator.tree import read_proc

Key = tuple[str, str, str]
"""Device, inode, and the name space in which a System V segment has its number."""

# access, device, inode, name. Sockets, rings and the like have no name that begins with a slash.
_SHARED = re.compile(rb"^\S+ .([w-]).s \S+ (\S+) (\d+) +(/.*)$", re.MULTILINE)
_SYSTEM_V = "/SYSV"
_MEMORY = ("/dev/zero", "/memfd:", "/dev/shm/", "/anon_hugepage", "/dev/hugepages/", _SYSTEM_V)
_DELETED = " (deleted)"


class Segment(NamedTuple):
    """A shared mapping of a process."""

    name: str
    writable: bool

    @property
    def is_memory(self) -> bool:
        """Whether only processes can have put there what is in it; else it is a file, with a format of its own."""
        return self.name.startswith(_MEMORY)

    def __str__(self) -> str:
        name = self.name.removesuffix(_DELETED)
        if name.startswith(_SYSTEM_V):
            return f"the System V segment of key 0x{name.removeprefix(_SYSTEM_V)}"
        if name.startswith(("/dev/zero", "/anon_hugepage")):
            return "anonymous shared memory"
        return f"the memory file {name.removeprefix('/memfd:')}" if name.startswith("/memfd:") else name


class Outsider(NamedTuple):
    """A process that shares a segment with the processes of an update, but is none of them."""

    pid: int
    segment: Segment
    insider: int  # one of those with which it shares


class Sharing:
    """Looks for outsiders: first, while all processes run, among those that were there when this object was made; then,
    with the processes of the update stopped, only among those that came later."""

    def __init__(self) -> None:
        self._known = _processes()
        self._segments: dict[Key, tuple[Segment, int]] = {}

    def survey(self, insiders: Iterable[int]) -> None:
        """Find out what these processes of the update share with anybody."""
        for pid in insiders:
            for key, segment in shared_by(pid).items():
                before = self._segments.get(key)
                if before is None or segment.writable > before[0].writable:
                    self._segments[key] = (segment, pid)

    def outsiders(self, inside: set[int], same_program: Callable[[int], bool], *, late: bool) -> list[Outsider]:
        """Those that there are. Not writable by anybody is not shared; a file is only with processes of the program.

        Args:
            inside: processes that have, or are going to have, the new version.
            same_program: whether a process runs the program that is updated.
            late: look at those that came since.
        """
        found: list[Outsider] = []
        if not self._segments:
            return found
        there = _processes()
        for pid in sorted((there - self._known if late else there) - inside):
            shares = [
                Outsider(pid, segment, insider)
                for key, theirs in shared_by(pid).items()
                if key in self._segments
                for segment, insider in (self._segments[key],)
                if (segment.writable or theirs.writable) and (segment.is_memory or same_program(pid))
            ]
            if late or pid in self._known:
                found += shares[:1]
            elif not shares:
                self._known.add(pid)
        return found


def shared_by(pid: int) -> dict[Key, Segment]:
    """What a process has mapped together with others, as far as it holds data; nothing if we may not look."""
    result: dict[Key, Segment] = {}
    with suppress(OSError):
        for access, device, inode, path in _SHARED.findall(read_proc(f"/proc/{pid}/maps")):
            name, writable = os.fsdecode(path), access == b"w"
            if name.startswith("/dev/") and not name.startswith(_MEMORY):
                continue  # a device: what lies behind two mappings of it need not be the same
            if not writable and not name.startswith(_MEMORY):
                continue
            space = os.readlink(f"/proc/{pid}/ns/ipc") if name.startswith(_SYSTEM_V) else ""
            key = (device.decode(), inode.decode(), space)
            writable |= key in result and result[key].writable
            result[key] = Segment(name, writable)
    return result


def _processes() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdecimal()}
