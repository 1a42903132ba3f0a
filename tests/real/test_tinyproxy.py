"""tinyproxy 1.11.1 takes Debian's security fixes while it runs, and says honestly what stands against 1.11.3."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import tool
from tests.support.build import Builder
from tests.support.process import storms, wait_until
from tests.support.tinyproxy import CRASH_HEADERS, FIXED, NEXT, RELEASED, ProxyLoad, Report, raw_request, running_proxy

MEGABYTE = 1_000_000
SIZES = [size * MEGABYTE for size in (20, 22, 24, 26, 28, 30, 32, 34)]


def all_beyond(bytes_each: int) -> Callable[[Report], bool]:
    """A condition on reports: every download has got that far."""
    return lambda report: all(got >= bytes_each for got in report.progress.values())


def test_the_request_ends_a_plain_proxy(tinyproxy: Builder, tmp_path: Path) -> None:
    with (
        running_proxy(tinyproxy(RELEASED, updateable=False), tmp_path) as (program, port),
        ProxyLoad(port, visitors=0) as load,
    ):
        raw_request(port, load.url("crash", 100), CRASH_HEADERS)
        wait_until(lambda: program.poll() is not None, "end of the plain proxy")
        assert "double free" in program.log()


def test_the_request_does_nothing_to_a_plain_fixed_proxy(tinyproxy: Builder, tmp_path: Path) -> None:
    with (
        running_proxy(tinyproxy(FIXED, updateable=False), tmp_path) as (program, port),
        ProxyLoad(port, visitors=0) as load,
    ):
        for _ in range(5):
            assert b" 200 OK" in raw_request(port, load.url("crash", 100), CRASH_HEADERS)
        assert program.poll() is None


def check_frames(status: dict[str, Any], version: str) -> None:
    """Every frame on every stack is of the version."""
    [process] = status["processes"]
    threads = process["threads_detail"]
    assert threads
    for thread in threads:
        for frame in thread["frames"]:
            assert frame["version"] == version, (thread, frame)


def test_takes_the_fixes_under_load(tinyproxy: Builder, tmp_path: Path) -> None:
    old, new = tinyproxy(RELEASED), tinyproxy(FIXED)
    patch = tmp_path / "fixes.upatch"
    tool.expect(tool.patch(old, new, patch))
    with running_proxy(old, tmp_path) as (program, port), ProxyLoad(port, SIZES, visitors=4) as load:
        load.wait_for(all_beyond(MEGABYTE), "a megabyte of each download")
        load.wait_for(lambda report: report.requests > 50, "50 short requests")
        requests = load.report.requests
        assert all(load.report.progress[name] < size / 2 for name, size in load.downloads.items())

        applied = tool.expect(tool.apply(patch, program.pid), outcome="updated")
        [process] = applied["processes"]
        assert process["pid"] == program.pid
        assert process["threads"] >= 9  # main and a thread for each download

        reached = max(load.report.progress.values()) + MEGABYTE
        load.wait_for(all_beyond(reached), "a megabyte more of each download")
        assert all(load.report.progress[name] < size for name, size in load.downloads.items())
        load.wait_for(lambda report: report.requests > requests + 50, "50 more short requests")

        status = tool.expect(tool.status(program.pid))
        [entry] = status["processes"]
        assert entry["version"] == FIXED.name
        check_frames(status, FIXED.name)

        for _ in range(5):
            assert b" 200 OK" in raw_request(port, load.url("crash", 100), CRASH_HEADERS)
        load.release()
        load.wait_for(lambda report: report.downloads == len(SIZES), "the end of the downloads")
        report = load.stop()
        assert report.errors == []
        assert report.failed == 0
        assert report.downloads == len(SIZES)
        assert program.poll() is None


@pytest.mark.parametrize("every", [1, 7, 1000])
def test_serves_the_same_bytes_under_the_storm(tinyproxy: Builder, tmp_path: Path, every: int) -> None:
    sizes = [2 * MEGABYTE] * 3
    log = tmp_path / "storm.log"
    storm = {"UPSTARE_STORM": str(every), "UPSTARE_STORM_LOG": str(log)}
    with (
        running_proxy(tinyproxy(RELEASED), tmp_path, env=storm) as (program, port),
        ProxyLoad(port, sizes, visitors=3, pace=1e9) as load,
    ):
        load.wait_for(lambda report: report.requests > 100 and report.downloads == 3, "100 requests", 300)
        report: Report = load.stop()
        assert report.errors == []
        program.child.terminate()
        assert program.wait() == 0, program.log()
    assert storms(log) > 3000 / every


def test_names_what_stands_against_the_next_release(tinyproxy: Builder, tmp_path: Path) -> None:
    out = tmp_path / "next.upatch"
    result = tool.patch(tinyproxy(RELEASED), tinyproxy(NEXT), out)
    assert result.exit_code == 3, result
    text = result.out + result.err
    assert re.search(r"\bconfigs\b", text), text
    assert re.search(r"\bhashofheaders\b", text), text
    assert re.search(r"main\.c:\d+", text), text
    assert not out.exists()
