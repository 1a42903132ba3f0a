"""Running other programs from the compiler driver, without the cost of importing :mod:`subprocess`.

A child inherits standard input, output and error unless told otherwise, so what the real compiler prints is what the
user sees, byte for byte and in its order.
"""

from __future__ import annotations

import os
import signal

from upstare.errors import UpstareError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import NoReturn


class Capture:
    """A file in memory for a child to write to."""

    def __init__(self, name: str) -> None:
        self.fd = os.memfd_create(name)

    def take(self) -> bytes:
        """What was written; the file is gone afterwards."""
        chunks: list[bytes] = []
        offset = 0
        while chunk := os.pread(self.fd, 1 << 20, offset):
            chunks.append(chunk)
            offset += len(chunk)
        os.close(self.fd)
        return b"".join(chunks)


class Child:
    """A program that was started. `wait` must be called once."""

    def __init__(self, words: Sequence[str], pid: int, output: Capture | None, errors: Capture | None) -> None:
        self.words = words
        self.pid = pid
        self.output = output
        self.errors = errors

    def wait(self) -> int:
        """The exit code; 128 plus the number of the signal if one ended the child."""
        while True:
            try:
                _, status = os.waitpid(self.pid, 0)
            except InterruptedError:
                continue
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code

    def wait_or_end(self) -> int:
        """As `wait`; if this process is interrupted meanwhile the child is ended, too."""
        try:
            return self.wait()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End the child, in the place of `wait`."""
        os.kill(self.pid, signal.SIGTERM)
        self.wait()


def start(
    words: Sequence[str],
    *,
    feed: bytes | None = None,
    capture: bool = False,
    capture_errors: bool = False,
    env: Mapping[str, str] | None = None,
) -> Child:
    """Start a program (looked up in PATH), its output and its errors captured or inherited.

    Its standard input is a file with the bytes ``feed`` (which it can also open as /dev/stdin), or inherited.

    Raises:
        UpstareError: it cannot be started.
    """
    source = _file(feed) if feed is not None else None
    output = Capture("output") if capture else None
    errors = Capture("errors") if capture_errors else None
    actions: list[tuple[int, int, int]] = []
    if source is not None:
        actions.append((os.POSIX_SPAWN_DUP2, source, 0))
    if output is not None:
        actions.append((os.POSIX_SPAWN_DUP2, output.fd, 1))
    if errors is not None:
        actions.append((os.POSIX_SPAWN_DUP2, errors.fd, 2))
    try:
        pid = os.posix_spawnp(words[0], list(words), os.environ if env is None else env, file_actions=actions)
    except OSError as error:
        raise UpstareError(f"cannot run {words[0]}: {error.strerror}") from error
    finally:
        if source is not None:
            os.close(source)
    return Child(words, pid, output, errors)


def _file(content: bytes) -> int:
    """A file in memory with these bytes."""
    fd = os.memfd_create("input")
    offset = 0
    while offset < len(content):
        offset += os.pwrite(fd, content[offset:], offset)
    return fd


def run(words: Sequence[str]) -> int:
    """Run a program that talks to the user; its exit code."""
    return start(words).wait()


def check(
    words: Sequence[str], purpose: str, *, feed: bytes | None = None, env: Mapping[str, str] | None = None
) -> bytes:
    """What a tool of ours prints on standard output. ``purpose`` completes "cannot ...".

    Raises:
        UpstareError: it fails; the message holds what it said.
    """
    child = start(words, feed=feed, capture=True, capture_errors=True, env=env)
    return finish(child, child.wait_or_end(), purpose)


def finish(child: Child, code: int, purpose: str) -> bytes:
    """The captured output of a child that ended with ``code``; raises like :func:`check`."""
    output = child.output.take() if child.output is not None else b""
    said = child.errors.take().decode(errors="replace").strip() if child.errors is not None else ""
    if code != 0:
        import shlex

        raise UpstareError(
            f"cannot {purpose}: {os.path.basename(child.words[0])} ended with {code}" + (f"\n{said}" if said else ""),
            hint=f"the command was: {shlex.join(child.words)}",
        )
    return output


def become(words: Sequence[str]) -> NoReturn:
    """Replace this process by a program (looked up in PATH)."""
    try:
        os.execvp(words[0], list(words))
    except OSError as error:
        raise UpstareError(f"cannot run {words[0]}: {error.strerror}") from error


class Scratch:
    """A directory of our own that is gone when the ``with`` block ends; UPSTARE_KEEP in the environment keeps it."""

    def __init__(self) -> None:
        root = os.environ.get("TMPDIR") or "/tmp"
        self.path = os.path.join(root, f"upstare-{os.getpid()}-{os.urandom(6).hex()}")

    def __enter__(self) -> str:
        try:
            os.mkdir(self.path, 0o700)
        except OSError as error:
            raise UpstareError(f"cannot make the directory {self.path}: {error.strerror}") from error
        return self.path

    def __exit__(self, *_: object) -> None:
        if os.environ.get("UPSTARE_KEEP"):
            return
        try:
            for entry in os.scandir(self.path):
                os.unlink(entry.path)
            os.rmdir(self.path)
        except OSError:  # there are directories in it
            import shutil

            shutil.rmtree(self.path, ignore_errors=True)


def remove(path: str | Path) -> None:
    """The file is not there (a directory or device stays)."""
    try:
        if os.path.isfile(path):
            os.unlink(path)
    except FileNotFoundError:
        pass
