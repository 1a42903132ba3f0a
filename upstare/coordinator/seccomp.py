"""Whether a process under a seccomp filter may do what an update needs; found out without one call in it.

A filter that kills would take the whole server down at the first system call of the runtime. So the filters are read
from outside (``PTRACE_SECCOMP_GET_FILTER``, which only root may do) and run here, for each call that an update makes.
What a filter makes of arguments is not known beforehand: both ways of a test on them are followed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Sequence

from upstare.coordinator.process import NoSuchProcess, Process
from upstare.errors import NotUpdatable

# System calls of the runtime, of the C library on its behalf (threads, dlopen), of coming back from a handler, and of
# going on after a stop (restart_syscall). The numbers are those of x86-64.
NEEDED = {
    "rt_sigreturn": 15, "rt_sigprocmask": 14, "rt_sigaction": 13, "sigaltstack": 131, "getpid": 39, "gettid": 186,
    "tgkill": 234, "futex": 202, "mmap": 9, "munmap": 11, "mprotect": 10, "socket": 41, "connect": 42, "getsockopt":
    55, "sendto": 44, "recvmsg": 47, "poll": 7, "openat": 257, "read": 0, "pread64": 17, "pwrite64": 18,
    "newfstatat": 262, "fcntl": 72, "close": 3, "getdents64": 217, "getuid": 102, "geteuid": 107, "set_robust_list":
    273, "exit": 60, "statfs": 137, "restart_syscall": 219,
}  # fmt: skip
# Of these an error does no harm, death does.
TRIED = {
    "clone3": 435, "rseq": 334, "madvise": 28, "access": 21, "lseek": 8, "arch_prctl": 158, "brk": 12, "getrandom": 318,
}  # fmt: skip

_ARCHITECTURE = 0xC000003E  # AUDIT_ARCH_X86_64
_ALLOW, _LOG, _ERRNO, _TRACE = 0x7FFF0000, 0x7FFC0000, 0x00050000, 0x7FF00000

_SEIZE, _INTERRUPT, _DETACH, _GET_FILTER = 0x4206, 0x4207, 17, 0x420C
_ALL_CHILDREN = 0x40000000  # __WALL
_MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long

Instruction = tuple[int, int, int, int]
"""Code, where to go if true, if false, and the constant, of one instruction of classic BPF."""


def verify(process: Process) -> None:
    """Raises NotUpdatable if the filters of a process stand in the way of an update, or cannot be read."""
    mode = process.seccomp()
    if mode == 0:
        return
    if mode == 1:
        raise NotUpdatable(f"{process.name()} is in strict seccomp mode: it may only read, write and exit")
    try:
        filters = read_filters(process.pid)
    except PermissionError:
        raise NotUpdatable(
            f"{process.name()} is under a seccomp filter, which only root can read; it might kill the process",
            hint="run upstare with sudo",
        ) from None
    except ProcessLookupError:
        raise NoSuchProcess(f"process {process.pid} has ended") from None
    forbidden = forbidden_calls(filters)
    if forbidden:
        raise NotUpdatable(
            f"{process.name()} is under a seccomp filter that does not allow the system call {forbidden[0]}",
            hint=f"an update also needs: {', '.join(forbidden[1:])}" if forbidden[1:] else None,
        )


def forbidden_calls(filters: Iterable[Sequence[Instruction]]) -> list[str]:
    """The names of calls that an update needs and that one of the filters may not let through."""
    programs = list(filters)
    found = []
    for calls, harmless in ((NEEDED, (_ALLOW, _LOG)), (TRIED, (_ALLOW, _LOG, _ERRNO))):
        for name, number in calls.items():
            if any(action not in harmless for program in programs for action in actions(program, number)):
                found.append(name)
    return found


def actions(program: Sequence[Instruction], number: int) -> set[int]:
    """What a filter may say of a system call with any arguments: SECCOMP_RET_* without their data."""
    data = {0: number, 4: _ARCHITECTURE}
    result: set[int] = set()
    # Where it is, accumulator, index register, and what was stored; None is a value that is not known.
    todo: list[tuple[int, int | None, int | None, tuple[int | None, ...]]] = [(0, 0, 0, (0,) * 16)]
    seen = set(todo)
    while todo:
        state = todo.pop()
        at, a, x, memory = state
        if at >= len(program):
            raise ValueError("the filter has no end")
        code, if_true, if_false, constant = program[at]
        kind, following = code & 7, [at + 1]
        if kind == 6:  # RET
            value = constant if code & 0x18 == 0 else a
            result.add(0x80000000 if value is None else value & 0xFFFF0000)
            continue
        if kind in (0, 1):  # LD, LDX
            mode = code & 0xE0
            if mode == 0x00:
                loaded: int | None = constant
            elif mode == 0x20:
                loaded = data.get(constant)
            elif mode == 0x60:
                loaded = memory[constant]
            else:  # the length of the data
                loaded = 64
            a, x = (loaded, x) if kind == 0 else (a, loaded)
        elif kind in (2, 3):  # ST, STX
            memory = (*memory[:constant], a if kind == 2 else x, *memory[constant + 1 :])
        elif kind == 4:
            a = _compute(code & 0xF0, a, constant if code & 8 == 0 else x)
        elif kind == 5:
            following = _jump(code, a, constant if code & 8 == 0 else x, at, if_true, if_false, constant)
        else:  # MISC: TAX, TXA
            a, x = (a, a) if code & 0xF8 == 0 else (x, x)
        for target in following:
            state = (target, a, x, memory)
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return result


def _compute(operation: int, a: int | None, b: int | None) -> int | None:
    if a is None or (b is None and operation != 0x80):
        return None
    b = b or 0
    if operation in (0x30, 0x90) and b == 0:
        return None
    value = {
        0x00: lambda: a + b, 0x10: lambda: a - b, 0x20: lambda: a * b, 0x30: lambda: a // b, 0x40: lambda: a | b,
        0x50: lambda: a & b, 0x60: lambda: a << (b & 31), 0x70: lambda: a >> (b & 31), 0x80: lambda: -a,
        0x90: lambda: a % b, 0xA0: lambda: a ^ b,
    }[operation]()  # fmt: skip
    return value & 0xFFFFFFFF


def _jump(
    code: int, a: int | None, b: int | None, at: int, if_true: int, if_false: int, constant: int
) -> list[int]:  # fmt: skip
    operation = code & 0xF0
    if operation == 0:
        return [at + 1 + constant]
    if a is None or b is None:
        return [at + 1 + if_true, at + 1 + if_false]
    holds = {0x10: a == b, 0x20: a > b, 0x30: a >= b, 0x40: a & b != 0}[operation]
    return [at + 1 + (if_true if holds else if_false)]


def read_filters(pid: int) -> list[list[Instruction]]:
    """All filters of a process, the newest first. It stands still for a moment.

    Raises:
        PermissionError: we are not root, or a debugger is there.
        ProcessLookupError: there is no such process.
    """
    _ptrace(_SEIZE, pid)
    try:
        _ptrace(_INTERRUPT, pid)
        os.waitpid(pid, _ALL_CHILDREN)
        filters: list[list[Instruction]] = []
        buffer = ctypes.create_string_buffer(_MOST_INSTRUCTIONS * 8)
        while True:
            try:
                count = _ptrace(_GET_FILTER, pid, len(filters), ctypes.addressof(buffer))
            except FileNotFoundError:  # there are no more
                return filters
            filters.append(list(struct.iter_unpack("<HBBI", buffer.raw[: count * 8])))
    except ChildProcessError:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from None
    finally:
        _libc.ptrace(_DETACH, pid, None, None)


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    result = int(_libc.ptrace(request, pid, address, data))
    if result < 0:
        code = ctypes.get_errno()
        if code == errno.EACCES:
            code = errno.EPERM
        raise OSError(code, os.strerror(code))
    return result
