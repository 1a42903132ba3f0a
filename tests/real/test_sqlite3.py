"""sqlite3: the shell answers a long session of SQL under the storm as it does plainly."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.build import run_build
from tests.support.real import RealProgram, every_nth, long, placements, run

SESSION = Path(__file__).with_name("sqlite3") / "session.sql"


def build(place: Path, compiler: str, env: dict[str, str]) -> None:
    env = {**env, "CC": compiler}
    run_build(["./configure", "--disable-tcl", "--disable-readline", "CFLAGS=-O2"], place, **env)
    run_build(["make", "sqlite3"], place, **env)


@pytest.fixture(scope="module")
def sqlite3(tmp_path_factory: pytest.TempPathFactory) -> RealProgram:
    if not shutil.which("tclsh"):
        pytest.skip("needs tclsh (Debian package tcl) to put its source together")
    return RealProgram("sqlite3", "bookworm", tmp_path_factory.mktemp("sqlite3"), build)


@long
@every_nth
@placements
def test_session(sqlite3: RealProgram, placement: str, every: int, tmp_path: Path) -> None:
    script = SESSION.read_bytes()
    plain = run([sqlite3.built() / "sqlite3", "plain.db"], tmp_path, script)
    assert b"overdrawn" in plain.err
    assert plain.out.count(b"\n") > 200
    under_storm = run([sqlite3.built(placement) / "sqlite3", "storm.db"], tmp_path, script, every, seconds=900)
    assert under_storm.said() == plain.said()
    assert under_storm.storms > 10_000 // every
    checked = run([sqlite3.built() / "sqlite3", "storm.db", "PRAGMA integrity_check"], tmp_path)
    assert checked.said() == (0, b"ok\n", b"")
