"""The example itself, without UpStare: every version serves the load, and does what its README line says."""

from __future__ import annotations

import os
import socket

import pytest

from examples.kvload import Load
from tests.support.build import Builder
from tests.support.process import free_port, server


def ask(port: int, *requests: str) -> list[str]:
    """Replies to requests on a connection of their own."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile("rw") as stream:
        stream.write("".join(f"{request}\n" for request in requests))
        stream.flush()
        return [stream.readline().rstrip("\n") for _ in requests]


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_serves(kvserver: Builder, version: str) -> None:
    tag = version.removeprefix("v")
    port = free_port()
    with server([kvserver(version, updateable=False), "-p", str(port)], port) as program:
        with Load(port, connections=8, rate=1000) as load:
            load.wait_for_replies(1000)
        report = load.report
        assert report.errors == []
        assert report.failed == 0
        assert set(report.by_version) == {tag}
        assert ask(port, "SET a b c", "GET a", "NONSENSE", "SET a", "VERSION", "QUIT") == [
            f"KV/{tag} OK",
            f"KV/{tag} VALUE b c",
            f"KV/{tag} ERROR unknown command",
            f"KV/{tag} ERROR SET takes 2 arguments",
            f"KV/{tag} VERSION {tag}",
            f"KV/{tag} BYE",
        ]
        os.kill(program.pid, 15)
        assert program.wait() == 0
