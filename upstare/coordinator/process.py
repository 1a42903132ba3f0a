"""Running processes as the coordinator sees them from outside, before anything in them is touched.

Everything here comes from ``/proc``. A process is held by a *pidfd*, so that its number cannot pass to another process
between two steps, and the program is read through ``/proc/PID/exe``, which stays right when the file on disk has been
replaced or deleted.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from upstare.driver.elf import SECTION_DESCRIPTION, SECTION_RUNTIME, Elf
from upstare.errors import NotUpdatable, UpstareError
from upstare.model.description import Description, unpack

ATTENTION_SIGNAL = 63
"""The real-time signal that the runtime reserves (SIGRTMAX-1)."""

_programs: dict[tuple[int, int, int, int], Elf] = {}  # the last one that was read

LAST_BREATH = 0.2
"""Seconds in which a process that has lost its program, or closed its descriptors, is gone."""
_HOW_TO_BUILD = 'build the program with CC="upstare cc" to make it updateable'


class NoSuchProcess(UpstareError):
    """There is no process of that number, or it has ended."""


class Busy(NotUpdatable):
    """Somebody else is updating the process."""


@dataclass(frozen=True)
class Process:
    """A live process, held by ``pidfd`` until :meth:`close`."""

    pid: int
    pidfd: int

    def close(self) -> None:
        """Let go of the process."""
        os.close(self.pidfd)

    def inner_pid(self) -> int:
        """The process's own idea of its number: another one inside a container."""
        return int(_status(self.pid).get("NSpid", str(self.pid)).split()[-1])

    def state(self) -> str:
        """The state letter of ``/proc/PID/status``: R, S, D, T (stopped), t (traced), Z (ended)..."""
        return _status(self.pid).get("State", "Z")[:1]

    def ended(self, patience: float = 0.0) -> bool:
        """Whether the process has ended, or does so within ``patience`` seconds, collected by its parent or not."""
        return _readable(self.pidfd, patience)

    def listens(self) -> bool:
        """Whether the process has a handler for the reserved signal. Without one the signal would end it."""
        return bool(int(_status(self.pid).get("SigCgt", "0"), 16) >> (ATTENTION_SIGNAL - 1) & 1)

    def deaf(self) -> bool:
        """Whether the process ignores the reserved signal: that is how the runtime says that it cannot wake."""
        return bool(int(_status(self.pid).get("SigIgn", "0"), 16) >> (ATTENTION_SIGNAL - 1) & 1)

    def seccomp(self) -> int:
        """What the kernel lets its main thread do: 0 everything, 1 next to nothing, 2 what its filters say."""
        return int(_status(self.pid).get("Seccomp", "0"))

    def limit(self, name: str) -> int | None:
        """A limit of ``/proc/PID/limits`` that counts now; None: there is none."""
        try:
            lines = Path(f"/proc/{self.pid}/limits").read_text().splitlines()
        except OSError:
            return None
        words = [line.removeprefix(name).split()[0] for line in lines if line.startswith(name)]
        return int(words[0]) if words and words[0].isdecimal() else None

    def name(self) -> str:
        """How to call the process in a message."""
        return name_of(self.pid)


def attach(pid: int) -> Process:
    """Hold a live process of ours that was built to be updated.

    Raises:
        NoSuchProcess: nothing of that number runs (exit code 1).
        NotUpdatable: it belongs to another user, or its program was not built with ``upstare cc`` or has lost its
            description (exit code 3).
    """
    process = Process(pid, _open(pid))
    try:
        if process.ended():
            raise NoSuchProcess(f"process {pid} has ended already and only waits for its parent to notice (zombie)")
        _check_owner(process)
        verify_program(process)
    except BaseException:
        process.close()
        raise
    return process


def verify_program(process: Process) -> None:
    """Raise NotUpdatable if the program that the process runs now was not built to be updated, NoSuchProcess if it has
    ended."""
    try:
        program = _program(process.pid)
        if program.section(SECTION_DESCRIPTION) is not None:
            return
    except FileNotFoundError:
        if process.ended(LAST_BREATH):
            raise NoSuchProcess(f"process {process.pid} has ended") from None
        if process.state() == "Z":
            raise NotUpdatable(f"the main thread of {process.name()} has ended while others go on") from None
        raise NotUpdatable(f"{process.name()} is a thread of the kernel and not updateable") from None
    except PermissionError:
        raise NotUpdatable(
            f"{process.name()} does not let us look at its program", hint="run upstare with sudo"
        ) from None
    except ProcessLookupError:
        raise NoSuchProcess(f"process {process.pid} has ended") from None
    if any(section.name == SECTION_RUNTIME for section in program.sections):
        raise NotUpdatable(
            f"the program of {process.name()} was built with upstare cc but stripped of its version description",
            hint="do not remove the sections .upstare.* when stripping (plain strip keeps them)",
        )
    raise NotUpdatable(f"the program of {process.name()} was not built with upstare cc", hint=_HOW_TO_BUILD)


def describe(process: Process) -> Description:
    """The version description in the process's executable."""
    try:
        section = _program(process.pid).section(SECTION_DESCRIPTION)
    except OSError:
        raise NoSuchProcess(f"process {process.pid} has ended") from None
    if section is None:
        raise NotUpdatable(f"{process.name()} is not updateable", hint=_HOW_TO_BUILD)
    return unpack(section)


def lock(process: Process, patience: float = 0.5) -> int:
    """Keep other coordinators out of the process until the returned descriptor is closed.

    The lock sits on the process's directory in ``/proc``: it needs no file in the target and ends with this process,
    however that ends. Raises :class:`Busy` if it cannot be had within ``patience`` seconds.
    """
    try:
        descriptor = os.open(f"/proc/{process.pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NoSuchProcess(f"process {process.pid} has ended") from None
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise Busy(
                    f"another update of {process.name()} is going on", hint="try again when it has ended"
                ) from None
            time.sleep(0.01)


def updateable() -> Iterator[int]:
    """The numbers of all processes whose program is updateable, as far as we may look."""
    known: dict[tuple[int, int], bool] = {}  # many processes run the same file
    for pid in sorted(psutil.pids()):
        try:
            key = file_of(pid)
            if key not in known:
                known[key] = _program(pid).section(SECTION_DESCRIPTION) is not None
            if known[key]:
                yield pid
        except (OSError, UpstareError):
            continue  # ended, a kernel thread, another user's, or no ELF file of ours: not for us to list


def name_of(pid: int) -> str:
    """How to call a process in a message."""
    return f"process {pid} ({_status(pid).get('Name', 'ended')})"


def file_of(pid: int) -> tuple[int, int]:
    """Device and inode of the program that a process runs. Raises NoSuchProcess, or PermissionError."""
    try:
        file = os.stat(_executable(pid))
    except (FileNotFoundError, ProcessLookupError):
        raise NoSuchProcess(f"process {pid} has ended") from None
    return file.st_dev, file.st_ino


def _open(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise NoSuchProcess(f"there is no process {pid}", hint="upstare status lists updateable processes") from None
    except OSError as error:
        leader = _status(pid).get("Tgid", "0")
        if leader not in ("0", str(pid)):
            raise NoSuchProcess(
                f"{pid} is not a process but a thread of process {leader}", hint=f"use --pid {leader}"
            ) from None
        raise NoSuchProcess(f"process {pid} cannot be held: {error.strerror}") from None


def _check_owner(process: Process) -> None:
    ours = os.geteuid()
    # Real, effective, saved, file system. The kernel wants ours to be the real or the saved one for a signal.
    owners = [int(uid) for uid in _status(process.pid).get("Uid", "0 0 0 0").split()]
    if ours == 0 or ours in (owners[0], owners[2]):
        return
    raise NotUpdatable(
        f"{process.name()} belongs to {_user(owners[0])}; only its owner and root may update it",
        hint=f"run upstare as {_user(owners[0])} or with sudo",
    )


def _executable(pid: int) -> Path:
    """A path to the running program itself, whatever has become of the file."""
    return Path(f"/proc/{pid}/exe")


def _program(pid: int) -> Elf:
    """The program of a process. Those of a tree mostly run the same file, which is read once."""
    with _executable(pid).open("rb") as file:
        about = os.fstat(file.fileno())
        key = (about.st_dev, about.st_ino, about.st_mtime_ns, about.st_size)
        if key not in _programs:
            _programs.clear()
            _programs[key] = Elf(file.read(), f"the program of process {pid}")
    return _programs[key]


def _status(pid: int) -> dict[str, str]:
    """The fields of ``/proc/PID/status``; nothing for a process that has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def _readable(descriptor: int, patience: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(patience * 1000))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
