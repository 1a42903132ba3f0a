"""Building programs for the tests: the examples with make, single files with one command."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.support import tool
from tests.support.tool import REPOSITORY, UPSTARE, UPSTARE_CC, environment

EXAMPLES = REPOSITORY / "examples"
#: A fixture that gives the executable of a version, updateable or plain.
Builder = Callable[..., Path]
BUILD_DEADLINE = 900.0
C_FLAGS = ("-std=gnu11", "-O2", "-g", "-Wall", "-pthread")


def run_build(command: Sequence[str | Path], cwd: Path, **env: str) -> str:
    """Runs a build command; its output. An AssertionError with the output's end if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_DEADLINE,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-6000:]}"
    return done.stdout


def build_example(name: str, version: str, directory: Path, updateable: bool = True, **env: str) -> Path:
    """An example's executable, built in a copy of its directory."""
    place = directory / version
    shutil.copytree(EXAMPLES / name / version, place)
    run_build(["make", f"CC={UPSTARE_CC if updateable else 'cc'}"], place, UPSTARE_VERSION=version, **env)
    return place / name


def build_file(source: Path, out: Path, flags: Sequence[str] = C_FLAGS, env: Mapping[str, str] | None = None) -> Path:
    """One C file compiled and linked in one command, as ``program.c`` in the directory of ``out``."""
    out.parent.mkdir(parents=True, exist_ok=True)
    copy = out.parent / "program.c"
    shutil.copy(source, copy)
    command = [*UPSTARE, "cc", *flags, "program.c", "-o", out.name]
    run_build(command, out.parent, UPSTARE_VERSION=source.stem, **(env or {}))
    return out


def build_pair(source: str, folder: Path) -> tuple[Path, Path]:
    """The program ``old/program`` and the patch to ``new/program``; ``VERSION`` in the source is the version's name."""
    built = []
    for version in ("old", "new"):
        file = folder / f"{version}.c"
        file.write_text(source.replace("VERSION", version))
        built.append(build_file(file, folder / version / "program"))
    tool.expect(tool.patch(*built, folder / "x.upatch"))
    return built[0], folder / "x.upatch"
