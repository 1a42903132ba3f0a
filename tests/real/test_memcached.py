"""memcached, whose loop is in a library (libevent): every reply to checked traffic is right under the storm."""

from __future__ import annotations

import concurrent.futures
from pathlib import Path

import pytest

from tests.support.build import run_build
from tests.support.memcached import MemcachedClient
from tests.support.process import free_port, server, storms
from tests.support.real import RealProgram, every_nth, needs_file, placements

CLIENTS = 6


def build(place: Path, compiler: str, env: dict[str, str]) -> None:
    env = {**env, "CC": compiler}
    run_build(["./configure"], place, **env)
    run_build(["make", "-j2", "memcached"], place, **env)


@pytest.fixture(scope="module")
def memcached(tmp_path_factory: pytest.TempPathFactory) -> RealProgram:
    needs_file("/usr/include/event.h", "libevent-dev")
    return RealProgram("memcached", "bookworm", tmp_path_factory.mktemp("memcached"), build)


def serve(port: int, rounds: int) -> None:
    """Several clients at once, each through its rounds."""

    def one(number: int) -> None:
        client = MemcachedClient(port, f"client{number}")
        client.work(rounds)
        client.close()

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, range(CLIENTS)))


@every_nth
@placements
def test_answers_under_the_storm(memcached: RealProgram, placement: str, every: int, tmp_path: Path) -> None:
    executable = memcached.built(placement) / "memcached"
    port = free_port()
    log = tmp_path / "storm.log"
    storm = {"UPSTARE_STORM": str(every), "UPSTARE_STORM_LOG": str(log)}
    command: list[str | Path] = [executable, "-p", str(port), "-l", "127.0.0.1", "-u", "root", "-t", "3", "-m", "128"]
    with server(command, port, cwd=tmp_path, env=storm) as program:
        serve(port, rounds=60)
        assert program.poll() is None, program.log()
        program.child.terminate()
        assert program.wait() == 0, program.log()
    assert storms(log) > 1000 // every


def test_the_client_finds_nothing_wrong_with_a_plain_server(memcached: RealProgram, tmp_path: Path) -> None:
    executable = memcached.built() / "memcached"
    port = free_port()
    with server([executable, "-p", str(port), "-l", "127.0.0.1", "-u", "root"], port, cwd=tmp_path):
        serve(port, rounds=60)
