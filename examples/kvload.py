"""Load for the key-value server: connections that stay open, connections that come and go, every reply checked.

Each connection works on keys of its own, so it knows what every reply must be; a reply that is late, missing or wrong
is a failed request. Replies carry the server's version ("KV/2 OK"), which is counted.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

REPLY_DEADLINE = 30.0
LINE_LIMIT = 1 << 16


@dataclass
class LoadReport:
    """What a load did.

    Attributes:
        sent: requests sent.
        failed: requests whose reply was wrong or did not come.
        by_version: good replies by the version in them.
        errors: what went wrong, at most a few dozen sentences.
        longest: the longest time that any reply took, in seconds.
        seconds: how long the load ran.
        versions_per_connection: for each connection that stayed open, the versions in the order they were first seen.
    """

    sent: int = 0
    failed: int = 0
    by_version: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    longest: float = 0.0
    seconds: float = 0.0
    versions_per_connection: list[list[str]] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.sent / self.seconds if self.seconds else 0.0


class BadReply(Exception):
    """A reply that the request does not allow."""


class _Client:
    """One connection, with a model of what the server must know of its keys."""

    def __init__(self, name: str, port: int, report: LoadReport, seed: int) -> None:
        self.name = name
        self.port = port
        self.report = report
        self.random = random.Random(seed)
        self.model: dict[str, str] = {}
        self.versions: list[str] = []
        self.serial = 0

    async def connect(self) -> None:
        self.reader, self.writer = await asyncio.wait_for(
            asyncio.open_connection("127.0.0.1", self.port, limit=LINE_LIMIT), REPLY_DEADLINE
        )

    def request(self) -> tuple[str, Callable[[str], bool]]:
        """A request and a check of its reply; the model is as after the request."""
        key = f"{self.name}:{self.random.randrange(20)}"
        kind = self.random.random()
        if kind < 0.40:
            self.serial += 1
            value = f"{self.serial} " + "v" * self.random.choice((3, 40, 900))
            self.model[key] = value
            return f"SET {key} {value}", lambda reply: reply == "OK"
        if kind < 0.80:
            expected = f"VALUE {self.model[key]}" if key in self.model else "NONE"
            return f"GET {key}", lambda reply: reply == expected
        if kind < 0.90:
            expected = "OK" if self.model.pop(key, None) is not None else "NONE"
            return f"DEL {key}", lambda reply: reply == expected
        if kind < 0.96:
            return "STATS", lambda reply: reply.startswith("STATS open=")
        return "VERSION", lambda reply: reply.startswith("VERSION ")

    async def exchange(self, requests: list[tuple[str, Callable[[str], bool]]]) -> None:
        """Sends requests in one write and checks their replies."""
        begin = time.monotonic()
        self.report.sent += len(requests)
        missing = len(requests)
        try:
            self.writer.write("".join(f"{text}\n" for text, _ in requests).encode())
            await asyncio.wait_for(self.writer.drain(), REPLY_DEADLINE)
            for text, good in requests:
                line = await asyncio.wait_for(self.reader.readline(), REPLY_DEADLINE)
                if not line.endswith(b"\n"):
                    raise BadReply(f"{self.name}: the connection ended in the reply to {text[:60]!r}: {line[:60]!r}")
                tag, _, reply = line.decode().rstrip("\n").partition(" ")
                if not tag.startswith("KV/") or not good(reply):
                    raise BadReply(f"{self.name}: {text[:60]!r} was answered {line[:60]!r}")
                missing -= 1
                version = tag.removeprefix("KV/")
                self.report.by_version[version] += 1
                if not self.versions or self.versions[-1] != version:
                    self.versions.append(version)
        finally:
            self.report.failed += missing
            self.report.longest = max(self.report.longest, time.monotonic() - begin)


class Load:
    """A load that runs in a thread of its own, from ``start`` to ``stop``.

    Args:
        port: of the server on the loopback address.
        connections: how many stay open all the time.
        rate: requests per second over all of them; None: as fast as it goes.
        visitors: how many more come, ask a little, and go, over and over.
    """

    def __init__(
        self, port: int, connections: int = 8, rate: float | None = 600.0, visitors: int = 1, seed: int = 1
    ) -> None:
        self.port = port
        self.connections = connections
        self.rate = rate
        self.visitors = visitors
        self.seed = seed
        self.report = LoadReport()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Load:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the load; returns when the first reply has come."""
        self._thread.start()
        self.wait_for(lambda report: bool(report.by_version) or bool(report.errors), 30.0, "a first reply")

    def stop(self) -> LoadReport:
        """Ends the load after the replies to all requests that are under way; returns the report."""
        self._stopping.set()
        self._thread.join()
        return self.report

    def wait_for(self, condition: Callable[[LoadReport], bool], seconds: float, what: str) -> None:
        """Returns when the condition holds; raises TimeoutError if it does not within the time."""
        deadline = time.monotonic() + seconds
        while not condition(self.report):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {what} within {seconds:g} s; errors: {self.report.errors[:3]}")
            time.sleep(0.005)

    def wait_for_replies(self, more: int, version: str | None = None, seconds: float = 30.0) -> None:
        """Returns when that many more good replies (of this version) have come."""

        def count(report: LoadReport) -> int:
            return report.by_version[version] if version else report.by_version.total()

        goal = count(self.report) + more
        self.wait_for(lambda report: count(report) >= goal or bool(report.errors), seconds, f"{more} more replies")

    def _run(self) -> None:
        begin = time.monotonic()
        asyncio.run(self._main())
        self.report.seconds = time.monotonic() - begin

    async def _main(self) -> None:
        stayers = [_Client(f"c{i}", self.port, self.report, seed=self.seed * 1000 + i) for i in range(self.connections)]
        tasks = [self._guard(self._stay(client, i)) for i, client in enumerate(stayers)]
        tasks += [self._guard(self._visit(i)) for i in range(self.visitors)]
        await asyncio.gather(*tasks)
        self.report.versions_per_connection = [client.versions for client in stayers]

    async def _guard(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except (OSError, BadReply, TimeoutError, ValueError) as error:
            self.report.errors.append(f"{type(error).__name__}: {error}")

    async def _stay(self, client: _Client, index: int) -> None:
        await client.connect()
        interval = self.connections / self.rate if self.rate else 0.0
        due = time.monotonic() + interval * index / max(self.connections, 1)
        while not self._stopping.is_set():
            burst = 8 if client.random.random() < 0.05 else 1
            if interval:
                due += interval * burst
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await client.exchange([client.request() for _ in range(burst)])
        await client.exchange([("QUIT", lambda reply: reply == "BYE")])
        client.writer.close()

    async def _visit(self, index: int) -> None:
        serial = 0
        while not self._stopping.is_set():
            serial += 1
            client = _Client(f"v{index}.{serial}", self.port, self.report, seed=serial)
            await client.connect()
            for _ in range(5):
                await client.exchange([client.request()])
                await asyncio.sleep(0.01 if self.rate else 0)
            await client.exchange([("QUIT", lambda reply: reply == "BYE")])
            client.writer.close()
