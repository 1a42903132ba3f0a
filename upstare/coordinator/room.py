"""Room for the agent in a process that has locked itself up.

Servers give up what they do not need: a process that may make no processes (``RLIMIT_NPROC``) cannot make the agent's
thread either, one that may open no files (``RLIMIT_NOFILE``) cannot call us, and one in a directory of its own without
``/proc`` (``chroot``) has no name for the patch that it is sent and cannot see its own memory map. From inside none of
this can be undone. Root can lift it from outside: the limits for as long as the agent needs them, and a file where the
process can see it, for the moment of the load. The memory map we can open for it, if we may see it.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

from upstare.coordinator.process import Process

FILES = 64
"""Descriptors beyond those in use that the agent gets at least."""

_UNLIMITED = resource.RLIM_INFINITY


class Room:
    """What was lifted for one process, until :meth:`close`. Without effect where we are not root."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._root = f"/proc/{process.pid}/root"
        self._lifted: dict[int, tuple[int, int]] = {}
        self._file: tuple[int, str] | None = None  # the directory that it is in
        if os.geteuid() != 0 or process.ended():
            return
        with suppress(OSError):
            self._lift(resource.RLIMIT_NPROC, _UNLIMITED)
            self._lift(resource.RLIMIT_NOFILE, len(os.listdir(f"/proc/{process.pid}/fd")) + FILES)

    def agent_is_there(self) -> None:
        """The thread has been made: the process may again make as few as before."""
        self._put_back(resource.RLIMIT_NPROC)

    def leave_file(self, descriptor: int, content: bytes) -> None:
        """The process finds the content in its root directory, under the number of the descriptor's file, until
        :meth:`take_file`; unless it has a ``/proc`` in which it finds the descriptor itself."""
        if os.geteuid() != 0 or not self._has_no_proc():
            return
        try:
            directory = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        name = f".upstare-{os.fstat(descriptor).st_ino:x}"
        with suppress(OSError):  # then the process may have a place of its own to write it to
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400, dir_fd=directory)
            self._file = (directory, name)
            with open(file, "wb") as stream:
                stream.write(content)
                os.fchown(file, 0, self._group())
                os.fchmod(file, 0o440)
        if self._file is None:
            os.close(directory)

    def take_file(self) -> None:
        """The file is gone; what the process has loaded stays."""
        if self._file is not None:
            directory, name = self._file
            self._file = None
            with suppress(OSError):
                os.unlink(name, dir_fd=directory)
            os.close(directory)

    def memory_map(self) -> int | None:
        """A descriptor of the process's memory map, if it has no ``/proc`` to see it in. The caller closes it."""
        if not self._has_no_proc():
            return None
        try:
            return os.open(f"/proc/{self._process.pid}/maps", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None

    def close(self) -> None:
        """Everything is as it was."""
        self.take_file()
        for kind in list(self._lifted):
            self._put_back(kind)

    def _lift(self, kind: int, enough: int) -> None:
        before = resource.prlimit(self._process.pid, kind)
        soft, hard = before
        if soft == _UNLIMITED or (enough != _UNLIMITED and soft >= enough):
            return
        if hard != _UNLIMITED and (enough == _UNLIMITED or hard < enough):
            hard = enough
        resource.prlimit(self._process.pid, kind, (enough, hard))
        self._lifted[kind] = before

    def _put_back(self, kind: int) -> None:
        before = self._lifted.pop(kind, None)
        if before is not None and not self._process.ended():
            with suppress(OSError):
                resource.prlimit(self._process.pid, kind, before)

    def _has_no_proc(self) -> bool:
        """Whether the process's root directory is not ours and has no ``/proc``."""
        try:
            return not os.path.samefile(self._root, "/") and not os.path.lexists(f"{self._root}/proc/self")
        except OSError:
            return False

    def _group(self) -> int:
        """The group that the process has its files checked with."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("Gid:"):
                return int(line.split()[4])
        return 0
