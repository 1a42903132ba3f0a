"""The example under load: updated, rolled back, a hundred times, and in the storm; every reply is checked."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from examples.kvload import Load, LoadReport
from tests.support import tool
from tests.support.build import Builder
from tests.support.process import Program, free_port, server, storms


def ask(port: int, *requests: str) -> list[str]:
    """Replies to requests on a connection of their own."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile("rw") as stream:
        stream.write("".join(f"{request}\n" for request in requests))
        stream.flush()
        return [stream.readline().rstrip("\n") for _ in requests]


def check_lossless(report: LoadReport, program: Program) -> None:
    """Every request got the right reply and the server lives."""
    assert report.errors == [], f"{report.errors[:5]}\n{program.log()}"
    assert report.failed == 0
    assert report.sent == report.by_version.total()
    assert program.poll() is None, program.log()


def check_times(data: dict[str, Any]) -> None:
    """The report of an update has every figure of the contract."""
    for name in ("load_us", "stop_us", "transform_us", "resume_us", "pause_us"):
        assert data[name] is not None and data[name] >= 0, name
    [process] = data["processes"]
    assert process["threads"] >= 10  # main, the expirer, and a thread for each connection
    assert process["frames"] >= process["threads"]


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_serves_as_the_plain_program(kvserver: Builder, version: str) -> None:
    port = free_port()
    with server([kvserver(version), "-p", str(port)], port) as program:
        with Load(port, connections=8, rate=1000) as load:
            load.wait_for_replies(1000)
        check_lossless(load.report, program)
        assert set(load.report.by_version) == {version.removeprefix("v")}
        program.child.terminate()
        assert program.wait() == 0


def test_update_rollback_update(kvserver: Builder, tmp_path: Path) -> None:
    patch = tmp_path / "2.upatch"
    tool.expect(tool.patch(kvserver("v1"), kvserver("v2"), patch))
    port = free_port()
    journal = tmp_path / "journal"
    with server([kvserver("v1"), "-p", str(port), "-j", str(journal)], port) as program:
        with Load(port, connections=8, rate=600) as load:
            load.wait_for_replies(300, "1")
            assert ask(port, "INCR n 5") == ["KV/1 ERROR unknown command"]
            check_times(tool.expect(tool.apply(patch, program.pid), outcome="updated"))
            load.wait_for_replies(300, "2")
            assert ask(port, "INCR n 5", "INCR n 2", "SESSION")[:2] == ["KV/2 VALUE 5", "KV/2 VALUE 7"]
            check_times(tool.expect(tool.rollback(program.pid), outcome="updated"))
            load.wait_for_replies(300, "1")
            assert ask(port, "INCR n 5", "GET n") == ["KV/1 ERROR unknown command", "KV/1 VALUE 7"]
            check_times(tool.expect(tool.apply(patch, program.pid), outcome="updated"))
            load.wait_for_replies(300, "2")
            [entry] = tool.expect(tool.status(program.pid))["processes"]
            assert [update["outcome"] for update in entry["history"]] == ["updated", "rolled_back", "updated"]
        check_lossless(load.report, program)
        assert all(versions == ["1", "2", "1", "2"] for versions in load.report.versions_per_connection)
        assert journal.read_text().count("\n") > 300


def test_structs_grow(kvserver: Builder, tmp_path: Path) -> None:
    second, third = tmp_path / "2.upatch", tmp_path / "3.upatch"
    tool.expect(tool.patch(kvserver("v1"), kvserver("v2"), second))
    tool.expect(tool.patch(kvserver("v2"), kvserver("v3"), third))
    port = free_port()
    with server([kvserver("v1"), "-p", str(port)], port) as program:
        with Load(port, connections=8, rate=600) as load:
            load.wait_for_replies(300, "1")
            tool.expect(tool.apply(second, program.pid), outcome="updated")
            load.wait_for_replies(300, "2")
            before = [ask(port, "STATS")[0], str(load.report.sent)]
            data = tool.expect(tool.apply(third, program.pid), outcome="updated")
            assert data["processes"][0]["moved_objects"] >= 1
            load.wait_for_replies(300, "3")
            [after] = ask(port, "STATS")
        check_lossless(load.report, program)
        requests = [int(found) for line in (before[0], after) for found in re.findall(r"requests=(\d+)", line)]
        assert requests[0] > 600 and requests[1] >= requests[0] + 300, (before, after)
        hits, bytes_in = (int(re.findall(rf"\b{name}=(\d+)", after)[0]) for name in ("hits", "in"))
        assert hits > 0 and bytes_in > 0


def test_a_hundred_updates(kvserver: Builder, tmp_path: Path) -> None:
    patch = tmp_path / "2.upatch"
    tool.expect(tool.patch(kvserver("v1"), kvserver("v2"), patch))
    port = free_port()
    with server([kvserver("v1"), "-p", str(port)], port) as program:
        with Load(port, connections=12, rate=500, visitors=2) as load:
            for _ in range(50):
                tool.expect(tool.apply(patch, program.pid), outcome="updated")
                load.wait_for_replies(10, "2")
                tool.expect(tool.rollback(program.pid), outcome="updated")
                load.wait_for_replies(10, "1")
        check_lossless(load.report, program)
        [entry] = tool.expect(tool.status(program.pid))["processes"]
        assert entry["version"] == "v1"
        assert all(set(versions) == {"1", "2"} for versions in load.report.versions_per_connection)


@pytest.mark.parametrize("every", [1, 7, 1000])
def test_serves_the_same_bytes_in_the_storm(kvserver: Builder, tmp_path: Path, every: int) -> None:
    port = free_port()
    log = tmp_path / "storm.log"
    storm = {"UPSTARE_STORM": str(every), "UPSTARE_STORM_LOG": str(log)}
    with server([kvserver("v2"), "-p", str(port)], port, env=storm) as program:
        with Load(port, connections=8, rate=300) as load:
            load.wait_for_replies(1500, seconds=120)
        check_lossless(load.report, program)
        program.child.terminate()
        assert program.wait() == 0
    assert storms(log) > 5000 / every


def test_updates_in_the_storm(kvserver: Builder, tmp_path: Path) -> None:
    patch = tmp_path / "2.upatch"
    tool.expect(tool.patch(kvserver("v1"), kvserver("v2"), patch))
    port = free_port()
    with server([kvserver("v1"), "-p", str(port)], port, env={"UPSTARE_STORM": "50"}) as program:
        with Load(port, connections=8, rate=200) as load:
            for _ in range(5):
                tool.expect(tool.apply(patch, program.pid), outcome="updated")
                load.wait_for_replies(50, "2")
                tool.expect(tool.rollback(program.pid), outcome="updated")
                load.wait_for_replies(50, "1")
        check_lossless(load.report, program)
