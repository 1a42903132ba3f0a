"""One call in a process of its own."""

from __future__ import annotations

import os
import signal
import time
from functools import partial

import pytest

from upstare.errors import NotUpdatable, UpstareError
from upstare.workers import Beside


@pytest.fixture(params=[1, 2], autouse=True)
def processors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(os, "cpu_count", lambda: request.param)
    count: int = request.param
    return count


def test_the_result_comes_back_and_nothing_else(processors: int) -> None:
    changed: list[int] = []

    def call() -> tuple[int, bytes]:
        changed.append(1)
        return os.getpid(), bytes(1 << 20)

    pid, content = Beside(call).result()
    assert content == bytes(1 << 20)
    assert (pid == os.getpid(), changed == [1]) == (processors == 1, processors == 1)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_what_it_raises_is_raised_here() -> None:
    def refuse() -> None:
        raise NotUpdatable("this cannot be", hint="do that")

    with pytest.raises(NotUpdatable, match="this cannot be") as raised:
        Beside(refuse).result()
    assert raised.value.hint == "do that"


def test_an_end_before_the_answer_is_an_error(processors: int) -> None:
    if processors == 1:
        pytest.skip("it is no process of its own")
    with pytest.raises(UpstareError, match="ended before its work was done"):
        Beside(lambda: os.kill(os.getpid(), signal.SIGKILL)).result()


def test_what_nobody_waits_for_is_ended(processors: int) -> None:
    begin = time.monotonic()
    for seconds in (60, 0):
        beside = Beside(partial(time.sleep, seconds))
        if processors > 1 and seconds == 0:
            time.sleep(0.2)  # it is over
        worker = beside._worker
        assert (worker is not None) == (processors > 1)
        beside.end()
        if worker is not None:
            with pytest.raises(ChildProcessError):
                os.waitpid(worker.pid, os.WNOHANG)
        beside.end()  # once more is no harm
    assert time.monotonic() - begin < 10


def test_what_is_waited_for_ends_with_an_interrupt(processors: int) -> None:
    if processors == 1:
        pytest.skip("it is no process of its own")

    def interrupt(*_: object) -> None:
        raise InterruptedError("enough")

    beside = Beside(partial(time.sleep, 60))
    worker = beside._worker
    assert worker is not None
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(InterruptedError, match="enough"):
            beside.result()
    finally:
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(ChildProcessError):
        os.waitpid(worker.pid, os.WNOHANG)
