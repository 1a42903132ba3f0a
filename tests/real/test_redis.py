"""redis: every reply to checked traffic is right under the storm, and what it saves is what was there."""

from __future__ import annotations

import concurrent.futures
from pathlib import Path

import pytest

from tests.support.build import run_build
from tests.support.process import free_port, server, storms, wait_until
from tests.support.real import RealProgram, every_nth, long, placements
from tests.support.redis import RedisClient

CLIENTS = 3


def build(place: Path, compiler: str, env: dict[str, str]) -> None:
    settings = ["MALLOC=libc", "OPTIMIZATION=-O2", "BUILD_TLS=no", "USE_SYSTEMD=no"]
    run_build(["make", "-j2", f"CC={compiler}", *settings, "redis-server"], place, **env)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> RealProgram:
    return RealProgram("redis", "bookworm", tmp_path_factory.mktemp("redis"), build)


def start(executable: Path, port: int) -> list[str | Path]:
    """The command of a server that saves only when asked and keeps a log of its changes."""
    return [executable, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]


def serve(port: int, rounds: int) -> None:
    """Several clients at once, and one that publishes to another."""

    def one(number: int) -> None:
        client = RedisClient(port, f"client{number}")
        client.work(rounds)
        client.close()

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, range(CLIENTS)))
    listener, speaker = RedisClient(port, "listener"), RedisClient(port, "speaker")
    listener.check([b"subscribe", b"news", 1], "SUBSCRIBE", "news")
    listener.check([b"psubscribe", b"n*", 2], "PSUBSCRIBE", "n*")
    for number in range(50):
        speaker.check(2, "PUBLISH", "news", number)
        assert listener.reply() == [b"message", b"news", b"%d" % number]
        assert listener.reply() == [b"pmessage", b"n*", b"news", b"%d" % number]
    listener.close()
    speaker.close()


def save(port: int) -> bytes:
    """Saves in a child and rewrites the log of changes; a digest of all data."""
    client = RedisClient(port, "saver")
    for command, wanted in (("BGSAVE", b"rdb_bgsave_in_progress:0"), ("BGREWRITEAOF", b"aof_rewrite_in_progress:0")):
        assert b"started" in client.ask(command)
        wait_until(lambda: wanted in client.ask("INFO", "persistence"), command, 120)  # noqa: B023
        status = client.ask("INFO", "persistence")
        assert b"rdb_last_bgsave_status:ok" in status and b"aof_last_bgrewrite_status:ok" in status
    digest: bytes = client.ask("DEBUG", "DIGEST")
    client.close()
    return digest


@long
@every_nth
@placements
def test_answers_and_saves_under_the_storm(redis: RealProgram, placement: str, every: int, tmp_path: Path) -> None:
    executable = redis.built(placement) / "src" / "redis-server"
    port = free_port()
    log = tmp_path / "storm.log"
    storm = {"UPSTARE_STORM": str(every), "UPSTARE_STORM_LOG": str(log)}
    command = [*start(executable, port), "--enable-debug-command", "yes"]
    with server(command, port, cwd=tmp_path, env=storm) as program:
        serve(port, rounds=2)
        digest = save(port)
        assert program.poll() is None, program.log()
        RedisClient(port).send("SHUTDOWN", "NOSAVE")
        assert program.wait() == 0, program.log()
    assert storms(log) > 10_000 // every
    with server(command, port, cwd=tmp_path, env=storm):  # what it saved is what it had
        client = RedisClient(port)
        wait_until(lambda: b"loading:0" in client.ask("INFO", "persistence"), "end of loading", 120)
        client.check(digest, "DEBUG", "DIGEST")
        client.close()
