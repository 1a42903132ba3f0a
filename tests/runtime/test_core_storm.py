"""Under the storm hand-written programs behave as without it, in both schemes, with threads, near the stack's end."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.runtime.building import HERE, build

SCHEMES = ("trap", "flag")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Every program of this module in every scheme."""
    place = tmp_path_factory.mktemp("storm")
    names = ("stacks", "shared", "lives")
    return {(n, s): build(HERE / "core" / f"{n}.c", place, s) for n in names for s in SCHEMES}


def start(
    program: Path, *arguments: object, storm: int = 0, log: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end."""
    env = dict(os.environ)
    if storm:
        env["UPSTARE_STORM"] = str(storm)
    if log:
        env["UPSTARE_STORM_LOG"] = str(log)
    return subprocess.run(
        [program, *map(str, arguments)], env=env, capture_output=True, text=True, timeout=120, check=False
    )


def storms(log: Path) -> int:
    """How many storms the processes had."""
    return sum(int(n) for n in re.findall(r"storms (\d+)", log.read_text()))


@pytest.mark.parametrize("storm", [1, 7, 1000])
@pytest.mark.parametrize("threads", [0, 1, 8])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_recursion_and_kept_objects(
    programs: dict[tuple[str, str], Path], tmp_path: Path, scheme: str, threads: int, storm: int
) -> None:
    program = programs["stacks", scheme]
    plain = start(program, threads)
    stormed = start(program, threads, storm=storm, log=tmp_path / "log")
    assert (stormed.stdout, stormed.stderr, stormed.returncode) == (plain.stdout, plain.stderr, 5)
    assert storms(tmp_path / "log") >= 2


@pytest.mark.parametrize("scheme", SCHEMES)
def test_objects_on_the_stack_stay_usable_by_others(
    programs: dict[tuple[str, str], Path], tmp_path: Path, scheme: str
) -> None:
    """A thread writes to another's local all the time, while that one is taken apart and rebuilt."""
    stormed = start(programs["shared", scheme], storm=1, log=tmp_path / "log")
    assert (stormed.stdout, stormed.returncode) == ("0 lost\n", 0)
    assert storms(tmp_path / "log") > 1000


@pytest.mark.parametrize("what", ["fork", "exit", "signals", "altstack", "deep", "small", "cancel", "vfork"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_lives_of_threads_and_processes(
    programs: dict[tuple[str, str], Path], tmp_path: Path, scheme: str, what: str
) -> None:
    program = programs["lives", scheme]
    plain = start(program, what)
    assert plain.stdout.endswith("done\n"), plain
    for storm in (7001, 20011) if what == "deep" else (1, 3):  # every storm takes 30,000 frames down
        stormed = start(program, what, storm=storm, log=tmp_path / "log")
        assert (stormed.stdout, stormed.stderr, stormed.returncode) == (plain.stdout, plain.stderr, plain.returncode)
    assert storms(tmp_path / "log") > 0
