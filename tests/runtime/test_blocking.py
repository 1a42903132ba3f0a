"""The blocking calls alone: as the plain ones, whether they are let alone, stopped, or taken apart and taken up again.

The core is a stand-in (blocking/core.c). Each case is a program that prints the outcome of calls; built with the plain
calls it says what is right.
"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.runtime.building import RUNTIME, run
from upstare.driver.runtime import runtime_object

HERE = Path(__file__).parent / "blocking"
CASES = sorted((HERE / "cases").glob("*.c"))
#: Nobody stops anything; threads are stopped and go on; mostly they are unrolled; every call is, before it begins.
MODES = ("quiet", "park", "unroll", "storm")
FLAGS = ("-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g", "-pthread")
DEADLINE = 120.0

HEADERS = """
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
"""


def redirected() -> list[str]:
    """Every name in redirects.toml."""
    table = tomllib.loads((RUNTIME / "redirects.toml").read_text())
    return [*table["blocking"], *table["plain"], *table["opaque"]]


def redirects(names: Sequence[str]) -> str:
    """A header that makes calls of the names calls of the runtime, resumed as long as they are unrolled."""
    declared = "".join(f"#undef {name}\nextern __typeof__({name}) upstare_{name};\n" for name in names)
    return declared + "".join(f"#define {name}(...) TEST_CALL(upstare_{name}(__VA_ARGS__))\n" for name in names)


@dataclass
class Calls:
    """The blocking calls with the stand-in for the core, compiled."""

    directory: Path
    objects: list[Path]
    flags: tuple[str, ...]

    def program(self, case: Path, plain: bool) -> Path:
        """One case as an executable."""
        out = self.directory / f"{case.stem}{'-plain' if plain else ''}"
        objects = [] if plain else self.objects
        more = ["-DPLAIN"] if plain else [f"-I{self.directory}"]
        run(["gcc", *self.flags, "-w", *more, f"-I{HERE}", HERE / "main.c", case, *objects, "-o", out])
        return out


def compile_calls(directory: Path, *more: str) -> Calls:
    """Compiles them; `more` are further flags of the compiler, for programs too."""
    flags = (*FLAGS, *more)
    (directory / "redirects.h").write_text(redirects(redirected()))
    sources = [*(RUNTIME / "src/blocking").glob("*.c"), RUNTIME / "src/signals.c"]
    sources += [*(RUNTIME / "src/update" / f"{name}.c" for name in ("calls", "first", "trap")), HERE / "core.c"]
    includes = [f"-I{RUNTIME / name}" for name in ("include", "src", "arch/x86_64")] + [f"-I{HERE}"]
    strict = ["-fPIC", "-fvisibility=hidden", "-mno-red-zone", "-Wall", "-Wextra", "-Werror"]
    objects = []
    for source in [*sources, RUNTIME / "arch/x86_64/cp.S"]:
        objects.append(directory / f"{source.stem}.o")
        run(["gcc", *flags, *strict, *includes, "-c", source, "-o", objects[-1]])
    return Calls(directory, objects, flags)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Calls:
    """The blocking calls as they are shipped."""
    return compile_calls(tmp_path_factory.mktemp("blocking"))


def outcomes(commands: Sequence[Sequence[str | Path]], **more: str) -> list[str]:
    """What the commands print; they run side by side, since they mostly wait. All must end well."""
    children = [
        subprocess.Popen(
            [str(w) for w in c], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **more}
        )
        for c in commands
    ]
    printed = []
    try:
        for command, child in zip(commands, children, strict=True):
            out, err = child.communicate(timeout=DEADLINE)
            assert child.returncode == 0, f"{command[-1]}: exit {child.returncode}\n{out[-2000:]}{err[-4000:]}"
            printed.append(out)
    finally:
        for child in children:
            child.kill()
            child.communicate()
    return printed


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_calls_are_as_the_plain_ones(case: Path, calls: Calls) -> None:
    expected = outcomes([[calls.program(case, plain=True)]])[0]
    assert expected
    ours = calls.program(case, plain=False)
    for mode, printed in zip(MODES, outcomes([[ours, mode] for mode in MODES]), strict=True):
        assert printed == expected, mode


@pytest.mark.parametrize("case", [HERE / "cases/locks.c"], ids=lambda case: case.stem)
def test_locks_order_memory(case: Path, tmp_path: Path) -> None:
    """Under ThreadSanitizer: what one thread wrote under a lock, another sees. (It does not know our stops.)"""
    program = compile_calls(tmp_path, "-fsanitize=thread").program(case, plain=False)
    suppressions = tmp_path / "suppressions"
    # What a join reads is written by the kernel; that a timed lock had a dead owner, ThreadSanitizer does not notice.
    suppressions.write_text("race:run_join\nmutex:die_with_it\n")
    outcomes([[program, mode] for mode in ("quiet", "storm")], TSAN_OPTIONS=f"suppressions={suppressions}")


def test_every_redirected_name_has_its_function(tmp_path: Path) -> None:
    """Same type as the library's, and in the runtime for all to see."""
    names = redirected()
    assert len(names) == len(set(names))
    source = tmp_path / "types.c"
    uses = "".join(f"extern __typeof__({n}) upstare_{n};\n" for n in names)
    addresses = ", ".join(f"(void (*)(void))upstare_{n}" for n in names)
    source.write_text(f"{HEADERS}{uses}void (*const all[])(void) = {{{addresses}}};\n")
    run(["gcc", *FLAGS, "-Wall", "-Wno-deprecated-declarations", "-Werror", "-c", source, "-o", tmp_path / "types.o"])
    symbols = run(["nm", "-g", "--defined-only", runtime_object(["gcc"], [])]).split()
    assert [name for name in names if f"upstare_{name}" not in symbols] == []


def test_every_wrapper_is_listed() -> None:
    """The runtime offers no replacement that the transform does not know of."""
    listed = set(redirected())
    text = "".join(path.read_text() for path in [*(RUNTIME / "src/blocking").glob("*.c"), RUNTIME / "src/signals.c"])
    declared = {line.split("__typeof__(")[1].split(")")[0] for line in text.splitlines() if "__typeof__(" in line}
    declared |= set(re.findall(r"^ +first +upstare_(\w+),", (RUNTIME / "arch/x86_64/cp.S").read_text(), re.MULTILINE))
    assert declared <= listed


def test_every_first_issue_can_be_described() -> None:
    """What assembly issues, C knows by its number."""
    issued = re.findall(r"^ +first +\w+, (\w+),", (RUNTIME / "arch/x86_64/cp.S").read_text(), re.MULTILINE)
    known = re.findall(r"^ +\{(\w+), \d+, &ups_op_", (RUNTIME / "src/update/first.c").read_text(), re.MULTILINE)
    assert "__NR_read" in issued
    assert {number.replace("__NR_", "SYS_") for number in issued} == set(known)
