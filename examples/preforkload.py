"""One client with a connection to every worker of the pre-forking server, which sees all replies in one order.

It proves what a tree of processes must hold to when it is updated: once a reply of the new version has come, no request
that is sent after that is answered by the old one; before the update begins nothing is answered by the new one. Each
worker has a connection that always waits for a reply, and one that is quiet until the first reply of the new version.
"""

from __future__ import annotations

import math
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

REPLY_DEADLINE = 30.0
LAST_BREATH = 0.05  # seconds in which a killed process may still accept
NAMES = 16


@dataclass
class Report:
    """What the client saw.

    Attributes:
        sent: requests sent.
        lost: requests without a reply whose worker was killed.
        replies: replies by version.
        crossings: for each update that began, how many replies of the old version came between the first reply of the
            new one and the reply to the last request that was sent before it.
        errors: every reply that was wrong, late, missing or of a version that it must not be of.
        longest: the longest time that any reply took, in seconds.
    """

    sent: int = 0
    lost: int = 0
    replies: Counter[str] = field(default_factory=Counter)
    crossings: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    longest: float = 0.0


class _Connection:
    """A connection to some worker; which one, its first reply tells."""

    def __init__(self, port: int, serial: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=REPLY_DEADLINE)
        self.socket.setblocking(False)
        self.serial = serial
        self.made = time.monotonic()
        self.pid = 0
        self.probe = False
        self.input = b""
        self.pending: tuple[str, int, float] | None = None  # name; sent after the crossing of which update; when

    @property
    def idle(self) -> bool:
        return self.pending is None


class Client:
    """The client, in a thread of its own from ``start`` to ``stop``.

    Args:
        port: of the server on the loopback address.
        master: the server's first process, whose children are the workers.
        version: what runs at the start.
        rest: seconds between two looks at the connections; 0: as fast as it goes.
    """

    def __init__(self, port: int, master: int, version: str, rest: float = 0.001) -> None:
        self.report = Report()
        self._port = port
        self._master = master
        self._rest = rest
        self._lock = threading.Lock()  # of what follows, which the updating thread changes
        self._old = self._new = version
        self._updates = 0
        self._crossed = True
        self._killed: dict[int, float] = {}
        self._connections: dict[int, _Connection] = {}
        self._selector = selectors.DefaultSelector()
        self._serial = 0
        self._acknowledged: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._covered = threading.Event()
        self._thread = threading.Thread(target=self._run, name="client", daemon=True)

    def __enter__(self) -> Client:
        self._thread.start()
        self.wait_covered()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> Report:
        """Ends when every request has its reply; the report."""
        self._stopping.set()
        self._thread.join()
        return self.report

    def wait_covered(self, seconds: float = 30.0) -> None:
        """Returns when every worker that lives now has both its connections."""
        self._covered.clear()
        if not self._covered.wait(seconds):
            self._fail(f"no connection to every worker within {seconds:g} s")

    def wait_replies(self, more: int, seconds: float = 30.0) -> None:
        """Returns when that many more replies have come, or something failed."""
        goal = self.report.replies.total() + more
        deadline = time.monotonic() + seconds
        while self.report.replies.total() < goal and not self.report.errors:
            if time.monotonic() > deadline:
                return self._fail(f"no {more} more replies within {seconds:g} s")
            time.sleep(0.002)
        return None

    def update(self, new: str, work: Callable[[], bool]) -> None:
        """Does an update to a version; whether it was done is what the work returns."""
        with self._lock:
            self._old, self._new, self._crossed = self._new, new, False
            self._updates += 1
            self.report.crossings.append(0)
        done = work()
        with self._lock:
            if done:
                self._crossed = True
            elif self._crossed:
                self._fail(f"{self._new} answered although there was no update")
            else:
                self._new, self._crossed = self._old, True

    def kill(self, pid: int, kill: Callable[[], None]) -> None:
        """Ends a worker; the connections that it has may break from now on."""
        with self._lock:
            self._killed[pid] = math.inf
        kill()
        with self._lock:
            self._killed[pid] = time.monotonic() + LAST_BREATH

    def workers(self) -> set[int]:
        """The processes of all workers that live now."""
        try:
            return {int(pid) for pid in Path(f"/proc/{self._master}/task/{self._master}/children").read_text().split()}
        except OSError:
            return set()

    def check_counts(self, ask: Callable[[str], str]) -> None:
        """Every acknowledged HIT is counted once, one that was lost at most once."""
        for name, count in self._acknowledged.items():
            reply = ask(f"GET {name}").split()
            if len(reply) != 4 or not count <= int(reply[3]) <= count + self._lost[name]:
                self._fail(f"{name}: {count} hits were acknowledged, {self._lost[name]} lost, the server says {reply}")

    def _fail(self, what: str) -> None:
        self.report.errors.append(what)

    def _run(self) -> None:
        looked = 0.0
        while True:
            stopping = self._stopping.is_set()
            now = time.monotonic()
            if now - looked > 0.02 and not stopping:
                looked = now
                self._cover()
            for key, _ in self._selector.select(0.02 if stopping else 0.005):
                self._receive(key.data)
            for connection in list(self._connections.values()):
                if not connection.probe and connection.idle and not stopping:
                    self._send(connection)
                elif not connection.idle and connection.pending and now - connection.pending[2] > REPLY_DEADLINE:
                    self._end(connection, "no reply in time")
            if self.report.errors or (stopping and all(c.idle for c in self._connections.values())):
                break
            if self._rest:
                time.sleep(self._rest)
        for connection in self._connections.values():
            connection.socket.close()
        self._selector.close()

    def _cover(self) -> None:
        """Opens connections as long as a worker lacks one; the kernel deals them out as it likes."""
        have = Counter(connection.pid for connection in self._connections.values())
        missing = sum(max(0, 2 - have[pid]) for pid in self.workers())
        if not missing:
            self._covered.set()
        for _ in range(min(4 * missing, 32) - have[0]):
            self._serial += 1
            connection = _Connection(self._port, self._serial)
            self._connections[self._serial] = connection
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)
            self._send(connection)

    def _send(self, connection: _Connection) -> None:
        name = f"n{(connection.serial + self.report.sent) % NAMES}"
        with self._lock:  # what crosses meanwhile counts as sent before
            connection.pending = (name, self._updates if self._crossed else 0, time.monotonic())
        self.report.sent += 1
        try:
            connection.socket.send(f"HIT {name}\n".encode())
        except OSError as error:
            self._end(connection, str(error))

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(4096)
        except OSError as error:
            return self._end(connection, str(error))
        if not data:
            return self._end(connection, "the connection ended")
        connection.input += data
        if not connection.input.endswith(b"\n"):
            return None
        line, connection.input = connection.input.decode(), b""
        return self._take(connection, line)

    def _take(self, connection: _Connection, line: str) -> None:
        words = line.split()
        if connection.pending is None or len(words) != 4 or words[2] != "COUNT" or not words[0].startswith("PF/"):
            return self._fail(f"a reply that fits no request: {line!r} to {connection.pending}")
        name, after, when = connection.pending
        connection.pending = None
        self._acknowledged[name] += 1
        self.report.longest = max(self.report.longest, time.monotonic() - when)
        version, pid = words[0].removeprefix("PF/"), int(words[1])
        self.report.replies[version] += 1
        self._judge(version, pid, after)
        if connection.pid == 0:
            self._place(connection, pid)
        elif connection.pid != pid:
            self._fail(f"process {pid} answers on the connection of process {connection.pid}")
        return None

    def _judge(self, version: str, pid: int, after: int) -> None:
        first = False
        with self._lock:
            old, new, crossed = self._old, self._new, self._crossed
            late = after == self._updates
            if version == new and not crossed:
                first = self._crossed = True
        if version not in (old, new):
            self._fail(f"process {pid} answers as {version}, but the update is from {old} to {new}")
        elif version != new and late:
            self._fail(f"process {pid} answers as {old} to a request that was sent after a reply of {new}")
        elif version != new and crossed:
            self.report.crossings[-1] += 1
        if first:
            for connection in list(self._connections.values()):
                if connection.probe and connection.idle:
                    self._send(connection)

    def _place(self, connection: _Connection, pid: int) -> None:
        same = [other for other in self._connections.values() if other.pid == pid]
        if len(same) >= 2:
            self._forget(connection)
            return
        connection.pid = pid
        connection.probe = any(not other.probe for other in same)

    def _end(self, connection: _Connection, why: str) -> None:
        with self._lock:
            killed = [when for pid, when in self._killed.items() if connection.pid in (0, pid)]
        if not any(when > connection.made for when in killed):
            self._fail(f"connection to process {connection.pid or '?'}: {why}; {connection.pending}")
        if connection.pending:
            self.report.lost += 1
            self._lost[connection.pending[0]] += 1
        self._forget(connection)

    def _forget(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
        del self._connections[connection.serial]
