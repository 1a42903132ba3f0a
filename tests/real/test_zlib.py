"""zlib: its own example program, and round trips through minigzip, do under the storm what they do plainly."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.support.build import run_build
from tests.support.real import RealProgram, every_nth, placements, run


def build(place: Path, compiler: str, env: dict[str, str]) -> None:
    env = {**env, "CC": compiler}
    run_build(["./configure", "--static"], place, **env)
    run_build(["make", "example", "minigzip"], place, **env)


@pytest.fixture(scope="module")
def zlib(tmp_path_factory: pytest.TempPathFactory) -> RealProgram:
    return RealProgram("zlib", "bookworm", tmp_path_factory.mktemp("zlib"), build)


@every_nth
@placements
def test_own_example(zlib: RealProgram, placement: str, every: int, tmp_path: Path) -> None:
    plain = run([zlib.built() / "example", "plain.gz"], tmp_path)
    assert plain.exit_code == 0
    under_storm = run([zlib.built(placement) / "example", "storm.gz"], tmp_path, every=every)
    assert under_storm.said() == plain.said()
    assert under_storm.storms > 1000 // every
    assert (tmp_path / "storm.gz").read_bytes() == (tmp_path / "plain.gz").read_bytes()


def content() -> bytes:
    """Bytes of several kinds: long runs, text that repeats at a distance, and noise that does not shrink."""
    words = [hashlib.sha256(bytes([n])).hexdigest()[: 3 + n % 9] for n in range(50)]
    text = " ".join(words[n * n % 50] for n in range(1500)).encode()
    return b"a" * 5000 + text + hashlib.shake_128(b"noise").digest(8000) + text[::-1]


@every_nth
@placements
@pytest.mark.parametrize("method", ["-1", "-9", "-h", "-r"])
def test_round_trip(zlib: RealProgram, placement: str, every: int, method: str) -> None:
    data = content()
    packed = run([zlib.built() / "minigzip", method], given=data)
    assert packed.exit_code == 0
    assert len(packed.out) < len(data)
    program = zlib.built(placement) / "minigzip"
    in_storm = run([program, method], given=data, every=every)
    assert in_storm.said() == packed.said()
    assert in_storm.storms > 1000 // every
    unpacked = run([program, "-d"], given=packed.out, every=every)
    assert unpacked.said() == (0, data, b"")
    assert unpacked.storms > 100 // every
