"""Real programs: built by their own build systems, plainly and updateable, and run to their end, also under the storm.

By default each program is tested in the default placement of points; ``UPSTARE_TEST_LONG=1`` in the environment adds
the strict placement and the programs that take minutes to build, with the same tests.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.process import storms
from tests.support.source import unpack_or_skip
from tests.support.tool import UPSTARE_CC, environment

long = pytest.mark.skipif(not os.environ.get("UPSTARE_TEST_LONG"), reason="takes long: set UPSTARE_TEST_LONG=1")
placements = pytest.mark.parametrize("placement", ["default", pytest.param("strict", marks=long)])
#: Every N-th point reached is a storm.
every_nth = pytest.mark.parametrize("every", [1, 7])

#: Stands for a placement: built with the compiler alone.
PLAIN = "plain"
#: Builds in a directory with the compiler for ``CC`` and the variables of the environment.
Steps = Callable[[Path, str, dict[str, str]], None]


class RealProgram:
    """The source of a program, built once for each placement of points that is asked for."""

    def __init__(self, package: str, suite: str, directory: Path, steps: Steps) -> None:
        self._package = package
        self._suite = suite
        self._directory = directory
        self._steps = steps

    def built(self, placement: str = PLAIN) -> Path:
        """The directory in which the program was built. Skips the test if the source is not to be had."""
        place = self._directory / placement
        if not place.exists():
            unpack_or_skip(self._package, self._suite, place)
            if placement == PLAIN:
                self._steps(place, "cc", {})
            else:
                self._steps(place, UPSTARE_CC, {"UPSTARE_POINTS": placement})
        return place


def needs_file(path: str, package: str) -> None:
    """Skips the test if a Debian package is not installed, told by a file of it."""
    if not Path(path).exists():
        pytest.skip(f"needs {path} (Debian package {package})")


@dataclass(frozen=True)
class Run:
    """How a program ended, and how many storms went over it meanwhile (0 without the storm)."""

    exit_code: int
    out: bytes
    err: bytes
    storms: int

    def said(self) -> tuple[int, bytes, bytes]:
        """What must be the same with and without the storm."""
        return self.exit_code, self.out, self.err


def run(
    command: Sequence[str | Path], cwd: Path | None = None, given: bytes = b"", every: int = 0, seconds: float = 120.0
) -> Run:
    """Runs a program to its end, under the storm if ``every`` is not 0. Raises subprocess.TimeoutExpired."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "storm.log"
        storm = {"UPSTARE_STORM": str(every), "UPSTARE_STORM_LOG": str(log)} if every else {}
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            input=given,
            capture_output=True,
            env=environment(**storm),
            timeout=seconds,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr, storms(log) if log.exists() else 0)
