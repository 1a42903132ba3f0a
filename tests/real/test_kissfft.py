"""kissfft: its own test programs do under the storm what they do plainly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.build import run_build
from tests.support.real import RealProgram, every_nth, run

TOP = ("KISSFFT_STATIC=1", "KISSFFT_TOOLS=0")
#: What the top makefile tells the one of the tests.
TESTS = (
    "KISSFFT_DATATYPE=float",
    "KISSFFTLIB_SHORTNAME=kissfft-float",
    "TYPEFLAGS=-Dkiss_fft_scalar=float",
    "ABS_LIBDIR=/usr/lib",
)
PROGRAMS = ("st-float", "tkfc-float", "fastfilt-float")


def build(place: Path, compiler: str, env: dict[str, str]) -> None:
    run_build(["make", *TOP, f"CC={compiler}", "all"], place, **env)
    run_build(["make", "-C", "test", *TESTS, f"CC={compiler}", *PROGRAMS], place, **env)


@pytest.fixture(scope="module")
def kissfft(tmp_path_factory: pytest.TempPathFactory) -> RealProgram:
    return RealProgram("kissfft", "bookworm", tmp_path_factory.mktemp("kissfft"), build)


@every_nth
@pytest.mark.parametrize("placement", ["default", "strict"])
@pytest.mark.parametrize("program", ["st-float", "tkfc-float"])
def test_self_tests(kissfft: RealProgram, placement: str, every: int, program: str) -> None:
    """Two tones in transforms of all lengths, and the cache of transforms."""
    plain = run([kissfft.built() / "test" / program])
    assert plain.exit_code == 0
    under_storm = run([kissfft.built(placement) / "test" / program], every=every)
    assert under_storm.said() == plain.said()
    assert under_storm.storms > 900 // every


@every_nth
@pytest.mark.parametrize("placement", ["default", "strict"])
def test_filter(kissfft: RealProgram, placement: str, every: int, tmp_path: Path) -> None:
    """The samples are a sawtooth; what the filter makes of them depends on every bit of its state."""
    samples = b"".join((n * 37 % 1009).to_bytes(4, "little") for n in range(12000))
    (tmp_path / "samples").write_bytes(samples)
    command: list[str | Path] = ["-R", "-n", "120,80", tmp_path / "samples"]
    plain = run([kissfft.built() / "test" / "fastfilt-float", *command])
    assert (plain.exit_code, len(plain.out) > 4000) == (0, True)
    under_storm = run([kissfft.built(placement) / "test" / "fastfilt-float", *command], every=every)
    assert under_storm.said() == plain.said()
    assert under_storm.storms > 100 // every
