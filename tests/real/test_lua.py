"""lua: scripts that use all of the interpreter print under the storm what they print plainly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.build import run_build
from tests.support.real import RealProgram, every_nth, placements, run

SCRIPTS = sorted(Path(__file__).with_name("lua").glob("*.lua"))


def build(place: Path, compiler: str, env: dict[str, str]) -> None:
    run_build(["make", "-j2", f"CC={compiler} -std=gnu99", "linux"], place, **env)


@pytest.fixture(scope="module")
def lua(tmp_path_factory: pytest.TempPathFactory) -> RealProgram:
    return RealProgram("lua5.4", "bookworm", tmp_path_factory.mktemp("lua"), build)


@every_nth
@placements
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_script(lua: RealProgram, placement: str, every: int, script: Path) -> None:
    plain = run([lua.built() / "src" / "lua", script.name], script.parent)
    assert plain.exit_code == 0, plain
    assert plain.out
    under_storm = run([lua.built(placement) / "src" / "lua", script.name], script.parent, every=every)
    assert under_storm.said() == plain.said()
    assert under_storm.storms > 0
