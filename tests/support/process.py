"""Programs under test: started, watched line by line, ended. Every wait polls with a deadline."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.support.tool import environment
from upstare.driver import elf

DEADLINE = 20.0


def wait_until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
    """Returns when the condition holds; an AssertionError names what did not come within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.005)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, process: Program, seconds: float = DEADLINE) -> None:
    """Returns when the process listens on the port."""

    def listens() -> bool:
        assert process.poll() is None, f"ended with {process.poll()} before it listened:\n{process.log()}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, f"a listener on port {port}", seconds)


class Program:
    """A child with its input open and its output kept, line by line, in the order it came."""

    def __init__(
        self,
        command: Sequence[str | Path],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        user: int | None = None,
    ) -> None:
        self.child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(**(env or {})),
            cwd=cwd,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
        self.pid = self.child.pid
        self.lines: list[str] = []
        self._partial = b""
        self._ended = False
        os.set_blocking(self._output.fileno(), False)

    @property
    def _output(self) -> IO[bytes]:
        assert self.child.stdout is not None
        return self.child.stdout

    def drain(self) -> None:
        """Takes in all output that is there, without waiting."""
        while not self._ended:
            try:
                data = os.read(self._output.fileno(), 1 << 16)
            except BlockingIOError:
                return
            self._ended = not data
            *whole, self._partial = (self._partial + data).split(b"\n")
            self.lines += [line.decode(errors="replace") for line in whole]

    def log(self) -> str:
        """All output so far."""
        self.drain()
        return "\n".join([*self.lines, self._partial.decode(errors="replace")])

    def send(self, text: str) -> None:
        """Writes to the program's input."""
        assert self.child.stdin is not None
        self.child.stdin.write(text.encode())
        self.child.stdin.flush()

    def close_input(self) -> None:
        """The program reads an end of file from now on."""
        assert self.child.stdin is not None
        self.child.stdin.close()

    def expect(self, pattern: str, start: int = 0, seconds: float = DEADLINE) -> int:
        """Waits for a line from index ``start`` on that contains the pattern; the index after it."""
        deadline = time.monotonic() + seconds
        seen = start
        while True:
            self.drain()
            for index in range(seen, len(self.lines)):
                if re.search(pattern, self.lines[index]):
                    return index + 1
            seen = max(seen, len(self.lines))
            assert not self._ended, f"no line {pattern!r}; ended with {self.child.wait()}:\n{self.log()}"
            left = deadline - time.monotonic()
            assert left > 0, f"no line {pattern!r} within {seconds:g} s:\n{self.log()}"
            select.select([self._output], [], [], left)

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        return self.child.poll()

    def wait(self, seconds: float = DEADLINE) -> int:
        """The exit status, when it has ended by itself; its output is complete then."""

        def ended() -> bool:
            self.drain()
            return self.child.poll() is not None

        wait_until(ended, f"end of {self.child.args!r}", seconds)
        self.drain()
        return self.child.returncode

    def stop(self) -> None:
        """Ends it, if it has not ended."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL)
        self.child.wait()
        self.drain()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def storms(log: Path) -> int:
    """How many times stacks were taken down and built again so far, by the log that UPSTARE_STORM_LOG named."""
    return sum(int(found) for found in re.findall(r"\bstorms (\d+)", log.read_text()))


def make_twin(program: Path) -> None:
    """What the storm has made when a program starts is there, so that the start does not take as long as compiling."""
    maker = elf.read_section(program, elf.SECTION_MAKER) if program.is_file() else None
    if maker is not None:
        words = [os.fsdecode(word) for word in maker.split(b"\0")[1:-1]]
        subprocess.run([*words, program], env=environment(), stdout=subprocess.DEVNULL, check=True)


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    user: int | None = None,
) -> Iterator[Program]:
    """A program for the length of a block."""
    if env is not None and "UPSTARE_STORM" in env:
        make_twin(Path(command[0]))
    program = Program(command, cwd, env, user)
    try:
        yield program
    finally:
        program.stop()


@contextlib.contextmanager
def server(
    command: Sequence[str | Path],
    port: int,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    user: int | None = None,
) -> Iterator[Program]:
    """A server that listens on a port, for the length of a block. ``user``: another one than ours, which takes root."""
    with running(command, cwd, env, user) as program:
        wait_for_port(port, program)
        yield program
