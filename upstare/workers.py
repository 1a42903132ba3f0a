"""Processes that share the work of a build.

They are forked when there is more than one thing to do, and know all that this process knew then. A worker ends when
its end of the pipe is closed: also if this process is killed.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import struct
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

from upstare.errors import UpstareError

Request = TypeVar("Request")
Reply = TypeVar("Reply")

_LENGTH = struct.Struct("<Q")


class _Worker(NamedTuple):
    pid: int
    requests: int  # descriptors of this side
    replies: int


class Workers(Generic[Request, Reply]):
    """Up to ``count`` processes that answer requests.

    Args:
        count: how many; where one is enough it is this process.
        answer: what is done with a request, here or in a worker.
    """

    def __init__(self, count: int, answer: Callable[[Request], Reply]) -> None:
        self._count = count
        self._answer = answer
        self._workers: list[_Worker] = []

    def run(self, requests: Sequence[tuple[int, Request]], done: Callable[[int], None] = lambda n: None) -> list[Reply]:
        """The replies, in the order of the requests; requests with the same number always go to the same process.

        Args:
            requests: each with a number.
            done: is told after each reply how many there are.

        Raises:
            Exception: what an answer raised, or UpstareError if a worker ended.
        """
        if self._count < 2 or (len(requests) < 2 and not self._workers):
            replies = []
            for _, request in requests:
                replies.append(self._answer(request))
                done(len(replies))
            return replies
        if not self._workers:
            self._start()
        waiting: dict[int, deque[int]] = {}
        for position, (number, _) in enumerate(requests):
            waiting.setdefault(number % len(self._workers), deque()).append(position)
        found: dict[int, Reply] = {}
        poll = select.poll()
        by_reply = {}
        for which, positions in waiting.items():
            worker = self._workers[which]
            by_reply[worker.replies] = worker, positions
            poll.register(worker.replies, select.POLLIN)
            _send(worker.requests, requests[positions[0]][1])
        while by_reply:
            for descriptor, _ in poll.poll():
                worker, positions = by_reply[descriptor]
                found[positions.popleft()] = _good(_answer_of(worker))
                done(len(found))
                if positions:
                    _send(worker.requests, requests[positions[0]][1])
                else:
                    poll.unregister(descriptor)
                    del by_reply[descriptor]
        return [found[position] for position in range(len(requests))]

    def close(self) -> None:
        """End the workers, also those that are at work."""
        for worker in self._workers:
            os.close(worker.requests)
            os.close(worker.replies)
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
        self._workers = []

    def _start(self) -> None:
        gc.freeze()  # what is there stays: a worker that looks for garbage must not copy it
        for _ in range(self._count):
            theirs, requests = os.pipe()
            replies, answers = os.pipe()
            pid = os.fork()
            if pid == 0:
                for descriptor in [requests, replies, *(d for w in self._workers for d in (w.requests, w.replies))]:
                    os.close(descriptor)
                _as_a_worker(partial(self._serve, theirs, answers))
            os.close(theirs)
            os.close(answers)
            self._workers.append(_Worker(pid, requests, replies))

    def _serve(self, requests: int, replies: int) -> None:
        while (data := _read(requests)) is not None:
            _send(replies, _answered(partial(self._answer, pickle.loads(data))))


class Beside(Generic[Reply]):
    """One call, made in a process of its own while this one goes on; where there is one processor, when it is needed.

    Args:
        call: what is called. What it changes is changed there only.
    """

    def __init__(self, call: Callable[[], Reply]) -> None:
        self._call = call
        self._worker: _Worker | None = None
        if (os.cpu_count() or 1) > 1:
            gc.freeze()
            replies, answers = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(replies)
                _as_a_worker(lambda: _send(answers, _answered(call)))
            os.close(answers)
            self._worker = _Worker(pid, -1, replies)

    def end(self) -> None:
        """Nobody waits for it any more: if it is not over it is ended. In the place of :meth:`result`."""
        if self._worker is not None:
            worker, self._worker = self._worker, None
            os.kill(worker.pid, signal.SIGTERM)
            os.close(worker.replies)
            os.waitpid(worker.pid, 0)

    def result(self) -> Reply:
        """What it returned, or raised. May be asked once; if this process is interrupted meanwhile, it is ended."""
        if self._worker is None:
            return self._call()
        try:
            answer = _answer_of(self._worker)
        except BaseException:
            self.end()
            raise
        worker, self._worker = self._worker, None
        os.close(worker.replies)
        os.waitpid(worker.pid, 0)
        result: Reply = _good(answer)
        return result


def _as_a_worker(work: Callable[[], None]) -> NoReturn:
    """The life of a process that was forked for this work."""
    try:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        work()
    finally:
        os._exit(0)


def _answered(call: Callable[[], object]) -> tuple[bool, object]:
    """What a call returned, or False and what it raised."""
    try:
        return True, call()
    except Exception as error:
        if not isinstance(error, UpstareError):
            error.add_note(traceback.format_exc())
        return False, error


def _answer_of(worker: _Worker) -> tuple[bool, Any]:
    """What a worker sent (:func:`_answered`)."""
    data = _read(worker.replies)
    if data is None:
        raise UpstareError("a process of this build ended before its work was done", hint="is there enough memory?")
    answer: tuple[bool, Any] = pickle.loads(data)
    return answer


def _good(answer: tuple[bool, Any]) -> Any:
    """The answer; what was raised is raised here."""
    good, reply = answer
    if not good:
        raise reply
    return reply


def _send(descriptor: int, content: object) -> None:
    data = pickle.dumps(content)
    view = memoryview(_LENGTH.pack(len(data)) + data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except BrokenPipeError:  # it is gone: who waits for its answer sees that, too
        pass


def _read(descriptor: int) -> bytes | None:
    """The next message; None if there is no other side."""
    header = _exactly(descriptor, _LENGTH.size)
    return _exactly(descriptor, _LENGTH.unpack(header)[0]) if header is not None else None


def _exactly(descriptor: int, size: int) -> bytes | None:
    chunks: list[bytes] = []
    while size:
        chunk = os.read(descriptor, min(size, 1 << 20))
        if not chunk:
            return None
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)
