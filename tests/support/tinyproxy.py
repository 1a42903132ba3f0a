"""tinyproxy: built from Debian's sources, run, and loaded from both sides.

The load is an origin server with large files, clients that download them slowly through the proxy, and clients that
come with new short requests all the time; every body is checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.build import run_build
from tests.support.process import Program, free_port, server
from tests.support.source import unpack_or_skip
from tests.support.tool import UPSTARE_CC

#: Leaves a plain 1.11.1 dead of a double free; see CVE-2023-49606.
CRASH_HEADERS = "Connection: close, connection, x\r\n"

REQUEST_DEADLINE = 60.0
SLOW_CHUNK = 16 << 10


@dataclass(frozen=True)
class Version:
    """A tinyproxy to build: the suite it is taken from, and whether Debian's patches are applied."""

    name: str
    suite: str
    debian_patches: bool = False


RELEASED = Version("1.11.1", "bookworm")
FIXED = Version("1.11.1-fixed", "bookworm", debian_patches=True)
NEXT = Version("1.11.3", "sid")


def build_tinyproxy(version: Version, directory: Path, updateable: bool = True, **env: str) -> Path:
    """The executable of a version, built as its users build it. Skips the test if the source is not to be had."""
    place = unpack_or_skip("tinyproxy", version.suite, directory / version.name, version.debian_patches)
    compiler = UPSTARE_CC if updateable else "cc"
    if not (place / "configure").exists():
        run_build(["autoreconf", "-fi"], place)
    env = {"CC": compiler, "CFLAGS": "-O2 -g", "UPSTARE_VERSION": version.name, **env}
    run_build(["./configure", "--disable-manpage_support"], place, **env)
    run_build(["make", "-j2"], place, **env)
    return place / "src" / "tinyproxy"


@contextlib.contextmanager
def running_proxy(
    executable: Path, directory: Path, log_level: str = "Info", env: Mapping[str, str] | None = None
) -> Iterator[tuple[Program, int]]:
    """The proxy in the foreground, and its port, for the length of a block."""
    port = free_port()
    config = directory / f"tinyproxy-{port}.conf"
    config.write_text(
        f"Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 600\nMaxClients 200\n"
        f'LogFile "{directory}/tinyproxy-{port}.log"\nLogLevel {log_level}\n'
    )
    with server([executable, "-d", "-c", config], port, cwd=directory, env=env) as program:
        yield program, port


@functools.lru_cache(maxsize=256)
def content(name: str, size: int) -> bytes:
    """The bytes of the origin's file of this name and size."""
    return hashlib.shake_128(name.encode()).digest(size)


def raw_request(proxy: int, url: str, headers: str = "", seconds: float = 10.0) -> bytes:
    """All bytes that the proxy answers to one request; b"" if it closes the connection or is gone."""
    request = f"GET {url} HTTP/1.1\r\nHost: {url.split('/')[2]}\r\n{headers}\r\n"
    with socket.create_connection(("127.0.0.1", proxy), timeout=seconds) as connection:
        connection.sendall(request.encode())
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(1 << 16):
                answer += data
        return answer


@dataclass
class Report:
    """What the load saw."""

    requests: int = 0
    failed: int = 0
    downloads: int = 0
    errors: list[str] = field(default_factory=list)
    longest: float = 0.0
    progress: dict[str, int] = field(default_factory=dict)


class ProxyLoad:
    """An origin and its clients, in a thread of their own, from ``start`` to ``stop``.

    Args:
        proxy: port of the proxy; None: the clients ask the origin directly.
        downloads: sizes in bytes of the files that are downloaded slowly, one client each.
        visitors: how many clients send short requests, one connection for each request.
        pause: seconds between the short requests of one client.
        pace: bytes per second of each download until ``release``.
    """

    def __init__(
        self,
        proxy: int | None,
        downloads: list[int] | None = None,
        visitors: int = 4,
        pause: float = 0.02,
        pace: float = 1e6,
        small: int = 3000,
    ) -> None:
        self.proxy = proxy
        self.downloads = {f"large{i}": size for i, size in enumerate(downloads or [])}
        self.visitors = visitors
        self.pause = pause
        self.pace = pace
        self.small = small
        self.report = Report(progress=dict.fromkeys(self.downloads, 0))
        self.origin = 0
        self._released = threading.Event()
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="proxy-load", daemon=True)

    def __enter__(self) -> ProxyLoad:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self.stop()

    def start(self) -> None:
        """Starts origin and clients; returns when the origin listens."""
        for name, size in self.downloads.items():
            content(name, size)  # made now, so that the load's own thread does not stand still for it
        self._thread.start()
        assert self._ready.wait(20), "the origin did not start"

    def release(self) -> None:
        """Lets the downloads go on as fast as they can."""
        self._released.set()

    def stop(self) -> Report:
        """Ends the short requests, waits for the downloads; returns the report."""
        self._stopping.set()
        self._thread.join()
        return self.report

    def wait_for(self, condition: Callable[[Report], bool], what: str, seconds: float = 60.0) -> None:
        """Returns when the condition holds or something failed; an AssertionError after the time."""
        deadline = time.monotonic() + seconds
        while not condition(self.report) and not self.report.errors:
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
            time.sleep(0.005)

    def url(self, name: str, size: int) -> str:
        """Where the origin has a file."""
        return f"http://127.0.0.1:{self.origin}/{name}/{size}"

    async def _main(self) -> None:
        origin = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self.origin = origin.sockets[0].getsockname()[1]
        self._ready.set()
        async with origin:
            work = [self._guard(self._download(name, size)) for name, size in self.downloads.items()]
            work += [self._guard(self._visit(i)) for i in range(self.visitors)]
            await asyncio.gather(*work)
            while not self._stopping.is_set():
                await asyncio.sleep(0.01)

    async def _guard(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except (OSError, AssertionError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            self.report.failed += 1
            self.report.errors.append(f"{type(error).__name__}: {error}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            _, name, size = head.split()[1].decode().split("/")
            body = content(name, int(size))
            writer.write(f"HTTP/1.0 200 OK\r\nContent-Length: {size}\r\nContent-Type: text/plain\r\n\r\n".encode())
            for begin in range(0, len(body), 1 << 16):
                writer.write(body[begin : begin + (1 << 16)])
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

    async def _get(self, url: str, receive_buffer: int = 0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, int]:
        """An answer with its head read: the stream, and the length of the body."""
        wire = socket.socket()
        wire.setblocking(False)
        if receive_buffer:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(wire, ("127.0.0.1", self.proxy or self.origin))
        reader, writer = await asyncio.open_connection(sock=wire, limit=1 << 17)
        writer.write(f"GET {url} HTTP/1.0\r\nHost: 127.0.0.1:{self.origin}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert " 200 " in head.splitlines()[0], f"{url}: {head.splitlines()[0]}"
        [length] = [line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length:")]
        return reader, writer, int(length)

    async def _download(self, name: str, size: int) -> None:
        reader, writer, length = await asyncio.wait_for(self._get(self.url(name, size), 64 << 10), REQUEST_DEADLINE)
        assert length == size, f"{name}: the answer has {length} bytes instead of {size}"
        digest = hashlib.sha256()
        begin = time.monotonic()
        got = 0
        while got < size:
            data = await asyncio.wait_for(reader.read(SLOW_CHUNK), REQUEST_DEADLINE)
            assert data, f"{name}: ended after {got} of {size} bytes"
            digest.update(data)
            got += len(data)
            self.report.progress[name] = got
            if not self._released.is_set():
                await asyncio.sleep(max(0.0, begin + got / self.pace - time.monotonic()))
        assert digest.digest() == hashlib.sha256(content(name, size)).digest(), f"{name}: wrong bytes"
        writer.close()
        self.report.downloads += 1

    async def _visit(self, index: int) -> None:
        serial = 0
        while not self._stopping.is_set():
            serial += 1
            name = f"small{index}.{serial % 50}"
            begin = time.monotonic()
            self.report.requests += 1
            body = await asyncio.wait_for(self._small(name), REQUEST_DEADLINE)
            assert body == content(name, self.small), f"{name}: wrong bytes"
            self.report.longest = max(self.report.longest, time.monotonic() - begin)
            await asyncio.sleep(self.pause)

    async def _small(self, name: str) -> bytes:
        reader, writer, length = await self._get(self.url(name, self.small))
        body = await reader.readexactly(length)
        rest = await reader.read()
        writer.close()
        assert not rest, f"{name}: {len(rest)} bytes too many"
        return body
