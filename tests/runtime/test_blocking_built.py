"""The cases of the blocking calls as programs of users: built by ``upstare cc``, under the storm, and updated."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.runtime.building import run
from tests.runtime.test_blocking import CASES, DEADLINE, FLAGS, HERE, outcomes
from tests.support import tool

STORMS = ("1", "7", "1000")
#: Those that last long enough to be updated on the way.
UPDATED = [case for case in CASES if case.stem in ("interrupt", "threads", "timeouts")]


def build(case: Path, directory: Path, version: int = 1, updateable: bool = True) -> Path:
    """A case with the calls as a program writes them."""
    out = directory / f"{case.stem}-{version if updateable else 'plain'}"
    compiler = [*tool.UPSTARE, "cc"] if updateable else ["gcc"]
    done = subprocess.run(
        [*compiler, *FLAGS, "-w", "-DPLAIN", f"-DVERSION={version}", f"-I{HERE}", HERE / "main.c", case, "-o", out],
        env=tool.environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_storm_changes_nothing(case: Path, tmp_path: Path) -> None:
    expected = run([build(case, tmp_path, updateable=False)])
    program = build(case, tmp_path)
    logs = [tmp_path / f"storm-{every}" for every in STORMS]
    storms: list[list[str | Path]] = [
        ["env", f"UPSTARE_STORM={every}", f"UPSTARE_STORM_LOG={log}", program]
        for every, log in zip(STORMS, logs, strict=True)
    ]
    commands: list[list[str | Path]] = [[program], *storms]
    for printed, every in zip(outcomes(commands), ("no storm", *STORMS), strict=True):
        assert printed == expected, every
    assert " storms 0 " not in logs[0].read_text().splitlines()[-1]


@pytest.mark.parametrize("case", UPDATED, ids=lambda case: case.stem)
def test_updates_change_nothing_but_the_version(case: Path, tmp_path: Path) -> None:
    expected = run([build(case, tmp_path, updateable=False)])
    old, new = build(case, tmp_path), build(case, tmp_path, version=2)
    patch = tmp_path / "a.upatch"
    tool.expect(tool.patch(old, new, patch))
    environment = tool.environment(TEST_VERSION="1")
    with subprocess.Popen(
        [old], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        try:
            tool.expect(tool.apply(patch, child.pid), outcome="updated")
            tool.expect(tool.rollback(child.pid))
            tool.expect(tool.apply(patch, child.pid), outcome="updated")
            out, _ = child.communicate(timeout=DEADLINE)
        finally:
            child.kill()
    assert child.returncode == 0
    assert out == f"{expected}version 2\n"
