"""The conversation with the agent in one process: contact, requests, replies.

The target keeps nothing open for us. The coordinator listens on an abstract Unix socket, named after the process and a
random number, and sends the reserved signal with that number. The runtime's handler starts the agent thread as soon as
a thread is where that is safe; the agent connects. Both sides check the other by ``SO_PEERCRED``.

Requests are fixed structs, replies are length-prefixed JSON objects. A process that ends is noticed through its pidfd,
because a child that it forked may keep the agent's socket open.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import select
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from enum import IntEnum

from upstare.coordinator import process as processes
from upstare.coordinator import seccomp
from upstare.coordinator import tree as trees
from upstare.coordinator.process import ATTENTION_SIGNAL, LAST_BREATH, Busy, NoSuchProcess, Process
from upstare.coordinator.replies import Reply, is_greeting, parse
from upstare.coordinator.room import Room
from upstare.errors import DeadlineMissed, NotUpdatable, UpstareError

REQUEST = struct.Struct("<4sIQQ")
REQUEST_MAGIC = b"UPCM"
REPLY_LENGTH = struct.Struct("<I")
REPLY_LIMIT = 64 << 20
PROTOCOL = 5

FIRST_REPEAT = 0.002
LAST_REPEAT = 0.02
HELLO_PATIENCE = 5.0
ABORT_PATIENCE = 2.0


class Op(IntEnum):
    """What the coordinator asks of the agent."""

    STATUS = 1
    LOAD = 2  # with a descriptor; a: 1 for the twin of the version that runs, which comes before the patch
    STOP = 3  # a: microseconds to stop in, b: microseconds to wait for the decision; with the ballot's descriptor
    COMMIT = 4
    ABORT = 5
    ROLLBACK_PREPARE = 6
    BYE = 7
    FAULT = 8  # for tests: a: step, b: what happens there (c_runtime/src/faults.h)
    CHECK = 9  # after all have answered STOP, where LOAD was answered with a number of checks: is nothing in flight?
    MAPS = 10  # with a descriptor of the process's memory map, before LOAD, for a process that has no /proc


class ConnectionLost(UpstareError):
    """The agent no longer answers although its process lives."""


class Executed(ConnectionLost):
    """The process has executed a program, and with that is another one than we spoke to."""


class Session:
    """A connection to the agent of one process. Requests are answered in order, one reply each."""

    def __init__(self, process: Process, connection: socket.socket, family: trees.Family | None) -> None:
        self.process = process
        self.family = family
        self.room: Room | None = None
        self.hello: Reply = {}
        self._connection = connection
        self._buffer = bytearray()
        self._unanswered = 0
        self._nonsense = False

    def send(self, op: Op, a: int = 0, b: int = 0, descriptor: int | None = None) -> None:
        """Send a request; :meth:`receive` brings its reply."""
        data = REQUEST.pack(REQUEST_MAGIC, op, a, b)
        self._connection.settimeout(HELLO_PATIENCE)
        try:
            if descriptor is None:
                self._connection.sendall(data)
            else:
                socket.send_fds(self._connection, [data], [descriptor])
        except (BrokenPipeError, ConnectionResetError):
            raise self._gone() from None
        except TimeoutError:
            raise ConnectionLost(f"the agent in {self.process.name()} does not read what we send") from None
        self._unanswered += 1

    def receive(self, timeout: float) -> Reply:
        """The next reply. Raises DeadlineMissed if it takes more than ``timeout`` seconds."""
        reply = self._message(time.monotonic() + timeout)
        self._unanswered -= 1
        return reply

    def receive_while_it_runs(self, timeout: float, patience: float) -> Reply:
        """The next reply, in ``patience`` seconds; but once the process stands still for ``timeout``, it is late."""
        deadline = time.monotonic() + patience
        sources = [self._connection.fileno(), self.process.pidfd]
        while not self._buffer and not _wait(sources, min(deadline, time.monotonic() + timeout)):
            if stopped := _stopped(self.process):
                raise stopped
            if time.monotonic() >= deadline:
                break
        return self.receive(max(0.0, deadline - time.monotonic()))

    def request(self, op: Op, timeout: float, a: int = 0, b: int = 0, descriptor: int | None = None) -> Reply:
        """Send a request and wait for its reply."""
        self.send(op, a, b, descriptor)
        return self.receive(timeout)

    def lend(self, timeout: float) -> None:
        """Give the process what it cannot have by itself: its memory map."""
        descriptor = self.room.memory_map() if self.room is not None else None
        if descriptor is None:
            return
        try:
            self.request(Op.MAPS, timeout, descriptor=descriptor)
        finally:
            os.close(descriptor)

    def start_abort(self) -> None:
        """Call off whatever is going on. The process does the same by itself if we cannot reach it."""
        with suppress(UpstareError):
            self.send(Op.ABORT)

    def finish_abort(self) -> None:
        """Wait until the process has done so, for as long as that may take."""
        deadline = time.monotonic() + ABORT_PATIENCE
        with suppress(UpstareError):
            while self._unanswered and not self._nonsense:
                self.receive(max(0.0, deadline - time.monotonic()))

    def idle(self) -> bool:
        """Whether everything that was asked has been answered."""
        return self._unanswered == 0

    def loaded(self) -> None:
        """What was only needed to load is gone."""
        if self.room is not None:
            self.room.take_file()

    def close(self) -> None:
        """Say good-bye, so that the agent ends, and hang up."""
        with suppress(OSError):
            self._connection.settimeout(0.1)
            self._connection.sendall(REQUEST.pack(REQUEST_MAGIC, Op.BYE, 0, 0))
        self._connection.close()
        if self.room is not None:
            self.room.close()

    def _message(self, deadline: float) -> Reply:
        (length,) = REPLY_LENGTH.unpack(self._take(REPLY_LENGTH.size, deadline))
        reply = None
        if length <= REPLY_LIMIT:
            reply = parse(self._take(length, deadline))
        if reply is None:
            self._nonsense = True
            raise ConnectionLost(f"the agent in {self.process.name()} sends nonsense")
        return reply

    def _take(self, count: int, deadline: float) -> bytes:
        while len(self._buffer) < count:
            readable = _wait([self._connection.fileno(), self.process.pidfd], deadline)
            if not readable:
                raise DeadlineMissed(f"{self.process.name()} did not answer in time")
            self._connection.settimeout(0.0)
            try:
                data = self._connection.recv(65536)
            except ConnectionResetError:
                data = b""
            except BlockingIOError:
                if self.process.pidfd in readable:
                    raise self._gone() from None
                continue
            if not data:
                raise self._gone()
            self._buffer += data
        result = bytes(self._buffer[:count])
        del self._buffer[:count]
        return result

    def verify(self) -> None:
        """Raise :class:`Executed` if the process is no longer the one that it was when we called it."""
        if (family := trees.family(self.process.pid)) is not None and family != self.family:
            raise Executed(f"{self.process.name()} has executed a program during the update")

    def _gone(self) -> UpstareError:
        """Why the connection broke. A process that ends closes its descriptors before its pidfd tells."""
        deadline = time.monotonic() + LAST_BREATH
        while not self.process.ended(patience=0.001):
            try:
                self.verify()
            except Executed as executed:
                return executed
            if time.monotonic() > deadline:
                return ConnectionLost(
                    f"the agent in {self.process.name()} hung up during the update",
                    hint=f"upstare status --pid {self.process.pid} shows which version runs",
                )
        return NoSuchProcess(f"process {self.process.pid} ended during the update")


def connect(process: Process, timeout: float) -> Session:
    """A session with the agent of a process, greeting received.

    Raises:
        DeadlineMissed: no thread came to a place where the agent can be started within ``timeout`` seconds.
        NoSuchProcess: the process ended meanwhile.
        Executed: the process executed a program meanwhile.
        NotUpdatable: the agent refuses us, because another update is going on or it is of another release; or the
            kernel would not let the process do what an update needs. Or its program, which it has only just executed,
            is none of ours, or it has not executed one yet (vfork).
    """
    if parent := trees.lender(process.pid):
        raise NotUpdatable(
            f"{process.name()} works in the memory of process {parent} until it executes a program (vfork)",
            hint=f"update process {parent}",
        )
    seccomp.verify(process)
    nonce = secrets.randbits(63) | 1
    family = trees.family(process.pid)
    room = Room(process)
    try:
        with _socket_for(process) as listener:
            listener.bind(f"\0upstare-{process.inner_pid()}-{nonce:016x}")
            listener.listen(8)
            session = _call(process, family, listener, nonce, time.monotonic() + timeout)
    except BaseException:
        room.close()
        raise
    room.agent_is_there()
    session.room = room
    return session


def _socket_for(process: Process) -> socket.socket:
    """A socket in the network of the process: its abstract addresses are names only there."""
    theirs = None
    try:
        if _network(process.pid) not in (None, _network(os.getpid())):
            theirs = os.open(f"/proc/{process.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        pass  # it has ended, or we may not: then it stays silent
    if theirs is None:
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    ours = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(theirs, _CLONE_NEWNET) != 0:
            return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        finally:
            if _libc.setns(ours, _CLONE_NEWNET) != 0:
                raise UpstareError(f"no way back from the network of {process.name()}")
    finally:
        os.close(theirs)
        os.close(ours)


def _call(
    process: Process, family: trees.Family | None, listener: socket.socket, nonce: int, deadline: float
) -> Session:
    """Signal until the agent connects and greets. Connections of anybody else are dropped.

    A thread where the agent cannot be started says so on a connection of its own, with the place where it is.
    """
    culprits: dict[int, Reply] = {}
    pause = FIRST_REPEAT
    called = False
    while time.monotonic() < deadline:
        # A signal without a handler would end the process. A program that has only just started has none yet; should it
        # execute one now, the runtime sees to it that the signal does no harm (c_runtime/src/exec.c).
        if process.listens():
            _signal(process, nonce)
            called = True
        elif called and process.deaf():
            raise NotUpdatable(
                f"{process.name()} may not make its own code executable (mprotect is forbidden to it)",
                hint="see docs/limits.md",
            )
        else:
            processes.verify_program(process)
        readable = _wait([listener.fileno(), process.pidfd], min(deadline, time.monotonic() + pause))
        if listener.fileno() in readable:
            connection, _ = listener.accept()
            session = Session(process, connection, family)
            try:
                if _peer(connection) == process.pid and _greet(session, culprits):
                    session.verify()
                    return session
            except BaseException:
                connection.close()
                raise
            connection.close()
        elif process.pidfd in readable:
            raise NoSuchProcess(f"process {process.pid} ended during the update")
        pause = min(pause * 1.5, LAST_REPEAT)
    raise _silence(process, culprits)


def _greet(session: Session, culprits: dict[int, Reply]) -> bool:
    """Receive the greeting. False, and a culprit more, if it is a thread's word that it cannot start the agent."""
    try:
        hello = session._message(time.monotonic() + HELLO_PATIENCE)
    except DeadlineMissed:
        raise ConnectionLost(f"the agent in {session.process.name()} does not greet us") from None
    if hello.get("not_now"):
        culprits[hello.get("tid", 0)] = hello
        return False
    if not hello.get("ok", True):
        reason = hello.get("reason") or "it gave no reason"
        if hello.get("kind") == "refused":
            raise Busy(f"{session.process.name()}: {reason}")
        raise UpstareError(f"{session.process.name()}: {reason}")
    if hello.get("hello") == PROTOCOL and not is_greeting(hello):
        raise ConnectionLost(f"the agent in {session.process.name()} sends nonsense")
    if hello.get("hello") != PROTOCOL:
        raise NotUpdatable(
            f"the agent in {session.process.name()} speaks another protocol ({hello.get('hello')!r}, not {PROTOCOL})",
            hint="use the release of UpStare that its program was built with",
        )
    session.hello = hello
    return True


def blame(process: Process, culprits: Iterable[Reply]) -> list[str]:
    """A phrase for each thread that is where it cannot be stopped: which one, in which call, called from where."""
    from upstare.coordinator.symbols import call_at

    result = []
    for culprit in culprits:
        call = call_at(process, int(str(culprit.get("caller", "0")), 16))
        result.append(f"thread {culprit.get('tid')} is {call}")
    return result


def _signal(process: Process, nonce: int) -> None:
    """Queue the reserved signal with our number, to the very process that we hold."""
    information = ctypes.create_string_buffer(128)
    # siginfo_t: signo, errno, code, (padding), pid, uid, value
    struct.pack_into("<iii4xiIQ", information, 0, ATTENTION_SIGNAL, 0, _SI_QUEUE, os.getpid(), os.getuid(), nonce)
    result = _libc.syscall(_PIDFD_SEND_SIGNAL, process.pidfd, ATTENTION_SIGNAL, information, 0)
    code = ctypes.get_errno() if result != 0 else 0
    if code == errno.EPERM:
        raise NotUpdatable(
            f"the kernel does not let us signal {process.name()}", hint="run upstare as its owner or with sudo"
        )
    # ESRCH: it ended, the pidfd says so. EAGAIN: its queue is full of signals, ours among them.
    if code not in (0, errno.ESRCH, errno.EAGAIN):
        raise UpstareError(f"{process.name()} cannot be signalled: {os.strerror(code)}")


def _peer(connection: socket.socket) -> int:
    pid, _, _ = struct.unpack("<3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(pid)


def _silence(process: Process, culprits: dict[int, Reply]) -> UpstareError:
    """Why no agent came."""
    if stopped := _stopped(process):
        return stopped
    if not process.listens():
        return NotUpdatable(
            f"{process.name()} has no handler for signal {ATTENTION_SIGNAL}",
            hint="it has only just started, or the program replaced the handler; that signal is reserved",
        )
    if _network(process.pid) not in (None, _network(os.getpid())):
        return NotUpdatable(
            f"{process.name()} is in another network namespace", hint="run upstare there: nsenter --net --target PID"
        )
    if process.limit("Max processes") == 0 or process.limit("Max open files") == 0:
        return NotUpdatable(
            f"{process.name()} has forbidden itself to make threads or to open files, so the agent cannot be started",
            hint="run upstare with sudo: root can lift these limits for the time of the update",
        )
    where = "; ".join(blame(process, culprits.values())) or "all are inside library calls"
    return DeadlineMissed(f"no thread of {process.name()} came to a place where an update can begin: {where}")


def _stopped(process: Process) -> DeadlineMissed | None:
    """Who keeps the process from running, if somebody does."""
    state = process.state()
    if state not in ("T", "t"):
        return None
    who = "a debugger" if state == "t" else "SIGSTOP"
    return DeadlineMissed(f"{process.name()} is stopped by {who}", hint="let it run, then try again")


def _network(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None


def _wait(descriptors: list[int], deadline: float) -> set[int]:
    """Those of ``descriptors`` that can be read, or none at the deadline."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    milliseconds = max(0.0, (deadline - time.monotonic()) * 1000)
    return {descriptor for descriptor, _ in poll.poll(milliseconds)}


_libc = ctypes.CDLL(None, use_errno=True)
_PIDFD_SEND_SIGNAL = 424  # the same on all architectures
_SI_QUEUE = -1
_CLONE_NEWNET = 0x40000000
