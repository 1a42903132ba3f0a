"""The pre-forking example: a master and 32 workers, updated as one under traffic, while workers die and are forked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from examples.preforkload import Client
from tests.stress import trees
from tests.support import tool
from tests.support.build import Builder
from tests.support.process import free_port, server
from upstare.coordinator.apply import Transition, apply

WORKERS = 32


@pytest.fixture(scope="module")
def patches(prefork: Builder, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The patch to each version but the first."""
    return trees.make_patches(
        {version: prefork(version) for version in trees.VERSIONS}, tmp_path_factory.mktemp("patch")
    )


@pytest.mark.parametrize("version", [*trees.VERSIONS, "v2.0"])
def test_serves(prefork: Builder, version: str) -> None:
    port = free_port()
    with server([prefork(version, updateable=False), "-p", str(port), "-w", "3"], port) as program:
        with Client(port, program.pid, version.removeprefix("v"), rest=0) as client:
            client.wait_replies(500)
        assert client.report.errors == []
        client.check_counts(lambda request: trees.ask(port, request))
        assert client.report.errors == []
        assert re.search(r"STATS workers=3 .* respawned=0$", trees.ask(port, "STATS"))
        program.child.terminate()
        assert program.wait() == 0, program.log()


@pytest.mark.parametrize("kills", [0, 5], ids=["workers-live", "workers-die"])
def test_tree_under_traffic(prefork: Builder, patches: Mapping[str, Path], kills: int) -> None:
    way = trees.steps(6)
    outcome = trees.run(prefork(way[0][0]), patches, way, WORKERS, kills)
    assert outcome.errors == []
    assert outcome.updates.total() == len(way)
    assert min(outcome.processes) >= WORKERS + 1 - outcome.killed


def test_what_is_new_works(prefork: Builder, patches: Mapping[str, Path]) -> None:
    port = free_port()
    with server([prefork("v1.0"), "-p", str(port), "-w", "4"], port) as program:
        with Client(port, program.pid, "1.0") as client:
            client.wait_replies(100)
        assert client.report.errors == []
        asked = {"TOP": r" TOP n\d+ \d+$", "SELF": r" SELF accepted=[1-9]\d* .* bytes=\d+", "RESET n1": " COUNT 0$"}
        known: set[str] = set()
        for version, more in (("v1.0", set[str]()), ("v1.1", {"TOP", "SELF"}), ("v1.2", {"RESET n1"})):
            if more:
                tool.expect(tool.upstare("apply", patches[version], "--pid", program.pid, "--tree"), outcome="updated")
            known |= more
            for command, reply in asked.items():
                said = trees.ask(port, command)
                assert said.startswith(f"PF/{version[1:]} ")
                assert re.search(reply if command in known else "ERROR unknown command", said), said
        program.child.terminate()
        assert program.wait() == 0
        assert "prefork 1.2 stops" in program.log()


def test_one_after_the_other_is_seen(
    prefork: Builder, patches: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the other tests look for is found where the processes are updated one by one, if that is let happen."""
    port = free_port()
    with server([prefork("v1.0"), "-p", str(port), "-w", "4"], port) as program:
        with Client(port, program.pid, "1.0") as client:

            def work() -> bool:
                tool.expect(tool.apply(patches["v1.1"], program.pid), 3, "refused")
                monkeypatch.setattr(Transition, "verify_sharing", lambda self: None)
                for pid in [*client.workers(), program.pid]:
                    assert apply(patches["v1.1"], [pid]).outcome == "updated"
                return True

            client.update("1.1", work)
        assert any("sent after a reply of 1.1" in error for error in client.report.errors)


def test_shared_memory_of_another_type_is_refused(prefork: Builder, tmp_path: Path) -> None:
    out = tmp_path / "2.upatch"
    result = tool.patch(prefork("v1.2"), prefork("v2.0"), out)
    assert result.exit_code == 3
    assert re.search(r"struct board\b.*board\.c:\d+: mmap", result.out)
    assert not out.exists()
